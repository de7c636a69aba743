"""`weft bench --quick` runs every part and leaves a report; its figures are worth nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from tests.system.workload import PATIENCE
from weft.lab.host import weft_command

pytestmark = pytest.mark.root
_TIMEOUT_S = 300


@pytest.mark.timeout(_TIMEOUT_S)
@pytest.mark.skipif(PATIENCE > 1, reason="measuring an emulator takes long and says nothing")
@pytest.mark.parametrize("part", ["path", "attach", "daemon", "dns", "docker"])
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
    if shutil.which("ovs-vswitchd") is None:
        report["skipped"].pop("path: openvswitch", None)
    assert report["skipped"] == {}
    assert report["expected"]
    assert not [one for one in report["expected"] if one["verdict"] == "not measured"]
    left = [one for one in report["expected"] if one["title"].startswith("left behind")]
    assert all(one["verdict"] == "met" for one in left), report["remarks"]
