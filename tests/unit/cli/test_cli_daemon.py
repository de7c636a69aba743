"""Starting, finding and stopping weftd, with stand-ins for the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft import config
from weft.cli import daemon_process, down, output
from weft.cli.settings_options import field_docstrings, to_environment
from weft.config import Settings
from weft.errors import InvalidError, UnavailableError
from weft.model.addresses import ip_address, ip_network

SLEEPER = "import time; time.sleep(60)"
IS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="weft up asks for root")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like weftd."""
    started = subprocess.Popen([sys.executable, "-c", SLEEPER, "weft.daemon"])
    deadline = time.monotonic() + 10
    while not daemon_process.is_weftd(started.pid) and time.monotonic() < deadline:
        time.sleep(0.001)  # its command line is empty for a moment
    yield started
    started.kill()
    started.wait()


def settings_in(folder: Path) -> Settings:
    return Settings(run_dir=str(folder), state_dir=str(folder))


def test_weftd_is_found_by_its_pid_file(folder: Path, process: subprocess.Popen[bytes]) -> None:
    settings = settings_in(folder)
    assert daemon_process.find(settings) is None
    settings.pid_file.write_text(f"{process.pid}\n")
    assert daemon_process.find(settings) == process.pid


def test_pid_of_somebody_else_is_not_weftd(folder: Path) -> None:
    settings = settings_in(folder)
    for text in (f"{os.getpid()}\n", "1\n", "999999999\n", "", "nonsense"):
        settings.pid_file.write_text(text)
        assert daemon_process.find(settings) is None


def test_process_younger_than_the_pid_file_is_another(
    folder: Path, process: subprocess.Popen[bytes]
) -> None:
    settings = settings_in(folder)
    settings.pid_file.write_text(f"{process.pid}\n")
    long_ago_s = time.time() - 3600
    os.utime(settings.pid_file, (long_ago_s, long_ago_s))
    assert daemon_process.find(settings) is None


def test_stop_ends_the_process(process: subprocess.Popen[bytes]) -> None:
    daemon_process.stop(process.pid)
    assert process.wait(10) == -15


def test_stop_says_when_the_process_stays(process: subprocess.Popen[bytes]) -> None:
    with pytest.raises(UnavailableError, match=f"kill -9 {process.pid}"):
        daemon_process.wait_for_end(process.pid, timeout_s=0.05)


def test_down_without_weftd_is_done(weft: Weft) -> None:
    assert weft("down").out == "weftd is not running.\n"
    assert json.loads(weft("down", "--json").out)["state"] == "not-running"


def test_down_stops_a_weftd_that_does_not_answer(
    weft: Weft, folder: Path, process: subprocess.Popen[bytes]
) -> None:
    (folder / "run").mkdir()
    (folder / "run/weftd.pid").write_text(f"{process.pid}\n")
    ran = weft("down")
    assert ran.code == 0
    assert f"weftd (pid {process.pid}) stopped." in ran.out
    assert "Ports go on forwarding" in ran.out
    assert process.poll() is not None


def test_down_asks_weftd_first(weftd: Weftd, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(daemon_process, "wait_for_end", waited.append)
    assert down.stop(weftd.settings) == os.getpid()
    assert weftd.is_stopped.is_set()
    assert waited == [os.getpid()]


@IS_ROOT
def test_up_when_it_runs_says_so_and_changes_nothing(weftd: Weftd, weft: Weft) -> None:
    ran = weft("up")
    assert ran.code == 0, ran
    assert "runs already on h1" in ran.out
    assert json.loads(weft("up", "--json").out)["state"] == "running"


@IS_ROOT
def test_up_with_other_settings_than_the_running_ones_names_them(weftd: Weftd, weft: Weft) -> None:
    ran = weft("up", "--mtu-bytes", "1400", "--no-docker")
    assert ran.code == 1
    assert "mtu_bytes is 0, not 1400" in ran.err
    assert "docker is True, not False" in ran.err
    assert "weft down" in ran.err


@IS_ROOT
def test_up_shows_why_weftd_died(weft: Weft, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    script = "import sys; print('weftd: no such device eth9', file=sys.stderr); sys.exit(1)"
    monkeypatch.setattr(daemon_process, "COMMAND", (sys.executable, "-c", script))
    log = folder / "state/log/weftd.log"
    log.parent.mkdir(parents=True)
    log.write_text("an older line\n")
    ran = weft("up")
    assert ran.code == 1
    assert "weftd ended while it started" in ran.err
    assert "weftd: no such device eth9" in ran.err
    assert "an older line" not in ran.err


@IS_ROOT
def test_up_gives_up_and_ends_a_weftd_that_does_not_get_ready(
    weft: Weft, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weft.cli import up

    started: list[subprocess.Popen[bytes]] = []
    start = daemon_process.start

    def remember(settings: Settings, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        started.append(start(settings, environment))
        return started[0]

    monkeypatch.setattr(up, "READY_S", 0.3)
    monkeypatch.setattr(daemon_process, "start", remember)
    monkeypatch.setattr(daemon_process, "COMMAND", (sys.executable, "-c", SLEEPER))
    ran = weft("up")
    assert ran.code == 1
    assert "not ready within 0.3 s" in ran.err
    assert started[0].poll() is not None


def test_log_that_grew_is_put_aside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(folder)
    log = daemon_process.log_file(settings)
    log.parent.mkdir(parents=True)
    log.write_text("x" * 100)
    monkeypatch.setattr(daemon_process, "LOG_LIMIT_BYTES", 50)
    monkeypatch.setattr(daemon_process, "COMMAND", (sys.executable, "-c", "print('new')"))
    assert daemon_process.start(settings, os.environ).wait(10) == 0
    assert log.read_text() == "new\n"
    assert log.with_suffix(".log.1").read_text() == "x" * 100


def test_every_setting_is_described() -> None:
    assert set(field_docstrings()) == set(Settings.__struct_fields__)


def test_settings_survive_the_environment() -> None:
    settings = Settings(
        name="h9",
        underlay_address=ip_address("192.0.2.7"),
        address_pool=ip_network("10.64.0.0/12"),
        mtu_bytes=1400,
        rest_s=0.5,
        docker=False,
        metrics="127.0.0.1:9090",
    )
    assert config.load(environment=to_environment(settings)) == settings


@pytest.mark.parametrize("lease_s", [0.0, 9.9, 8 * 86400.0])
def test_a_lease_that_is_of_no_use_is_refused(lease_s: float) -> None:
    with pytest.raises(InvalidError, match="lease_s"):
        config.load({"lease_s": lease_s}, environment={})


def test_a_run_dir_that_no_socket_fits_in_is_refused() -> None:
    longest = "/" + "x" * (107 - len("//weftd.sock"))
    assert config.load({"run_dir": longest}, environment={}).run_dir == longest
    with pytest.raises(InvalidError, match="has 108 bytes, and Linux takes 107; choose a"):
        config.load({"run_dir": longest + "x"}, environment={})


def test_progress_speaks_after_a_second_and_not_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with output.progress("doing nothing"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(output, "QUIET_S", 0.0)
    spoken: list[str] = []
    with output.progress("doing much"):
        deadline = time.monotonic() + 10
        while not spoken and time.monotonic() < deadline:
            spoken += capsys.readouterr().err.splitlines()
    assert spoken == ["doing much …"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (10**16, "10000.0 TB")]
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert output.bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (61, "1 min 1 s"), (86_400 * 2 + 7200, "2 d 2 h")]
)
def test_duration_for_people(seconds: float, text: str) -> None:
    assert output.duration_text(seconds) == text
