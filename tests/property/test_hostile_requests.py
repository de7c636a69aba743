"""A thousand requests and a thousand files with something wrong: each is refused in words that say
where, or does what it says; and what is refused has changed nothing."""

from __future__ import annotations

import http.client
import json
import random
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.conftest import Weftd
from weft.api.apply.schema import ApplyInfo, ApplyRequest
from weft.api.errors import TABLE, ErrorBody
from weft.cli.documents import located, read_files
from weft.errors import WeftError
from weft.model.records import KINDS

RULES = [
    "allow ingress tcp 80-90 from group:db",
    "drop egress ipv4 to 10.0.0.0/8 except 10.1.0.0/16 tier admin priority 5 log 3/s (why)",
    {"action": "reject", "direction": "ingress", "protocol": "icmp", "icmp_type": 8},
    "allow ingress from label:app=shop|store,!old stateless keep",
]
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "groups", {"name": "new", "selector": "a=b", "networks": ["back"], "rules": RULES}),
    ("PATCH", "groups/web", {"denied": ["ingress"], "rules": RULES[:2], "labels": {"a": "b"}}),
    ("POST", "groups/web/rules", {"rule": RULES[1]}),
    ("POST", "groups/web/rules", {"rule": RULES[2]}),
    ("PUT", "groups/web/rules/allow%20ingress%20from%20any", {"rule": RULES[3]}),
    ("PATCH", "ports/box", {"groups": ["web"], "labels": {"app": "shop"}}),
    ("POST", "ports", {"network": "back", "names": ["s"], "is_static": True, "groups": ["db"]}),
    ("PATCH", "networks/back", {"denied": ["egress"], "is_strict": True}),
    ("PATCH", "tenants/default", {"denied": ["ingress"], "quota": {"rules": 50}}),
    ("POST", "networks", {"name": "more", "denied": None, "subnets": [{"cidr": "10.8.0.0/24"}]}),
    (
        "POST",
        "apply",
        {
            "documents": [
                {"kind": "group", "name": "web", "rules": RULES},
                {"kind": "port", "name": "p", "network": "back", "addresses": ["10.9.0.77"]},
                {"kind": "tenant", "name": "acme", "denied": ["egress"]},
            ],
            "owner": "me",
        },
    ),
]
JUNK: list[Callable[[random.Random], object]] = [
    lambda _: None,
    lambda r: r.choice([-1, 0, 2**31, 2**63, 2**80, 1.5, 1e308]),
    lambda r: r.choice([True, False]),
    lambda r: r.choice(
        ["", " ", "x" * 70_000, "a/b/c", "../..", "\x00", "\u202e", "ü", "*", "none"]
    ),
    lambda r: r.choice(["allow", "allow ingress from", "drop egress to group:", "(x)", "from any"]),
    lambda r: r.choice(
        ["10.0.0.0/33", "10.0.0.1/8", "::ffff:1.2.3.0/120", "fe80::1%eth0", "group:"]
    ),
    lambda r: r.choice([[], {}, [[]], [{}], {"": ""}, [None], {"a": {"b": []}}]),
    lambda r: [deepcopy(r.choice(RULES)) for _ in range(r.randrange(1, 4))],
    lambda r: ["x"] * 20_000,
    lambda r: _nested(r.choice([5, 40, 3000])),
]


def _nested(depth: int) -> object:
    value: object = "x"
    for _ in range(min(depth, 400)):
        value = [value]
    return value


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside of a value."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def spoil(value: dict[str, Any], r: random.Random) -> dict[str, Any]:
    """The same with one to three things wrong, perhaps."""
    spoilt = deepcopy(value)
    for _ in range(r.randrange(1, 4)):
        found = list(places(spoilt))
        if not found:
            break
        *way, last = r.choice(found)
        at: Any = spoilt
        for step in way:
            at = at[step]
        match r.randrange(5):
            case 0:
                del at[last]
            case 1 if isinstance(at, dict):
                at[r.choice(["x", "", "kind", str(last) + "s"])] = at[last]
            case 2 if isinstance(at[last], str) and at[last]:
                text = at[last]
                cut = r.randrange(len(text))
                at[last] = (
                    text[:cut]
                    + r.choice(["", " ", ",", "/", "=", "(", "\n", "9"])
                    + text[cut + 1 :]
                )
            case _:
                at[last] = deepcopy(r.choice(JUNK)(r))
    return spoilt


def spoil_bytes(data: bytes, r: random.Random) -> bytes:
    cut = r.randrange(len(data) + 1)
    some = r.choice(
        [b"\xff", b"\x00", b"[" * 4000, b'"', b"{", b"}", b"\\ud800", b", ", b"\xed\xa0\x80"]
    )
    return data[:cut] + some + data[cut + r.randrange(3) :]


