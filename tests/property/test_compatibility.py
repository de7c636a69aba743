"""Hosts of two releases share records: each reads what the other writes, and loses nothing of it.

A cluster is upgraded host by host. The other release is the last one, once there is a tag; and one
that does not exist yet, made of this one by adding what later ones will add.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.property import other_release
from tests.property.strategies import records
from weft.model import codec
from weft.model.records import OtherDevice, Port, Record
from weft.store.shown import carry_unchanged

HOST = "0123456789abcdef"
NEWS: dict[str, dict[str, object]] = {
    "network": {"id": "n1", "name": "foo", "vni": 7, "multicast": "moon", "colour": "blue"},
    "subnet": {"id": "s1", "cidr": "10.0.0.0/24", "allocator": "moon"},
    "reservation": {
        "id": "r1",
        "subnet_id": "s1",
        "host_id": HOST,
        "address": "10.0.0.9",
        "reason": "moon",
    },
    "host-keys": {
        "id": HOST,
        "host_id": HOST,
        "public_key": "A" * 43 + "=",
        "port": 1,
        "stage": 4,
    },
    "port": {
        "id": "p1",
        "network_id": "n1",
        "host_id": HOST,
        "mac": "02:00:00:00:00:01",
        "slot": 0,
        "colour": "blue",
        "device": {"kind": "moon", "phase": ["new", "full"]},
        "owner": {"frontend": "moon", "lives_with": "moon", "colour": "blue"},
        "published": [{"protocol": "moon", "host_port": 1, "port": 1}],
    },
}
"""What only the newer release writes."""


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return other_release.newer(tmp_path_factory.mktemp("newer"))


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tag = other_release.last_release()
    if tag is None:
        pytest.skip("nothing was released yet")
    return other_release.of_tag(tag, tmp_path_factory.mktemp("last"))


once = settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
many = st.lists(records, min_size=40, max_size=80)


def _exchange(folder: Path, written: Sequence[Record]) -> None:
    """What this release writes the other reads, and what the other then writes this one reads."""
    bodies = [(record.KIND, codec.encode(record)) for record in written]
    for record, (kind, body, why) in zip(
        written, other_release.read_by(folder, bodies), strict=True
    ):
        assert body is not None, f"{kind}: {why}"
        assert codec.decode(kind, body.encode()) == record


@given(many)
@once
def test_a_newer_release_reads_what_this_one_writes(newer: Path, written: list[Record]) -> None:
    _exchange(newer, written)


@given(many)
@once
def test_the_last_release_reads_what_this_one_writes(last: Path, written: list[Record]) -> None:
    _exchange(last, written)


@pytest.mark.parametrize("kind", NEWS)
def test_what_a_newer_release_adds_is_read_and_kept(newer: Path, kind: str) -> None:
    body = json.dumps(NEWS[kind]).encode()
    ((_, theirs, why),) = other_release.read_by(newer, [(kind, body)])
    assert theirs is not None, why
    assert json.loads(theirs) == NEWS[kind], "the newer release writes it so"
    record = codec.decode(kind, theirs.encode())
    kept = carry_unchanged(record, theirs.encode(), codec.encode(record))
    assert json.loads(kept) == NEWS[kind]


def test_a_port_of_a_newer_release_is_plugged_in_as_far_as_others_care() -> None:
    body = json.dumps(NEWS["port"]).encode()
    port = codec.decode("port", body)
    assert isinstance(port, Port) and port.device == OtherDevice()
    assert port.host_id == HOST and not port.is_host
