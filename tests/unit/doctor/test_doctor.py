"""Checks against made-up hosts; none needs root."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from msgspec.structs import replace

import weft
from weft.api.schema import (
    FactsInfo,
    HostInfo,
    NetworkInfo,
    Problem,
    ReconcileInfo,
    StatusInfo,
    SubnetInfo,
)
from weft.cli.main import main
from weft.config import Settings
from weft.doctor import bpf, clock, connections, daemon, docker, examination, mtu, resolver
from weft.doctor.finding import Daemon, Finding, Subject
from weft.errors import InvalidError, KernelError
from weft.kernel import underlay
from weft.kernel.underlay import Underlay
from weft.model.addresses import ip_address
from weft.model.choices import Advertising, Allocator
from weft.model.records.tenants import DEFAULT_TENANT


def running(*problems: Problem, version: str = weft.__version__) -> Daemon:
    host = HostInfo(
        id="a" * 16,
        name="h1",
        underlay=(),
        mtu_bytes=1500,
        network_mtu_bytes=1450,
        resolvers=(),
        version=version,
        is_local=True,
    )
    return Daemon(
        status=StatusInfo(
            version=version,
            is_ready=True,
            pid=1,
            started_s=0.0,
            host=host,
            settings={},
            network_count=0,
            port_count=0,
            problem_count=len(problems),
        ),
        facts=FactsInfo(
            resident_bytes=50_000_000,
            cpu_s=1.0,
            memlock_bytes=None,
            resolvers=("192.0.2.53",),
            reconcile=ReconcileInfo(run_count=1, repaired_count=0, failed_count=0),
            dns={},
        ),
        problems=problems,
    )


def subject(daemon: Daemon | None = None, **settings: object) -> Subject:
    return Subject(
        settings=Settings(**settings),  # type: ignore[arg-type]
        daemon=daemon,
        why_no_daemon="weftd is not running",
    )


def only(findings: Iterator[Finding], name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


@pytest.mark.parametrize(
    ("text", "state", "detail"),
    [
        ("nameserver 192.0.2.53\n", "ok", "192.0.2.53"),
        ("nameserver 127.0.0.53\noptions edns0\n", "warning", "127.0.0.53 is on loopback"),
        ("# nothing\n", "warning", "lists none"),
        (None, "warning", "No such file"),
    ],
)
def test_resolvers_that_weft_cannot_see_are_told(
    tmp_path: Path, text: str | None, state: str, detail: str
) -> None:
    path = tmp_path / "resolv.conf"
    if text is not None:
        path.write_text(text)
    finding = only(iter(list(resolver.check(subject(resolv_conf=str(path))))), "resolver")
    assert finding.state == state
    assert detail in finding.detail
    assert bool(finding.fix) == (state != "ok")


def network(name: str, *cidrs: str) -> NetworkInfo:
    subnets = tuple(
        SubnetInfo(
            id=cidr,
            cidr=cidr,
            gateway=None,
            ranges=(),
            excludes=(),
            allocator=Allocator.WEFT,
            is_forced=False,
            router_advertisements=Advertising.ATTACHED,
            cut_off_by=None,
        )
        for cidr in cidrs
    )
    return NetworkInfo(
        id=name,
        name=name,
        tenant="default",
        tenant_id=DEFAULT_TENANT,
        vni=1,
        is_internal=False,
        is_exposed=False,
        mtu_bytes=None,
        effective_mtu_bytes=1450,
        labels={},
        subnets=subnets,
        port_count=0,
    )


PLAIN, DUAL = network("plain", "10.1.0.0/24"), network("dual", "10.2.0.0/24", "fd00:2::/64")


@pytest.mark.parametrize(
    ("listed", "networks", "detail"),
    [
        ("2001:db8::1", (PLAIN, DUAL), "2001:db8::1 is IPv6, and network plain is not"),
        ("2001:db8::1", (DUAL,), ""),
        ("2001:db8::1 192.0.2.1", (PLAIN,), "asks it from the host itself"),
        ("192.0.2.1 2001:db8::1", (PLAIN,), ""),
        ("fe80::1%eth0", (DUAL,), "on one link"),
        ("192.0.2.1 127.0.0.1", (DUAL,), "on loopback"),
    ],
)
def test_resolvers_that_docker_asks_from_the_host_are_told_until_docker_has_another(
    tmp_path: Path, listed: str, networks: tuple[NetworkInfo, ...], detail: str
) -> None:
    path, config = tmp_path / "resolv.conf", tmp_path / "daemon.json"
    path.write_text("".join(f"nameserver {address}\n" for address in listed.split()))
    host = subject(
        replace(running(), networks=networks), resolv_conf=str(path), docker_config=str(config)
    )
    finding = only(iter(list(resolver.check(host))), "resolver")
    assert (finding.state == "warning") == bool(detail)
    assert detail in finding.detail
    config.write_text(resolver.EXAMPLE)
    assert only(iter(list(resolver.check(host))), "resolver").state == "ok"


def test_loopback_resolver_is_well_without_docker(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.53\n")
    assert next(iter(resolver.check(subject(resolv_conf=str(path), docker=False)))).state == "ok"


def test_dns_socket_that_failed_is_told(tmp_path: Path) -> None:
    problem = Problem(kind="dns", id="", name="udp x port 53", reason="in use", fix="")
    found = list(resolver.check(subject(running(problem))))
    assert [one.state for one in found if one.name == "dns server"] == ["failed"]


@pytest.mark.parametrize(
    ("wanted", "underlay_mtu", "state", "fix"),
    [
        (0, 1500, "ok", ""),
        (1500, 1500, "warning", "at most 1450, or raise the underlay's MTU by 50"),
        (0, 1300, "warning", "raise the underlay's MTU by 30"),
    ],
)
def test_mtu_that_does_not_fit_is_told(
    monkeypatch: pytest.MonkeyPatch, wanted: int, underlay_mtu: int, state: str, fix: str
) -> None:
    there = Underlay("eth0", 2, underlay_mtu, (ip_address("192.0.2.1"),))
    monkeypatch.setattr(underlay, "find", lambda *_: there)
    finding = only(iter(list(mtu.check(subject(mtu_bytes=wanted)))), "mtu")
    assert finding.state == state
    assert fix in finding.fix


def test_underlay_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*_: object) -> Underlay:
        raise InvalidError("underlay_device eth9: no such device; there are lo, eth0")

    monkeypatch.setattr(underlay, "find", find)
    (finding,) = mtu.check(subject(underlay_device="eth9"))
    assert (finding.state, "eth9" in finding.detail) == ("failed", True)
    assert "--underlay-device" in finding.fix


MOUNTS = """\
22 1 0:20 / / rw - ext4 /dev/vda rw
30 22 0:26 / /sys rw - sysfs sysfs rw
31 30 0:27 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw
"""


@pytest.mark.parametrize(
    ("folder", "mount"),
    [
        ("/sys/fs/bpf/weft", ("/sys/fs/bpf", "bpf")),
        ("/sys/fs/bpfx", ("/sys", "sysfs")),
        ("/run/weft", ("/", "ext4")),
    ],
)
def test_innermost_mount_is_found(folder: str, mount: tuple[str, str]) -> None:
    assert bpf._mount_of(Path(folder), MOUNTS) == mount


def test_daemon_of_another_version_is_told() -> None:
    finding = only(iter(list(daemon.check(subject(running(version="0.0.1"))))), "weftd")
    assert finding.state == "warning"
    assert "weft down, then weft up" in finding.fix


def test_problems_of_the_daemon_fail() -> None:
    problem = Problem(kind="port", id="1", name="web.foo", reason="no netns", fix="attach anew")
    finding = only(iter(list(daemon.check(subject(running(problem))))), "port web.foo")
    assert (finding.state, finding.detail, finding.fix) == ("failed", "no netns", "attach anew")


def test_a_prefix_of_the_hosts_own_is_a_warning_for_all_but_that_works() -> None:
    problem = Problem(
        kind="host-prefix", id="1", name="172.18.0.0/16", reason="host h1 has it", fix="another"
    )
    found = list(daemon.check(subject(running(problem))))
    finding = only(iter(found), "host-prefix 172.18.0.0/16")
    assert (finding.state, finding.detail) == ("warning", "host h1 has it")


def test_clock_that_was_never_set_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    (finding,) = clock.check(subject())
    assert (finding.state, finding.detail) == ("failed", "says 1970-01-02")


def test_what_cannot_be_looked_at_is_a_warning_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Subject) -> list[Finding]:
        raise KernelError("list devices", 1)

    checks = (("first", refuse), ("clock", clock.check))
    monkeypatch.setattr(examination, "CHECKS", checks)
    first, second = examination.examine(subject())
    assert (first.name, first.state) == ("first", "warning")
    assert "list devices: Operation not permitted" in first.detail
    assert second.name == "clock"


class Engine(http.server.BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, object]] = {
        "/version": {"Version": "20.10.24"},
        "/info": {"Plugins": {"Network": ["weft"]}},
    }
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps(self.answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def engine(folder: Path) -> Iterator[Path]:
    path = folder / "docker.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def test_docker_engine_and_plugin_are_told(engine: Path, folder: Path) -> None:
    settings = {"docker_socket": str(engine), "docker_plugin_dir": str(folder)}
    first, second = docker.check(subject(running(), **settings))
    assert (first.state, "20.10.24" in first.detail) == ("ok", True)
    assert (second.state, "leads nowhere" in second.detail) == ("failed", True)
    with socket.socket(socket.AF_UNIX) as plugin:
        plugin.bind(str(folder / "weft.sock"))
        plugin.listen()
        _, second = docker.check(subject(running(), **settings))
        assert (second.state, "known to the engine" in second.detail) == ("ok", True)


@pytest.mark.parametrize(
    ("version", "configuration", "state"),
    [
        ("28.5.2", "", "warning"),
        ("29.0.0", "{}", "warning"),
        ("28.5.2", "no json", "warning"),
        ("28.5.2", '{"dns": []}', "warning"),
        ("28.5.2", '{"dns": ["192.0.2.1"]}', "ok"),
        ("27.5.1", "", None),
        ("20.10.24+dfsg1", "", None),
        ("dev", "", None),
    ],
)
def test_an_engine_that_asks_past_weft_is_told(
    engine: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    configuration: str,
    state: str | None,
) -> None:
    monkeypatch.setitem(Engine.answers, "/version", {"Version": version})
    resolv_conf, daemon = folder / "resolv.conf", folder / "daemon.json"
    resolv_conf.write_text("nameserver 127.0.0.53\nnameserver 192.0.2.7\n")
    if configuration:
        daemon.write_text(configuration)
    found = list(docker._resolvers(str(engine), resolv_conf, daemon))
    assert [finding.state for finding in found] == ([state] if state else [])
    if state == "warning":
        assert '{"dns": ["192.0.2.7"]}' in found[0].fix and str(daemon) in found[0].fix


def test_docker_engine_that_does_not_answer_fails(folder: Path) -> None:
    path = folder / "docker.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (finding,) = docker.check(subject(docker_socket=str(path)))
    assert finding.state == "failed"
    assert "docker = false" in finding.fix


def test_no_docker_is_no_failure(folder: Path) -> None:
    (absent,) = docker.check(subject(docker_socket=str(folder / "none.sock")))
    (off,) = docker.check(subject(docker=False))
    assert (absent.state, off.state) == ("skipped", "skipped")


def test_command_fails_when_a_check_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    monkeypatch.setenv("WEFT_RUN_DIR", str(folder))
    findings = [
        Finding(name="kernel: tcx", state="warning", detail="not there", fix="nothing " * 30),
        Finding(name="clock", state="failed", detail="says 1970", fix="set it"),
    ]
    checks = (("made up", lambda _: findings),)
    monkeypatch.setattr(examination, "CHECKS", checks)
    with pytest.raises(SystemExit) as end:
        main(["doctor"])
    out = capsys.readouterr().out
    assert end.value.code == 1
    assert "-> set it" in out
    assert max(map(len, out.splitlines())) <= 80
    findings.pop()
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert end.value.code == 0
    assert answer["is_ok"] is True
    assert set(answer["checks"][-1]) == {"name", "state", "detail", "fix"}


def test_a_crowded_table_of_connections_is_a_warning_that_names_the_busiest() -> None:
    assert connections.judge(10, 262144, []).state == "ok"
    assert connections.judge(10, 0, []).state == "ok"
    found = connections.judge(262000, 262144, [("10.1.0.5", 250000), ("10.1.0.6", 800)])
    assert found.state == "warning"
    assert "262000 of 262144" in found.detail
    assert "10.1.0.5 250000, 10.1.0.6 800" in found.detail
    assert "nf_conntrack_max" in found.fix