@pytest.fixture(scope="module")
def weftd() -> Iterator[Weftd]:
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    daemon = Weftd(folder)
    daemon.start()
    for path, body in (
        ("networks", {"name": "back", "subnets": [{"cidr": "10.9.0.0/24"}]}),
        ("groups", {"name": "db"}),
        ("groups", {"name": "web", "rules": ["allow ingress from any"]}),
        ("ports", {"network": "back", "names": ["box"]}),
    ):
        assert ask(daemon, "POST", path, json.dumps(body).encode())[0] == 201
    yield daemon
    daemon.stop()
    shutil.rmtree(folder)


def ask(weftd: Weftd, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("weftd", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(weftd.settings.api_socket))
        connection.request(method, f"/v1/{path}", body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def held(weftd: Weftd) -> dict[str, object]:
    return {f"{kind.KIND} {one.id}": one for kind in KINDS for one in weftd.store.list(kind)}


@pytest.mark.parametrize("seed", range(4))
def test_a_request_is_refused_in_words_or_done(weftd: Weftd, seed: int) -> None:
    r = random.Random(seed)
    statuses = {line.status: line.kind for line in TABLE}
    refused = 0
    for _ in range(250):
        method, path, body = r.choice(REQUESTS)
        data = json.dumps(spoil(body, r)).encode()
        if r.random() < 0.2:
            data = spoil_bytes(data, r)
        before = held(weftd)
        status, answer = ask(weftd, method, path, data)
        if status < 300:
            continue
        refused += 1
        assert status in statuses and status != 500, (path, data[:300], answer)
        error = msgspec.json.decode(answer, type=ErrorBody).error
        assert error.kind != "internal" and error.message.strip(), (data[:300], answer)
        assert len(error.message) < 22_000, (data[:300], len(error.message))
        assert held(weftd) == before, (method, path, data[:300], answer)
    assert refused > 100


FILE = re.search(
    r"```yaml\n(.*?)```", (Path(__file__).parents[2] / "docs/apply.md").read_text(), re.DOTALL
)
LINES = [
    "&a [*a]",
    "x: &b {y: *b}",
    "<<: *base",
    "- !!python/object:os.system x",
    "\tname: x",
    "name: x",
    "kind: group",
    "rules: [allow ingress]",
    "  - allow ingress tcp 80-90 from group:lb",
    "  - drop ingress tcp 80-90 from group:lb",
    "---",
    "...",
    "? {a: b}",
    "a: [" * 40,
    "name: 'x",
    "\x00",
    "{}: {}",
    "quota: {rules: -1}",
    "selector: a b",
]


def spoil_text(text: str, r: random.Random) -> bytes:
    lines = text.splitlines()
    for _ in range(r.randrange(1, 4)):
        at = r.randrange(len(lines))
        match r.randrange(5):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, r.choice(LINES))
            case 2:
                lines.insert(at, lines[r.randrange(len(lines))])
            case 3:
                lines[at] = " " * r.randrange(5) + lines[at].lstrip()
            case _:
                word = r.choice(lines[at].split() or [""])
                lines[at] = lines[at].replace(word, r.choice(["", "x", "[]", "7", "null", "'"]), 1)
    data = "\n".join(lines).encode()
    return spoil_bytes(data, r) if r.random() < 0.15 else data


@pytest.mark.parametrize("seed", range(4))
def test_a_file_is_refused_with_file_and_line_or_done(
    weftd: Weftd, tmp_path: Path, seed: int
) -> None:
    assert FILE is not None
    r, file = random.Random(seed), tmp_path / "shop.yaml"
    refused = 0
    for _ in range(250):
        file.write_bytes(spoil_text(FILE[1], r))
        before = held(weftd)
        try:
            documents = read_files([str(file)])
        except WeftError as error:
            refused += 1
            assert re.match(rf"{re.escape(str(file))}:\d+: \S", str(error)), str(error)
            continue
        body = ApplyRequest(
            documents=tuple(
                msgspec.Raw(msgspec.json.encode(one.value.plain())) for one in documents
            ),
            is_dry_run=r.random() < 0.8,
        )
        try:
            weftd.client.send(ApplyInfo, "POST", "apply", body=body)
        except WeftError as error:
            refused += 1
            assert type(error) is not WeftError, (file.read_bytes(), error)
            for line in located(str(error), documents).splitlines():
                known = re.match(rf"{re.escape(str(file))}:\d+: \S|and \d+ more", line)
                assert known, (line, file.read_bytes())
            assert held(weftd) == before
    assert refused > 100


def test_a_file_of_ten_megabytes_and_a_bomb_of_aliases_are_refused(tmp_path: Path) -> None:
    large, bomb = tmp_path / "large.yaml", tmp_path / "bomb.yaml"
    large.write_bytes(b"a: " + b"x" * (10 << 20))
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    bomb.write_text("\n".join(["a0: &a0 x", *levels]))
    for file, why in ((large, "more than 4 MiB"), (bomb, "more than 500000 values")):
        with pytest.raises(WeftError, match=why):
            read_files([str(file)])
