"""The lab itself: it can be repeated, entered, hurt, and taken away without a trace."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from tests.system.workload import PATIENCE, fetch, until
from weft.errors import InvalidError, NotFoundError
from weft.lab import faults
from weft.lab.command import run
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab
from weft.lab.mounts import mounts
from weft.lab.node import Node

pytestmark = pytest.mark.root
NODES = ("h1", "h2", "outside")
FORMER = f"weft-former-{os.getpid()}"
"""A network namespace that is there before the lab."""


def in_lab(lab: Lab, host: str, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """What a user types: ``weft lab exec``."""
    command = [*weft_command(), "lab", "exec", "--name", lab.name, host, "--", *words]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=30 * PATIENCE, check=False
    )


def weft_lab(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*weft_command(), "lab", words[0], "--name", lab.name, *words[1:]]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False
    )


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    """Two hosts without weftd, for what the lab alone must do."""
    made = Lab(f"pair-{os.getpid()}")
    run(["ip", "netns", "add", FORMER])
    try:
        made.up(2, has_weftd=False)
        yield made
    finally:
        made.down()
        subprocess.run(["ip", "netns", "del", FORMER], capture_output=True, check=False)


def namespaces(node: Node) -> set[int]:
    """Numbers of a node's namespaces."""
    return {file.stat().st_ino for file in node.layout.namespaces.iterdir()}


def traces(name: str) -> list[str]:
    """What is left of a lab: mounts, files, processes, cgroups, devices of the machine."""
    words = [str(path) for path in Path("/sys/fs/cgroup").rglob(f"*{name}*") if path.is_dir()]
    words += [mount.target for mount in mounts() if name in mount.target]
    for root in (Path("/run/weft-lab"), Path("/var/lib/weft-lab")):
        words += [str(path) for path in root.glob(name)]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name in line and str(os.getpid()) != path.parent.name:
            words.append(line)
    return words


def machine() -> dict[str, str]:
    """What a lab must not touch: the machine's own devices, addresses, rules and pins."""
    commands = {
        "links": ["ip", "-brief", "link"],
        "routes": ["ip", "route", "show", "table", "all"],
        "rules": ["nft", "list", "ruleset"],
        "name": ["hostname"],
    }
    found = {
        what: subprocess.run(line, capture_output=True, text=True, check=True).stdout
        for what, line in commands.items()
    }
    found["pins"] = " ".join(sorted(map(str, Path("/sys/fs/bpf").glob("*"))))
    return found


@pytest.mark.smoke
def test_hosts_have_names_addresses_and_a_way_out(pair: Lab) -> None:
    for name in ("h1", "h2"):
        host = pair.host(name)
        assert host.run(["hostname"]).strip() == name
        assert str(host.layout.address4) in host.run(["ip", "-4", "address", "show", "eth0"])
        assert str(host.layout.address6) in host.run(["ip", "-6", "address", "show", "eth0"])
        outside = pair.outside.layout
        assert f"via {outside.address4}" in host.run(["ip", "route", "get", "1.1.1.1"])
        assert f"via {outside.address6}" in host.run(["ip", "route", "get", "2001:db8::1"])


def test_outside_has_a_web_server_and_a_resolver(pair: Lab) -> None:
    host = pair.host("h1")
    outside = pair.outside.layout
    for address in (str(outside.address4), f"[{outside.address6}]"):
        assert "outside greets" in host.run(fetch(f"http://{address}/"))
    assert host.run(["dig", "+short", "outside.example"]).strip() == str(outside.address4)
    assert host.run(["dig", "+short", "AAAA", "outside.example"]).strip() == str(outside.address6)
    assert "NXDOMAIN" in host.run(["dig", "nothing.example"])
    assert host.run(fetch(f"http://{outside.address4}/")) == (
        f"outside greets {host.layout.address4}\n"
    )
    assert len(host.run(fetch("http://outside.example/bytes/5000"))) == 5000


