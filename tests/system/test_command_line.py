"""``weft up``, ``down``, ``doctor`` and ``status`` on a host, as its user types them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system.workload import PATIENCE, NewNetwork, NewWorkload, until
from weft.api.client import Client
from weft.api.schema import StatusInfo
from weft.errors import WeftError
from weft.lab.host import LabHost, weft_command

pytestmark = pytest.mark.root


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def weft(host: LabHost, *arguments: str) -> Ran:
    done = subprocess.run(
        [*host.enter, *weft_command(), *arguments],
        env=host.environment,
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def checks(host: LabHost) -> dict[str, dict[str, str]]:
    return {one["name"]: one for one in json.loads(weft(host, "doctor", "--json").out)["checks"]}


def test_up_and_down_say_what_they_did(host: LabHost) -> None:
    assert "runs already on" in weft(host, "up").out
    stopped = weft(host, "down")
    assert stopped.code == 0
    assert "Ports go on forwarding" in stopped.out
    assert host.weftd is None
    started = json.loads(weft(host, "up", "--json").out)
    assert started["state"] == "started"
    assert started["status"]["is_ready"] is True


def test_two_ups_at_once_start_one_weftd(host: LabHost) -> None:
    weft(host, "down")
    command = [*host.enter, *weft_command(), "up"]
    both = [
        subprocess.Popen(command, env=host.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=60 * PATIENCE)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("h1" in text for text in texts)
    # The other one does not wait in the wings until this one ends.
    assert weft(host, "down").code == 0
    assert weftds(host) == []


def weftds(host: LabHost) -> list[int]:
    """Processes that are, or are about to be, weftd."""
    lines = {each.pid: Path(f"/proc/{each.pid}/cmdline") for each in host.processes()}
    return [pid for pid, line in lines.items() if b"weft.daemon" in line.read_bytes()]


def test_up_refuses_settings_that_contradict(host: LabHost) -> None:
    ran = weft(host, "up", "--domain", "other.internal")
    assert ran.code == 1
    assert "domain is 'weft.internal', not 'other.internal'" in ran.err


def test_up_that_cannot_work_says_why(host: LabHost) -> None:
    weft(host, "down")
    ran = weft(host, "up", "--underlay-device", "eth9")
    assert ran.code == 1
    assert "underlay_device eth9: no such device; there are" in ran.err
    assert host.weftd is None


def test_flags_reach_weftd(host: LabHost) -> None:
    weft(host, "down")
    assert weft(host, "up", "--metrics", "127.0.0.1:9469").code == 0
    page = host.run(["curl", "-s", "http://127.0.0.1:9469/metrics"])
    assert "weft_ready 1.0" in page
    assert host.run(["curl", "-s", "http://127.0.0.1:9469/v1/status"]).startswith('{"error"')
    weft(host, "down")


def test_foreground_stays_until_it_is_told(host: LabHost) -> None:
    weft(host, "down")
    process = subprocess.Popen(
        [*host.enter, *weft_command(), "up", "--foreground"],
        env=host.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        client = Client(host.api_socket)
        until("weftd is ready", lambda: is_ready(client))
        assert process.poll() is None
        assert weft(host, "down").code == 0
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "weftd is ready" in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def is_ready(client: Client) -> bool:
    try:
        return client.get(StatusInfo, "status").is_ready
    except WeftError:
        return False


def test_doctor_finds_a_sound_host_sound(host: LabHost) -> None:
    ran = weft(host, "doctor")
    assert ran.code == 0, ran.out
    assert "0 failed" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_doctor_works_without_weftd(host: LabHost) -> None:
    weft(host, "down")
    found = checks(host)
    assert found["weftd"]["state"] == "warning"
    assert "weft up" in found["weftd"]["fix"]
    assert found["leftovers"]["state"] == "ok"


def test_doctor_names_a_firewall_that_drops_and_the_rule_to_add(host: LabHost) -> None:
    rules = """table inet strict {
      chain fw { type filter hook forward priority 5; policy drop; }
      chain in { type filter hook input priority 5; policy drop; iif lo accept; }
      chain out { type filter hook output priority 5; policy drop; ct state established accept; }
    }"""
    host.run(["nft", rules])
    try:
        found = checks(host)
        for chain in ("fw", "in", "out"):
            finding = found[f"firewall: inet strict {chain}"]
            assert finding["state"] == "warning"
            for command in finding["fix"].partition(": ")[2].split("; "):
                host.run(["sh", "-c", command])
        found = checks(host)
        firewalls = [one for name, one in found.items() if name.startswith("firewall")]
        assert firewalls and [one for one in firewalls if one["state"] != "ok"] == []
    finally:
        host.run(["nft", "delete table inet strict"])


def test_counters_show_what_a_workload_did(
    host: LabHost, new_network: NewNetwork, new_workload: NewWorkload
) -> None:
    network = new_network()
    one, two = new_workload(network), new_workload(network)
    assert one.reaches(two.address4)
    ran = weft(host, "status", "ports", "--json")
    counters = {c["port_id"]: c for c in json.loads(ran.out)["counters"]}
    assert counters[one.ports[0].id]["tx_packets"] > 0
    assert counters[two.ports[0].id]["rx_bytes"] > 0
    assert weft(host, "status", "problems").code == 0
