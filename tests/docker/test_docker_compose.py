"""Compose: a front and a back network, and one service on both."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docker.engine import CLI, Docker, until

pytestmark = [pytest.mark.root, pytest.mark.docker]

COMPOSE = """\
version: "3.5"
services:
  front:
    image: busybox
    command: httpd -f -p 80 -h /www
    init: true
    networks: [outer]
    ports: ["8090:80"]
  middle:
    image: busybox
    command: httpd -f -p 80 -h /www
    init: true
    networks:
      outer:
      inner:
        aliases: [api]
  back:
    image: busybox
    command: httpd -f -p 80 -h /www
    init: true
    networks: [inner]
networks:
  outer:
    driver: weft
    ipam: {driver: weft}
  inner:
    driver: weft
    internal: true
    ipam:
      config: [{subnet: 10.91.0.0/24}]
"""


def compose_command(docker: Docker) -> list[str]:
    """The plugin of today's Docker, else Debian 12's own program."""
    if docker.on_host(CLI, "compose", "version").returncode == 0:
        return [CLI, "compose"]
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("needs docker compose; make setup installs it")
    return [program]


def test_two_networks(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    project = docker.name("shop").replace("-", "")
    command = [*compose_command(docker), "-p", project, "-f", f"{tmp_path}/docker-compose.yml"]

    def compose(*words: str) -> str:
        done = docker.on_host(*command, *words, timeout_s=90)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        compose("up", "-d")
        ids = {name: compose("ps", "-q", name).strip() for name in ("front", "middle", "back")}
        assert docker.fetches(ids["front"], "middle") == "hello from weft"
        assert docker.fetches(ids["middle"], "back") == "hello from weft"
        assert docker.fetches(ids["back"], "api") == "hello from weft"
        assert not docker.reaches(ids["front"], "back")
        page = docker.on_host("curl", "-sS", "-m", "5", "http://127.0.0.1:8090/")
        assert page.stdout == "hello from weft\n"
        until("weft knows the networks", lambda: f"{project}_inner" in docker.weft_networks())
    finally:
        compose("down", "-t", "2")