def test_each_host_has_run_sys_and_bpf_of_its_own(pair: Lab) -> None:
    one, two = pair.host("h1"), pair.host("h2")
    for host in (one, two):
        assert set(host.run(["ls", "/sys/class/net"]).split()) == {"eth0", "lo"}
        assert "cgroup" in host.run(["cat", "/proc/mounts"])
        host.run(["sh", "-c", f"echo {host.name} > /run/who; mkdir -p /sys/fs/bpf/of-{host.name}"])
    assert one.run(["cat", "/run/who"]) == "h1\n"
    assert two.run(["cat", "/run/who"]) == "h2\n"
    assert "of-h1" not in two.run(["ls", "/sys/fs/bpf"])
    assert not Path("/run/who").exists()


def test_a_host_does_not_keep_foreign_namespaces(pair: Lab) -> None:
    """Those that were there before it, and those that come and go later."""
    host = pair.host("h2")
    later = f"weft-later-{os.getpid()}"
    run(["ip", "netns", "add", later])
    for name in (FORMER, later):
        run(["ip", "netns", "del", name])
    kept = namespace_files(host.run(["cat", "/proc/mounts"]))
    assert not [file for file in kept if Path(file).name in (FORMER, later)]


def namespace_files(mounts: str) -> list[str]:
    """Those of which a list of mounts tells."""
    return [line.split()[1] for line in mounts.splitlines() if " nsfs " in line]


def test_up_again_changes_nothing(pair: Lab) -> None:
    before = [namespaces(pair.host(name)) for name in ("h1", "h2")]
    links = pair.host("h1").run(["ip", "-brief", "address"])
    status = pair.status()
    pair.up(1, has_weftd=False)
    pair.up(has_weftd=False)
    assert [namespaces(pair.host(name)) for name in ("h1", "h2")] == before
    assert pair.host("h1").run(["ip", "-brief", "address"]) == links
    assert pair.status() == status
    assert len(pair.hosts()) == 2


def test_exec_passes_everything_through(pair: Lab) -> None:
    assert in_lab(pair, "h2", "hostname").stdout == "h2\n"
    assert in_lab(pair, "h1", "sh", "-c", "exit 42").returncode == 42
    assert in_lab(pair, "h1", "cat", text="words\n").stdout == "words\n"
    assert in_lab(pair, "h1", "pwd").stdout.strip() == str(Path.cwd())
    assert in_lab(pair, "h1", "no-such-command").returncode == 127
    assert in_lab(pair, "h1", "printf", "%s|", "a b", "--help", "*").stdout == "a b|--help|*|"
    assert in_lab(pair, "outside", "hostname").stdout == "outside\n"


def test_exec_selects_this_hosts_daemons(pair: Lab) -> None:
    host = pair.host("h1")
    said = dict(
        line.split("=", 1)
        for line in in_lab(pair, "h1", "env").stdout.splitlines()
        if line.startswith(("WEFT_", "DOCKER_"))
    )
    assert said == {
        "WEFT_CONFIG": str(host.layout.settings),
        "DOCKER_HOST": "unix:///run/docker.sock",
    }
    here = Path(sys.executable).with_name("weft")
    assert in_lab(pair, "h1", "sh", "-c", "command -v weft").stdout.strip() == str(here)


def test_exec_gives_a_terminal(pair: Lab) -> None:
    command = [*weft_command(), "lab", "exec", "--name", pair.name, "h1", "--", "sh", "-c"]
    assert os.waitstatus_to_exitcode(pty.spawn([*command, "test -t 0 && test -t 1"])) == 0


@pytest.mark.parametrize("host", ["h3", "h0", "underlay", "../h1"])
def test_exec_on_a_host_that_is_not_there_says_so(pair: Lab, host: str) -> None:
    done = in_lab(pair, host, "true")
    assert done.returncode == 1
    assert host in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cut_host_reaches_nobody_until_healed(pair: Lab) -> None:
    one, two = pair.host("h1"), pair.host("h2")

    def reaches() -> bool:
        address = str(two.layout.address4)
        done = in_lab(pair, "h1", "ping", "-c", "1", "-W", "1", address)
        return done.returncode == 0

    assert reaches()
    faults.cut(pair, "h2")
    assert pair.status().hosts[1].is_cut
    assert not reaches()
    assert "state UP" in two.run(["ip", "link", "show", "eth0"])
    faults.heal(pair, "h2")
    assert not pair.status().hosts[1].is_cut
    assert reaches()
    assert one.is_made


