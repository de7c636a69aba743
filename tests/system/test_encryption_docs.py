"""The commands of docs/encryption.md do what they are there for, on real hosts."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.encryption import KIND
from tests.system.workload import PATIENCE, until
from weft.lab.host import weft_command
from weft.lab.lab import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(KIND == "none", reason="neither the kernel's WireGuard nor wireguard-go"),
]
_PAGE = Path(__file__).parents[2] / "docs/encryption.md"
_NETWORK = ("weft", "network", "create", "foo", "--subnet", "10.7.0.0/24")


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab(f"encrypt-{os.getpid()}")
    try:
        yield made
    finally:
        made.down()


def run(lab: Lab, host: str, *command: str) -> str:
    """What a command prints on a host."""
    words = [*weft_command(), "lab", "exec", "--name", lab.layout.name, host, "--", *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90 * PATIENCE, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def stages(lab: Lab, host: str = "h1") -> dict[str, str]:
    """Of each host, by its name."""
    told = json.loads(run(lab, host, "weft", "encrypt", "status", "--json"))
    return {each["name"]: each["stage"] for each in told["hosts"]}


def typed() -> list[list[str]]:
    """Lines of the page's shell blocks."""
    lines = [line.strip() for line in _PAGE.read_text().splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("weft encrypt ")]


def plug(lab: Lab, host: str, name: str) -> str:
    """A workload of this name on a host; its address."""
    run(lab, host, "ip", "netns", "add", name)
    attach = ("weft", "attach", f"/run/netns/{name}", "foo", "--name", name, "--json")
    return str(json.loads(run(lab, host, *attach))["addresses"][0])


def ping(lab: Lab, host: str, name: str, address: str) -> None:
    """It answers."""
    inside = ("nsenter", f"--net=/run/netns/{name}", "ping", "-n", "-c", "1", "-w", "15")
    run(lab, host, *inside, address)


def test_every_command_of_the_page_works(lab: Lab) -> None:
    lab.up(2)
    run(lab, "h1", *_NETWORK)
    plug(lab, "h1", "a")
    b = plug(lab, "h2", "b")
    ping(lab, "h1", "a", b)
    commands = typed()
    assert len(commands) > 5
    for command in commands:
        wants = {"on": "refuses", "off": "off"}.get(command[2])
        run(lab, "h1", *command)
        if wants is not None:
            assert set(stages(lab).values()) == {wants}, command
        ping(lab, "h1", "a", b)


def test_a_host_that_joins_an_encrypted_cluster_encrypts_from_the_start(lab: Lab) -> None:
    lab.up(1, settings={"encrypt": True})
    until("h1 is at its last stage", lambda: stages(lab) == {"h1": "refuses"})
    run(lab, "h1", *_NETWORK)
    plug(lab, "h1", "a")
    lab.up(2)
    b = plug(lab, "h2", "b")
    ping(lab, "h1", "a", b)
    assert stages(lab) == {"h1": "refuses", "h2": "refuses"}
    for host in ("h1", "h2"):
        lab.host(host).kill_weftd()
    ping(lab, "h1", "a", b)
    for host in ("h1", "h2"):
        lab.host(host).start_weftd()
    ping(lab, "h1", "a", b)


def test_private_keys_are_in_no_argument_answer_or_log(lab: Lab) -> None:
    lab.up(1, settings={"encrypt": True, "log_level": "debug"})
    host = lab.host("h1")
    file = host.layout.state / "weft/cluster/wireguard.json"
    secret = json.loads(file.read_text())["private_key"]
    run(lab, "h1", "weft", "encrypt", "rotate")
    later = json.loads(file.read_text())["private_key"]
    assert secret != later
    answers = [
        run(lab, "h1", "weft", *words.split(), "--json")
        for words in ("encrypt status", "status", "status hosts", "status problems")
    ]
    arguments = "".join(
        path.read_bytes().decode(errors="replace")
        for process in host.processes()
        for name in ("cmdline", "environ")
        if (path := Path(f"/proc/{process.pid}/{name}")).exists()
    )
    for key in (secret, later):
        assert key not in "".join([*answers, arguments, host.weftd_log.read_text()])
