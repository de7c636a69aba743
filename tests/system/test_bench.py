"""`weft bench --quick` runs every part and leaves a report; its figures are worth nothing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from tests import families
from tests.system.workload import PATIENCE
from weft.kernel.bpf import tcx
from weft.lab.host import weft_command
from weft.lab.layout import RUN_ROOT, STATE_ROOT

pytestmark = pytest.mark.root
_TIMEOUT_S = 300
_NEEDED_BY = {
    "ovs-vswitchd": ("path: openvswitch", "hosts: openvswitch", "policy: ovs, 10k rules"),
    "dockerd": ("hosts: docker overlay",),
    "iptables": ("policy: bridge, 100 rules", "policy: bridge, 10k rules"),
}
PARTS = (
    "path",
    "policy",
    "flows",
    "groups",
    "attach",
    "daemon",
    "dns",
    "join",
    "mesh",
    "encryption",
    "docker",
    "hosts",
)
"""The last two start Docker engines, and take as long as all the others."""
_NEED_TCX = tuple(f"{part}: the limit" for part in ("path", "hosts", "policy", "policyhosts"))


@pytest.mark.timeout(_TIMEOUT_S)
@pytest.mark.skipif(PATIENCE > 1, reason="measuring an emulator takes long and says nothing")
@pytest.mark.parametrize("part", families.of(PARTS, always=len(PARTS) - 2))
def test_every_part_measures_and_reports(part: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if part == "docker" and shutil.which("dockerd") is None:
        pytest.skip("needs dockerd; make setup installs it")
    done = subprocess.run(
        [*weft_command(), "bench", "--quick", "--only", part, "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode((tmp_path / "bench.json").read_bytes())
    lacking = [needs for program, needs in _NEEDED_BY.items() if shutil.which(program) is None]
    if tcx.attached(socket.if_nametoindex("lo")) is None:
        lacking.append(_NEED_TCX)
    if not Path("/proc/sys/net/bridge").exists():
        lacking.append(_NEEDED_BY["iptables"])
    assert set(report["skipped"]) <= {name for needs in lacking for name in needs}, report[
        "skipped"
    ]
    # CPU time is less what the machine spends anyway: on a busy one a short run shows none of it.
    asked = [one for one in report["expected"] if "CPU to" not in one["title"]]
    assert asked
    assert not [one for one in asked if one["verdict"] == "not measured"]
    left = [one for one in report["expected"] if one["title"].startswith("left behind")]
    assert all(one["verdict"] == "met" for one in left), report["remarks"]


def test_one_that_is_ended_leaves_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    command = [*weft_command(), "bench", "--quick", "--only", "join", "--output", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        while "making h2" not in (line := bench.stderr.readline()):
            assert line, "it ended by itself"
        bench.send_signal(signal.SIGTERM)
        bench.communicate(timeout=_TIMEOUT_S)
    assert bench.returncode == 1
    for root in (RUN_ROOT, STATE_ROOT):
        assert not list(root.glob(f"bench-{bench.pid}-*"))