def test_a_cut_link_is_cut_for_these_two_alone_and_one_way_if_wanted(pair: Lab) -> None:
    addresses = {name: str(pair.node(name).layout.address4) for name in ("h1", "h2", "outside")}

    def reaches(source: str, destination: str) -> bool:
        ping = ["ping", "-c", "1", "-W", "1", addresses[destination]]
        return in_lab(pair, source, *ping).returncode == 0

    assert weft_lab(pair, "cut", "h1", "h2").returncode == 0
    assert not reaches("h1", "h2")
    assert reaches("h1", "outside")
    assert [len(host.cuts) for host in pair.status().hosts] == [2, 2]
    assert "cut to h2, from h2" in weft_lab(pair, "status").stdout
    assert weft_lab(pair, "heal", "h2").returncode == 0
    until("the link is healed", lambda: reaches("h1", "h2"))

    assert weft_lab(pair, "cut", "h1", "h2", "--one-way").returncode == 0
    assert not reaches("h1", "h2")
    assert [(cut.source, cut.destination) for cut in pair.status().hosts[0].cuts] == [("h1", "h2")]
    assert weft_lab(pair, "heal", "h1", "h2").returncode == 0
    assert reaches("h1", "h2")


@pytest.mark.parametrize("words", [["h1", "h1"], ["h1", "--one-way"], ["h1", "h9"]])
def test_a_cut_that_means_nothing_says_so(pair: Lab, words: list[str]) -> None:
    done = weft_lab(pair, "cut", *words)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_two_labs_do_not_meet(pair: Lab) -> None:
    other = Lab(f"other-{os.getpid()}")
    try:
        other.up(1, has_weftd=False)
        assert not namespaces(other.host("h1")) & namespaces(pair.host("h1"))
        address = str(pair.host("h1").layout.address4)
        assert in_lab(other, "h1", "ping", "-c", "1", "-W", "1", address).returncode != 0
    finally:
        other.down()
    assert pair.host("h1").is_made


def test_a_lab_broken_off_anywhere_is_completed_and_removed() -> None:
    before = machine()
    broken = Lab(f"broken-{os.getpid()}")
    try:
        broken.up(1, has_weftd=False)
        broken.host("h1").run(["touch", "/run/half-made"])
        (broken.host("h1").layout.directory / "made").unlink()
        server = broken.status().outside
        for process in broken.outside.processes():
            os.kill(process.pid, 9)
        until("the outside is dead", lambda: not broken.outside.processes())
        assert broken.status().outside.state == "stopped" != server.state
        broken.up(2, has_weftd=False)
        assert "half-made" not in broken.host("h1").run(["ls", "/run"])
        assert broken.status().outside.state == "running"
        assert "outside greets" in broken.host("h2").run(fetch("http://outside.example"))
        (broken.host("h2").layout.directory / "made").unlink()
    finally:
        broken.down()
    assert traces(broken.name) == []
    assert machine() == before


def test_down_leaves_nothing() -> None:
    before = machine()
    lab = Lab(f"gone-{os.getpid()}")
    try:
        lab.up(2, has_weftd=False)
        straggler = subprocess.Popen([*lab.host("h2").enter, "sleep", "600"])
        host = lab.host("h1")
        host.run(["ip", "netns", "add", "box"])
        host.run(["ip", "link", "add", "weft0", "type", "veth", "peer", "name", "weft1"])
        host.run(["nft", "add", "table", "inet", "weft"])
        running = [process for name in NODES for process in lab.node(name).processes()]
        assert straggler.pid in [process.pid for process in running]
    finally:
        lab.down()
    straggler.wait(5)
    assert traces(lab.name) == []
    assert not [process for process in running if process.is_running]
    assert machine() == before
    lab.down()


