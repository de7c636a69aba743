"""Real programs on real sockets are told at once that rules reject them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf.judged import Judged
from tests.bpf.lan import Lan, made
from tests.bpf.rules import EGRESS, INGRESS, Rule
from tests.bpf.world import ANN, BOB, CYD
from weft.kernel.bpf import programs
from weft.kernel.bpf.layouts import RuleAction

REJECT = RuleAction.RULE_REJECT
CONNECT = """
import errno, socket, sys, time
family, kind, address = int(sys.argv[1]), sys.argv[2], sys.argv[3]
family = socket.AF_INET if family == 4 else socket.AF_INET6
began = time.monotonic()
with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as one:
    one.settimeout(10)
    try:
        one.connect((address, 80))
        one.send(b"x")
        one.recv(1)
        print("through")
    except OSError as error:
        print(errno.errorcode.get(error.errno, str(error)))
"""
EXPECTED = {
    ("tcp", 4): "ECONNREFUSED",
    ("tcp", 6): "ECONNREFUSED",
    ("udp", 4): "EHOSTUNREACH",
    ("udp", 6): "EACCES",
}
"""What Linux makes of it: icmp(7), ICMPv6 as net/ipv6/icmp.c maps codes."""


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory, objects: Path) -> Iterator[Lan]:
    place = tmp_path_factory.mktemp("bpffs-rejects")
    programs.mount_bpffs(place)
    with made(place, objects) as lan:
        yield lan
    programs.purge(place)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("script") / "connect.py"
    file.write_text(CONNECT)
    return file


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("who", ["ingress", "egress", "routed", "from the host"])
def test_a_program_is_told(lan: Lan, script: Path, who: str, version: int, kind: str) -> None:
    target = CYD if who == "routed" else BOB
    judged = Judged(lan.world)
    judged.judge(ANN if who == "egress" else target, [1])
    judged.apply(Rule(1, 1, EGRESS if who == "egress" else INGRESS, None, REJECT))
    address = target.ipv4 if version == 4 else target.ipv6
    command = f"python3 {script} {version} {kind} {address}"
    said = lan.host.run(command) if who == "from the host" else lan.at(ANN, command)
    assert said.strip() == EXPECTED[kind, version]
