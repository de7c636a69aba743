"""What a workload sends under its host's address is not taken for that host's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf.overlay import vxlan
from tests.system import frames
from tests.system import overlay as world
from tests.system.overlay import FOO, Overlay
from tests.system.overlay_workload import sh
from tests.system.workload import PATIENCE

pytestmark = pytest.mark.root
LAST = b"the good one"


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Overlay]:
    with world.made(tmp_path) as made:
        yield made


def test_a_workload_that_packs_frames_itself_gets_them_into_no_network(overlay: Overlay) -> None:
    """Its packets to the outside leave with the host's address, by which hosts know each other."""
    switch = overlay.switch()
    one, two = overlay.host(switch, "192.0.2.1/24"), overlay.host(switch, "192.0.2.2/24")
    overlay.start()
    a, b = overlay.workload(one, 10), overlay.workload(two, 11)
    a.reaches(b)
    forged = frames.udp("02:00:00:00:05:99", b.port.mac, "10.5.0.99", b.address(4), b"forged" * 9)
    good = frames.udp(a.port.mac, b.port.mac, a.address(4), b.address(4), LAST)
    script = Path(frames.__file__)
    inside = ["nsenter", f"--net=/run/netns/{b.name}", sys.executable, str(script)]
    with subprocess.Popen(
        [*inside, "listen", "eth0", LAST.hex()], stdout=subprocess.PIPE, text=True
    ) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "listening\n"
            send = (
                "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto("
                f"bytes.fromhex('{vxlan(FOO.vni, forged).hex()}'), ('192.0.2.2', 4789))"
            )
            a.run(f'{sys.executable} -c "{send}"')
            sh(a.name, f"{sys.executable} {script} send eth0 {good.hex()}")
            heard = listener.communicate(timeout=20 * PATIENCE)[0]
        finally:
            listener.kill()
    assert LAST.hex() in heard
    assert b"forged".hex() not in heard