def test_what_is_not_there_is_not_found() -> None:
    missing = Lab(f"missing-{os.getpid()}")
    for ask in (missing.status, missing.hosts, lambda: missing.node("h1")):
        with pytest.raises(NotFoundError, match="not up"):
            ask()
    assert not missing.layout.run.exists()


def test_without_root_the_lab_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for ask in (Lab("any").up, Lab("any").down, Lab("any").status):
        with pytest.raises(InvalidError, match="root"):
            ask()


def test_status_has_its_documented_form(lab: Lab, host: LabHost) -> None:
    done = weft_lab(lab, "status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert set(status) == {"name", "outside", "hosts"}
    assert set(status["outside"]) == {"address", "address6", "state", "log"}
    assert status["hosts"] == [
        {
            "name": "h1",
            "address": str(host.layout.address4),
            "address6": str(host.layout.address6),
            "state": "running",
            "is_cut": False,
            "cuts": [],
            "weftd_pid": int((host.layout.run / "weft/weftd.pid").read_text()),
            "weftd_socket": str(host.api_socket),
            "dockerd_pid": host.engine.pid,
            "docker_socket": None,
            "logs": [str(host.weftd_log)],
        }
    ]
    assert host.weftd_log.exists()
    assert weft_lab(lab, "status").returncode == 0


def test_kill_and_start(lab: Lab, host: LabHost) -> None:
    first = host.weftd
    assert first is not None
    assert weft_lab(lab, "kill", "h1").returncode == 0
    assert not first.is_running
    status = lab.status().hosts[0]
    assert (status.state, status.weftd_pid) == ("stopped", None)
    assert "was not running" in weft_lab(lab, "kill", "h1").stderr
    assert weft_lab(lab, "start", "h1").returncode == 0
    second = host.weftd
    assert second not in (None, first)
    assert weft_lab(lab, "up").returncode == 0
    assert host.weftd == second


def test_plain_weft_acts_on_the_host(lab: Lab, host: LabHost) -> None:
    done = in_lab(lab, "h1", "weft", "status", "--json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert host.weftd is not None
    assert status["pid"] == host.weftd.pid
    assert status["host"]["name"] == "h1"


MAKE_A_NODE = """
import sys
from weft.lab.lab import Lab

lab = Lab(sys.argv[1])
try:
    lab.up(1, has_weftd=False)
    print(lab.host("h1").run(["hostname"]))
finally:
    lab.down()
"""


def test_a_lab_can_be_made_in_a_mount_namespace_of_any_processor() -> None:
    """Linux 6.18 numbers the namespaces that each processor makes by itself, and does not bind one
    whose number is smaller than the caller's."""
    processors = sorted(os.sched_getaffinity(0))
    name = f"numbered-{os.getpid()}"
    for one, other in permutations((processors[0], processors[-1])):
        unshare = [*on_processor(one), "unshare", "--mount", "--propagation", "private", "--"]
        done = subprocess.run(
            [*unshare, *on_processor(other), sys.executable, "-c", MAKE_A_NODE, name],
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )
        assert done.stdout.split() == ["h1"], done.stderr
    assert not traces(name)


SHARE_RUN = """
mount --make-shared "$(stat -c %m /run)"
mount --bind "$1" "$1"
mount --bind /etc/hostname "$1/one"
[ "$(grep -c " $1/one " /proc/self/mountinfo)" = 2 ]
"""


def test_a_lab_can_be_made_where_mounts_below_run_cover_each_other() -> None:
    """As those of `ip netns` do where systemd has made /run shared: each is there twice."""
    name = f"covered-{os.getpid()}"
    below = Path(f"/run/{name}")
    below.mkdir()
    (below / "one").touch()
    try:
        script = f'{SHARE_RUN}exec "$2" -c "$3" "$4"'
        unshare = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-e", "-c", script]
        done = subprocess.run(
            [*unshare, "sh", str(below), sys.executable, MAKE_A_NODE, name],
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
        )
    finally:
        shutil.rmtree(below)
    assert done.stdout.split() == ["h1"], done.stderr


def on_processor(number: int) -> list[str]:
    return ["taskset", "--cpu-list", str(number)]
