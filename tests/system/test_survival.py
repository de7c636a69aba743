"""weftd may die, stop or be upgraded: not one packet is lost, and what was promised stays."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import weft
from tests.system.pings import Pings
from tests.system.workload import PATIENCE, NewNetwork, NewWorkload, Workload, until
from weft.api.client import Client
from weft.api.schema import NetworkInfo, PortList
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab

pytestmark = pytest.mark.root


class Traffic:
    """A ping every 10 ms in each family and a TCP stream, until told to end."""

    def __init__(self, one: Workload, two: Workload) -> None:
        self._pings = Pings(one.start, (two.address4, two.address6))
        server = two.start("iperf3", "--server", "--one-off", "--forceflush")
        assert server.stdout is not None
        while "Server listening" not in server.stdout.readline():
            assert server.poll() is None
        # A paced stream, so that nothing is lost by full queues.
        pace = ("--bitrate", f"{200 / PATIENCE:g}M", "--time", f"{60 * PATIENCE:g}")
        stream = ("iperf3", "--client", two.address4, *pace)
        self._stream = one.start(*stream, "--interval", "0.5", "--json")
        self._one = one
        self._overflows = overflows()
        before = two.counters().rx_bytes
        enough = before + 10_000_000 / PATIENCE
        until("the stream flows", lambda: two.counters().rx_bytes > enough)

    def end(self) -> None:
        """End it; nothing may be lost, and the stream never have paused."""
        self._pings.end_whole(50)
        assert self._stream.poll() is None, self._stream.communicate()[0]
        self._stream.send_signal(signal.SIGINT)
        output, _ = self._stream.communicate(timeout=10 * PATIENCE)
        report = json.loads(output)
        whole = [i["sum"] for i in report["intervals"] if i["sum"]["seconds"] > 0.4]
        assert len(whole) >= 2
        assert all(interval["bytes"] > 0 for interval in whole)
        # What a busy machine's own backlog has no room for is not lost by whom this is about.
        assert self._lost_segments() == 0 or overflows() > self._overflows

    def _lost_segments(self) -> int:
        """Segments sent again, less those that the receiver had already (RFC 2883)."""
        counts: dict[str, int] = json.loads(self._one.run("nstat", "-asjz"))["kernel"]
        return max(0, counts["TcpRetransSegs"] - counts["TcpExtTCPDSACKRecvSegs"])


def overflows() -> int:
    """Packets that a processor's backlog had no room for, on the whole machine."""
    lines = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


@pytest.fixture
def network(new_network: NewNetwork) -> NetworkInfo:
    return new_network()


@pytest.fixture
def two_workloads(network: NetworkInfo, new_workload: NewWorkload) -> tuple[Workload, Workload]:
    one, two = new_workload(network), new_workload(network, names=("two",))
    assert one.reaches(two.address4)
    assert one.reaches(two.address6)
    return one, two


def programs(host: LabHost) -> str:
    """Ids of the programs on the host's devices."""
    return host.run(["sh", "-c", "bpftool -j net show"])


@pytest.mark.smoke
def test_kill_and_start_lose_nothing(
    host: LabHost, two_workloads: tuple[Workload, Workload]
) -> None:
    before = programs(host)
    traffic = Traffic(*two_workloads)
    for _ in range(3):
        assert host.kill_weftd()
        host.start_weftd()
    traffic.end()
    assert programs(host) == before


def test_a_changed_program_with_new_maps_loses_nothing(
    host: LabHost, two_workloads: tuple[Workload, Workload], tmp_path: Path
) -> None:
    """An upgrade: weftd starts from another copy of the package, whose maps have other names."""
    shutil.copytree(Path(weft.__file__).parent, tmp_path / "weft")
    names = re.compile(rb"\b([a-z0-9_]+)_v[12]\b(?=[\0\"])")
    engine = (f"engine/ebpf{part}" for part in ("", "/tables", "/policy", "/drivers"))
    for folder in (*engine, "kernel", "kernel/bpf", "kernel/bpf/objects"):
        for file in (tmp_path / "weft" / folder).glob("*.[po]*"):
            file.write_bytes(names.sub(rb"\1_v9", file.read_bytes()))
    before = programs(host)
    traffic = Traffic(*two_workloads)
    assert host.kill_weftd()
    environment = {**host.environment, "PYTHONPATH": str(tmp_path)}
    subprocess.run(
        [*host.enter, *weft_command(), "up"], env=environment, check=True, timeout=60 * PATIENCE
    )
    upgraded = programs(host)
    assert host.kill_weftd()
    host.start_weftd()
    traffic.end()
    assert upgraded != before
    assert programs(host) != upgraded


def test_ports_go_on_while_weftd_is_down(
    host: LabHost, two_workloads: tuple[Workload, Workload], outside: tuple[str, str]
) -> None:
    one, two = two_workloads
    host.run([*weft_command(), "down"])
    assert host.weftd is None
    for address in (two.address4, two.address6, *outside):
        assert one.reaches(address)
    two.run("ip", "neigh", "flush", "all")
    assert two.reaches(one.address4)


def test_everything_is_known_again_after_a_kill(
    host: LabHost, two_workloads: tuple[Workload, Workload], network: NetworkInfo, api: Client
) -> None:
    one, two = two_workloads
    ports = api.get(PortList, "ports")
    counted = two.counters()
    assert host.kill_weftd()
    host.start_weftd()
    assert api.get(PortList, "ports") == ports
    assert api.get(NetworkInfo, "networks", network.name) == api.get(
        NetworkInfo, "networks", network.name
    )
    assert two.counters().rx_packets >= counted.rx_packets
    assert one.run("dig", "+short", "+time=2", "two").strip() == two.address4


def test_a_kill_in_the_middle_of_attaching_leaves_no_half_port(
    lab: Lab, host: LabHost, network: NetworkInfo, new_workload: NewWorkload, api: Client
) -> None:
    """Whenever it dies, a port is there with its device, or neither is."""
    for delay_ms in (0, 2, 5, 10, 20):
        workload = new_workload()
        attach = subprocess.Popen(
            [*host.enter, *weft_command(), "attach", workload.path, network.name],
            env=host.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        is_asked = f"the request {delay_ms} ms"
        if delay_ms:
            try:
                attach.wait(0.3 + delay_ms / 1000)
            except subprocess.TimeoutExpired:
                is_asked += " late"
        host.kill_weftd()
        attach.wait(30)
        host.start_weftd()
        workload.attach(network)
        assert workload.reaches(workload.address4), is_asked
        links = json.loads(host.run(["ip", "-json", "link"]))
        devices = sum(link["ifname"].startswith("weft") for link in links)
        ports = [p for p in api.get(PortList, "ports").ports if p.device]
        assert devices == len(ports) + 3, "weft0, weft1, weftx and one device a port"
