"""Bodies of records as ill will writes them, of every kind: the ends of every field's bounds, what
lies past them, other types, unknown fields, deep nesting, addresses that nobody should use.

Drawn from the types of the records themselves, so a new field is attacked without a word here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, get_args

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.records import KINDS, Record
from weft.model.values import HostIdText

HOSTS = ("0123456789abcdef", "fedcba9876543210", "00000000000000aa")
"""The first is the host that is attacked."""
IDS = ("cluster", *HOSTS, "n0", "n1", "s0", "p0")
HOST_ID_PATTERN = get_args(HostIdText)[1].pattern
_ADDRESSES = (
    "10.0.0.1",
    "10.0.0.255",
    "0.0.0.0",
    "255.255.255.255",
    "127.0.0.1",
    "169.254.53.53",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.7",
    "192.0.2.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fe80::1%; flush ruleset",
    "::ffff:10.0.0.1",
    "ff02::1",
    "ff05::3",
    "fd77:6566:7400::53",
    "fd77:6566:7401::1",
    "2001:db8::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)
_PREFIXES = (
    "0.0.0.0/0",
    "0.0.0.0/1",
    "10.0.0.0/8",
    "10.0.0.0/31",
    "10.0.0.1/32",
    "169.254.53.0/24",
    "192.0.2.0/24",
    "224.0.0.0/8",
    "240.0.0.0/8",
    "::/0",
    "::/16",
    "fe80::/64",
    "fd77:6566:7400::/48",
    "::ffff:0:0/96",
    "ff00::/16",
    "2001:db8::/64",
    "2001:db8::1/128",
)
_TEXTS = (
    "",
    "x",
    "web",
    "a.b",
    "eth0",
    "weft0",
    "weft00000000001",
    "/proc/1/ns/net",
    "02:00:00:00:00:01",
    "02:zz",
    "ff:ff:ff:ff:ff:ff",
    "0a:57:45:46:54:01",
    "A" * 43 + "=",
    "not base64",
    "-",
    "..",
    "a\nb",
    "\x1b[2J",
    "\u202eb",
    "x" * 300,
    '"; flush ruleset; "',
    *IDS,
)
_NUMBERS = (
    -1, 0, 1, 2, 67, 68, 1500, 65535, 65536, 2**17, 2**20, 2**24 - 1, 2**24,
    2**31 - 1, 2**31, 2**32, 2**40, 2**62 - 1, 2**62, 2**63 - 1, 2**64, 2**80,
)  # fmt: skip
_DEEP: object = []
for _ in range(200):
    _DEEP = [_DEEP]
_RUBBISH = st.sampled_from([None, True, "x", 1.5, [], {}, [[]], -1, 2**70, _DEEP, "\U0001f600" * 9])


def hostile(kind: type[Record]) -> st.SearchStrategy[bytes]:
    """Bodies of a kind, about half of which decode."""
    return st.tuples(_struct(kind), _extras).map(
        lambda both: json.dumps(both[0] | both[1]).encode()
    )


_extras: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.just({}),
    st.just({}),
    st.dictionaries(st.sampled_from(["colour", "id2", ""]), _RUBBISH, max_size=1),
)


def _struct(kind: type) -> st.SearchStrategy[dict[str, object]]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    required = {f.encode_name: _value(f.encode_name, f.type) for f in info.fields if f.required}
    optional = {f.encode_name: _value(f.encode_name, f.type) for f in info.fields if not f.required}
    return st.fixed_dictionaries(required, optional=optional)


def _value(name: str, kind: inspect.Type) -> st.SearchStrategy[object]:
    fitting = _fitting(name, kind)
    return st.integers(0, 39).flatmap(lambda n: _RUBBISH if n == 0 else fitting)


def _fitting(name: str, kind: inspect.Type) -> st.SearchStrategy[object]:
    match kind:
        case inspect.UnionType(types=types):
            return st.one_of(*(_fitting(name, each) for each in types))
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.sampled_from(_within(kind))
        case inspect.FloatType():
            return st.sampled_from([0, 1.5, 253402300799, -1, 1e300, 253402300800])
        case inspect.StrType():
            return _text(name, kind)
        case inspect.LiteralType(values=values):
            return st.sampled_from([*values, "of-a-newer-weft"])
        case inspect.EnumType(cls=cls):
            return st.sampled_from([*(each.value for each in cls), 7, "of-a-newer-weft"])
        case inspect.CustomType(cls=cls):
            return _custom(cls)
        case inspect.StructType(cls=cls):
            return _struct(cls)
        case inspect.VarTupleType(item_type=item):
            return st.lists(_value(name, item), max_size=4)
        case inspect.TupleType(item_types=items):
            return st.tuples(*(_value(name, each) for each in items))
    raise NotImplementedError(f"{name}: {kind}")


def _custom(cls: object) -> st.SearchStrategy[object]:
    address: object = IPAddress
    network: object = IPNetwork
    if cls is network:
        return st.sampled_from(_PREFIXES)
    assert cls is address, cls
    return st.sampled_from(_ADDRESSES)


def _text(name: str, kind: inspect.StrType) -> st.SearchStrategy[object]:
    """Mostly what fits, for else nothing would ever decode."""
    fitting = [text for text in _TEXTS if _fits(text, kind)]
    if kind.pattern == HOST_ID_PATTERN:
        fitting = list(HOSTS)
    elif name == "id" or name.endswith("_id") or name in ("owner", "subject", "heir", "replaces"):
        fitting = [text for text in fitting if text in IDS]
    assert fitting, (name, kind)
    return st.integers(0, 19).flatmap(lambda n: st.sampled_from(_TEXTS if n == 0 else fitting))


def _fits(text: str, kind: inspect.StrType) -> bool:
    meta = msgspec.Meta(pattern=kind.pattern, max_length=kind.max_length)
    try:
        msgspec.convert(text, Annotated[str, meta])
    except msgspec.ValidationError:
        return False
    return True


def _within(kind: inspect.IntType) -> list[int]:
    """Numbers inside of the bounds, the bounds themselves, and a few outside."""
    low = kind.ge if kind.ge is not None else kind.gt
    high = kind.le if kind.le is not None else kind.lt
    inside = [n for n in _NUMBERS if (low is None or n >= low) and (high is None or n <= high)]
    ends: Iterable[int] = [n for n in (low, high, high and high - 1) if n is not None]
    return [*inside, *inside, *ends, *_NUMBERS[::7]]


bodies = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind.KIND), hostile(kind)))
"""(kind, body)."""
