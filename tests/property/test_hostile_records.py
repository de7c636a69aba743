"""Whatever a record holds, it is used or set aside: nothing that reads records fails over it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fake_maps import FakeMaps
from tests.property.hostile import HOSTS, bodies
from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.drivers import tunnels
from weft.engine.ebpf.next_hops import NextHop
from weft.engine.ebpf.policy.atoms import Atom
from weft.engine.ebpf.policy.identities import Identities
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.ruleset import transaction
from weft.engine.ebpf.tables import MAPS
from weft.engine.ebpf.tables.nftables import NFTABLES
from weft.engine.ebpf.tables.tunnels import TUNNELS, TunnelValue
from weft.engine.ebpf.ways import Ways
from weft.errors import InvalidError
from weft.model import codec
from weft.model.ids import HostId
from weft.model.records import KINDS, ForgottenHost, Record
from weft.store.interface import Put
from weft.store.memory import MemoryStore
from weft.store.shown import carry_unchanged

ME = HostId(HOSTS[0])
several = st.lists(bodies, max_size=30)
hostile = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class AnyNames:
    """Has every device and every way that is asked for, and no kernel."""

    def __init__(self) -> None:
        self._ways = Ways()
        self._numbers: dict[str, int] = {}
        maps = FakeMaps()
        self._numbering = Numbering(maps.__getitem__)
        self._identities = Identities(maps.__getitem__, self._numbering)

    def way(self, tag: int) -> int:
        return self._ways.of(tag)

    def known_way(self, tag: int) -> int:
        return self._ways.known(tag)

    def ifindex(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers) + 1)

    def name(self, ifindex: int) -> str:
        return next(name for name, number in self._numbers.items() if number == ifindex)

    def number(self, kind: Kind, symbol: Hashable) -> int:
        return self._numbering.number(kind, symbol)

    def symbol(self, kind: Kind, number: int) -> Hashable:
        return self._numbering.symbol(kind, number)

    def identity(self, atoms: tuple[Atom, ...]) -> int:
        return self._identities.of(atoms)

    def atoms(self, identity: int) -> tuple[Atom, ...]:
        return self._identities.atoms(identity)


def decoded(found: Iterable[tuple[str, bytes]]) -> list[Record]:
    """Those that are used."""
    used = []
    for kind, body in found:
        try:
            used.append(codec.decode(kind, body))
        except InvalidError as error:
            assert kind in str(error)
            assert str(error).isprintable()
    return used


@given(bodies)
@hostile
def test_a_record_is_used_as_it_came_or_refused_in_words(body: tuple[str, bytes]) -> None:
    for record in decoded([body]):
        assert codec.decode(record.KIND, codec.encode(record)) == record


@given(st.sampled_from([kind.KIND for kind in KINDS]), st.binary(max_size=300))
@example("network", b'{"id":"n1","name":"foo","vni":9,"x":' + b"[" * 1000 + b"]" * 1000 + b"}")
@example("network", b'{"id":"n1","name":"foo","vni":9,"x":' + b'{"x":' * 999 + b"1" + b"}" * 1000)
@example("network", b"[" * 100_000)
@example("network", b'{"id":"n1","name":"foo","vni":' + b"9" * 5000 + b"}")
@example("port", b'{"id":"\xed\xa0\x80"}')
def test_no_bytes_raise_anything_else(kind: str, data: bytes) -> None:
    decoded([(kind, data)])
    carry_unchanged(ForgottenHost(id=HostId(HOSTS[0]), name=""), data, b"{}")


@given(st.sampled_from([kind.KIND for kind in KINDS]), st.integers(1, 200), st.booleans())
def test_how_deep_a_record_may_be_nested_depends_on_its_bytes_alone(
    kind: str, depth: int, is_object: bool
) -> None:
    """The decoder's own limit is that of the stack, which is another one for every caller."""
    value: object = 1
    for _ in range(depth):
        value = {"]": value} if is_object else ["[", value]
    data = json.dumps({"x": value}).encode()
    try:
        codec.check_nesting(data, kind)
        is_refused = False
    except InvalidError:
        is_refused = True
    assert is_refused == (depth + 1 > codec.MAX_NESTING)


@given(several, several)
@hostile
def test_records_compile_and_their_rows_are_read_back(
    first: list[tuple[str, bytes]], later: list[tuple[str, bytes]]
) -> None:
    store = MemoryStore(decoded(first))
    compiler = Compiler(functions(ME), store)
    compiler.update(store.apply(map(Put, decoded(later))))
    assert compiler.faults == {}
    names, found = AnyNames(), compiler.rows()
    for table in MAPS:
        for key, value in found.get(table.name, {}).items():
            assert table.keys.decode(table.keys.encode(key, names), names) == key
            assert table.values.decode(table.values.encode(value, names), names) == value
    for value in found.get(TUNNELS.name, {}).values():
        assert isinstance(value, TunnelValue)
        tunnels.describe(tunnels.encode(1, value, NextHop()))
    assert transaction.render(found.get(NFTABLES.name, {})).isascii()
