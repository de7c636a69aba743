"""The commands of docs/docker.md do what they are there for."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.docker.engine import CLI, Docker, until

pytestmark = [pytest.mark.root, pytest.mark.docker]
_PAGE = Path(__file__).parents[2] / "docs/docker.md"
_FAST = ("--init", "--stop-timeout", "2")


def typed() -> list[list[str]]:
    """Lines of the page's shell blocks."""
    blocks = _PAGE.read_text().split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].splitlines()]
    return [shlex.split(line) for line in lines]


def members(docker: Docker) -> set[str]:
    """Of the group that the page makes."""
    answer = docker.on_host("weft", "port", "ls", "--group", "web", "--json")
    return {port["owner"]["container_name"] for port in json.loads(answer.stdout)["ports"]}


def test_every_command_of_the_page_works(docker: Docker) -> None:
    docker._networks += ["foo", "bar", "back", "lan"]
    docker._containers += ["web", "shop", "nas", "vip", "cart", "till"]
    commands = typed()
    assert len(commands) > 12
    answers: dict[str, str] = {}
    try:
        for command in commands:
            line = " ".join(command)
            words = [CLI, *command[1:]] if command[0] == "docker" else command
            if words[1:3] == ["run", "-d"]:
                words[2:2] = _FAST
            if "weft.internal" in line:
                until("weft knows the name", lambda: docker.port_of("shop") is not None)
            done = docker.on_host(*words)
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
            answers[line] = done.stdout
        assert (
            "hello from weft" in answers["docker run --rm --net=foo busybox wget -qO- http://web"]
        )
        assert "inet6 fd" in answers["docker run --rm --net=bar busybox ip address show eth0"]
        assert "192.168.1." in answers["docker exec web nslookup shop.foo.weft.internal"]
        assert "shop" in answers["weft ps"]
        until("both are in their group", lambda: members(docker) == {"cart", "till"})
        page = docker.on_host("curl", "-sS", "-m", "5", "http://127.0.0.1:8080/")
        assert page.stdout == "hello from weft\n"
        assert docker.address("nas", "lan").startswith("10.20.0.")
    finally:
        for container in docker._containers:
            docker.forget(container)
        docker.on_host(CLI, "network", "rm", "lan")
        docker.on_host("weft", "network", "rm", "lan")
        docker.on_host("weft", "group", "rm", "web")
