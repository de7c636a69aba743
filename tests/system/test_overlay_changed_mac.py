"""An address that comes back with another MAC, on this host, on another, or moved between them.

Directly, by way of a relay, and encrypted: whoever has the old MAC reaches it with the first
packet, and hears of the new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import encryption as world
from tests.system.encryption import KIND, EncryptedHost, EncryptedOverlay
from tests.system.overlay_workload import Workload, until
from weft.model.ids import MacAddress

pytestmark = pytest.mark.root

NEW = MacAddress("02:00:00:00:0a:0a")
MOVED = 11
"""Number of the workload whose MAC changes."""


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[EncryptedOverlay]:
    with world.made(tmp_path) as made:
        yield made


@pytest.fixture(params=["direct", "relayed", "encrypted"])
def hosts(overlay: EncryptedOverlay, request: pytest.FixtureRequest) -> list[EncryptedHost]:
    """Three, of which the last is reached so by the first."""
    if request.param == "encrypted" and KIND == "none":
        pytest.skip("neither the kernel's WireGuard nor wireguard-go")
    switch = overlay.switch()
    made = [overlay.make(switch, f"192.0.2.{number}/24") for number in (1, 2, 3)]
    overlay.start()
    one, two, three = made
    if request.param == "relayed":
        overlay.beside((one, two), (two, three), broken=True)
    else:
        overlay.all_beside()
    if request.param == "encrypted":
        overlay.ask(True)
    return made


def cached(workload: Workload, address: str) -> str:
    """The MAC that it has for an address; empty: none."""
    entries = json.loads(workload.run(f"ip -j neigh show {address}"))
    return str(entries[0].get("lladdr", "")) if entries else ""


def hears(workload: Workload, address: str, mac: str) -> None:
    until(
        lambda: cached(workload, address) == mac,
        f"{workload.name} has not heard that {address} is at {mac}",
    )


def keep(workload: Workload, address: str, mac: str) -> None:
    """As a flow does that goes on and on."""
    workload.run(f"ip neigh replace {address} lladdr {mac} nud permanent dev eth0")


def test_neighbours_reach_it_at_once_and_hear_of_it(
    overlay: EncryptedOverlay, hosts: list[EncryptedHost]
) -> None:
    """It goes from the far host to the near one with another MAC, and back with the old one."""
    one, _, three = hosts
    asker = overlay.workload(one, 10)
    former = overlay.workload(three, MOVED)
    old = str(former.port.mac)
    for version in (4, 6):
        asker.reaches(former, version)
        assert cached(asker, former.address(version)) == old
    keep(asker, former.address(4), old)
    overlay.delete(former.port)
    near = overlay.workload(one, MOVED, mac=NEW)
    hears(asker, near.address(6), NEW)
    assert asker.pings(near, 4) and cached(asker, near.address(4)) == old
    keep(asker, near.address(4), NEW)
    overlay.delete(near.port)
    far = overlay.workload(three, MOVED)
    hears(asker, far.address(6), old)
    assert asker.pings(far, 4) and cached(asker, far.address(4)) == NEW
    assert asker.pings(far, 6)
    overlay.delete(far.port)
    again = overlay.workload(three, MOVED, mac=NEW)
    keep(asker, again.address(4), old)
    assert asker.pings(again, 4)
    hears(asker, again.address(6), NEW)
    assert asker.pings(again, 6)
