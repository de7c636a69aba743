"""Programs know this host's own addresses, and take no more for them than there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.system.kernel.test_kernel_sink import HOST, OTHER, rows_of, settle
from weft.config import Settings
from weft.engine.difference import difference
from weft.engine.ebpf.drivers.peers import encode_own_addresses
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables.peers import OWN_MAP
from weft.kernel.bpf.maps import BpfMap
from weft.model.addresses import ip_address

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

FOUR, SIX = HOST.underlay
Own = Callable[[], dict[bytes, bytes]]


def entry(*addresses: str) -> dict[bytes, bytes]:
    return {bytes(4): encode_own_addresses(map(ip_address, addresses))}


@pytest.fixture
def sink(settings: Settings) -> Iterator[Sink]:
    """Of a host that has a tag."""
    made = Sink(settings, HOST.id)
    try:
        made.start()
        yield made
    finally:
        made.purge()


@pytest.fixture
def own(sink: Sink, settings: Settings) -> Iterator[Own]:
    with BpfMap.open(Path(settings.bpffs_dir) / "maps" / OWN_MAP) as opened:
        yield opened.read


def test_own_addresses_are_followed(sink: Sink, own: Own) -> None:
    assert own() == {}
    settle(sink, rows_of(OTHER))
    assert own() == entry(str(FOUR), str(SIX))
    fewer = rows_of(msgspec.structs.replace(HOST, underlay=(FOUR,)), OTHER)
    assert sink.apply(*difference(fewer, rows_of(OTHER))) == []
    assert own() == entry(str(FOUR))
    settle(sink, fewer)


def test_there_may_be_more_than_have_room(sink: Sink, own: Own) -> None:
    many = tuple(ip_address(f"192.0.2.{number}") for number in range(10, 17))
    host = msgspec.structs.replace(HOST, underlay=many)
    desired = rows_of(host, OTHER)
    sink.apply(*difference(desired, sink.actual(desired)))
    assert own() == entry(*map(str, many[:4]))


def test_an_entry_that_somebody_changed_is_put_back(
    sink: Sink, own: Own, settings: Settings
) -> None:
    desired = rows_of(OTHER)
    settle(sink, desired)
    before = own()
    with BpfMap.open(Path(settings.bpffs_dir) / "maps" / OWN_MAP) as opened:
        for wrong in (bytes(64), b"x" * 64):
            opened.update({bytes(4): wrong})
            settle(sink, desired)
            assert own() == before


def test_a_host_without_a_tag_has_none(settings: Settings) -> None:
    made = Sink(settings)
    try:
        made.start()
        settle(made, rows_of(OTHER))
        with BpfMap.open(Path(settings.bpffs_dir) / "maps" / OWN_MAP) as opened:
            assert opened.read() == {}
    finally:
        made.purge()
