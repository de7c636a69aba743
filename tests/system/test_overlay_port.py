"""`weft doctor` tells of another VXLAN on the overlay's UDP port, wherever its device is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import overlay as world
from tests.system.overlay import Overlay
from tests.system.overlay_workload import sh
from weft.config import Settings
from weft.doctor import overlay
from weft.doctor.finding import Finding, Subject
from weft.kernel import netns

pytestmark = pytest.mark.root


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Overlay]:
    with world.made(tmp_path) as overlay:
        yield overlay


def look(namespace: str, port: int = 4789) -> Finding:
    settings = Settings(name="h1", overlay_port=port)
    with netns.entered(f"/run/netns/{namespace}"):
        (finding,) = overlay.check(Subject(settings=settings, daemon=None, why_no_daemon=""))
    return finding


def test_a_foreign_vxlan_on_the_port_is_told_of(made: Overlay) -> None:
    host = made.namespace("host")
    assert look(host).state == "ok"
    sh(host, "ip link add other type vxlan id 5 dstport 4789 local 127.0.0.1")
    found = look(host)
    assert found.state == "warning"
    assert "VXLAN device other" in found.detail
    assert "overlay_port" in found.fix
    assert look(host, 4790).state == "ok"


def test_a_foreign_vxlan_that_was_moved_to_a_container_is_told_of(made: Overlay) -> None:
    """As Docker Swarm does it: the device goes, its socket stays."""
    host, container = made.namespace("host"), made.namespace("container")
    sh(host, "ip link add other type vxlan id 5 dstport 4789 local 127.0.0.1")
    sh(host, f"ip link set other netns {container}")
    assert look(host).state == "ok"
    sh(container, "ip link set other up")
    found = look(host)
    assert found.state == "warning"
    assert "Docker Swarm" in found.detail


def test_the_overlays_own_device_is_no_other(made: Overlay) -> None:
    host = made.namespace("host")
    sh(host, "ip link add weftx type vxlan external dstport 4789; ip link set weftx up")
    assert look(host).state == "ok"
