"""The Docker engine and Weft's place in it."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from weft.dns.resolv_conf import docker_servers, parse
from weft.doctor.finding import Finding, Subject
from weft.model.addresses import IPAddress

TIMEOUT_S = 5.0
_ASKS_FROM_THE_HOST = 28


def check(subject: Subject) -> Iterator[Finding]:
    """Engine, plugin socket, and whether the engine has found the plugin."""
    settings = subject.settings
    if not settings.docker:
        yield Finding(name="docker", state="skipped", detail="switched off by the settings")
        return
    if not Path(settings.docker_socket).exists():
        yield Finding(
            name="docker", state="skipped", detail=f"no engine at {settings.docker_socket}"
        )
        return
    yield _engine(settings.docker_socket)
    yield from _resolvers(
        settings.docker_socket, Path(settings.resolv_conf), Path(settings.docker_config)
    )
    if subject.daemon is not None:
        yield _plugin(Path(settings.docker_plugin_dir) / "weft.sock", settings.docker_socket)


def _engine(path: str) -> Finding:
    try:
        version = _get(path, "/version")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Finding(
            name="docker",
            state="failed",
            detail=f"{path}: {error}",
            fix="start dockerd, or set docker = false if this host needs none",
        )
    return Finding(name="docker", state="ok", detail=f"engine {version.get('Version')} at {path}")


def _resolvers(engine: str, resolv_conf: Path, configuration: Path) -> Iterator[Finding]:
    """Since 28 an engine asks the host's resolvers from the host itself, so that the questions of
    containers never pass their ports; those that it is given it asks from the container."""
    try:
        version = str(_get(engine, "/version").get("Version"))
    except (OSError, http.client.HTTPException, ValueError):
        return
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) < _ASKS_FROM_THE_HOST:
        return
    if docker_servers(configuration) or b"--dns" in _command_line(engine):
        yield Finding(name="docker names", state="ok", detail="asks from containers")
        return
    listed = [str(each) for each in _listed(resolv_conf) if not each.is_loopback]
    example = json.dumps({"dns": listed or ["192.0.2.53"]})
    yield Finding(
        name="docker names",
        state="warning",
        detail=f"engine {version} asks the host's resolvers from the host, past Weft: containers "
        "find Weft's names only where --dns is given",
        fix=f"name the resolvers to it: {example} in {configuration}, then restart dockerd and the "
        "containers",
    )


def _listed(resolv_conf: Path) -> list[IPAddress]:
    try:
        return list(parse(resolv_conf.read_text(errors="replace")))
    except OSError:
        return []


def _command_line(engine: str) -> bytes:
    """Of the process that made the engine's socket, which systemd may have been."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(TIMEOUT_S)
            probe.connect(engine)
            peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return Path(f"/proc/{struct.unpack('3i', peer)[0]}/cmdline").read_bytes()
    except OSError:
        return b""


def _plugin(link: Path, engine: str) -> Finding:
    name = "docker plugin"
    if not link.exists():
        return Finding(
            name=name,
            state="failed",
            detail=f"{link} leads nowhere",
            fix="restart weftd: weft down, then weft up",
        )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(TIMEOUT_S)
            probe.connect(str(link))
    except OSError as error:
        return Finding(
            name=name,
            state="failed",
            detail=f"{link}: {error.strerror or error}",
            fix="restart weftd: weft down, then weft up",
        )
    return Finding(name=name, state="ok", detail=f"{link}, {_known_as(engine)}")


def _known_as(engine: str) -> str:
    try:
        plugins = _get(engine, "/info").get("Plugins")
    except (OSError, http.client.HTTPException, ValueError):
        return "engine does not answer"
    networks = plugins.get("Network") if isinstance(plugins, dict) else None
    if isinstance(networks, list) and "weft" in networks:
        return "known to the engine"
    return "not used by the engine yet"


def _get(path: str, target: str) -> dict[str, object]:
    connection = http.client.HTTPConnection("docker", timeout=TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(TIMEOUT_S)
    try:
        connection.sock.connect(path)
        connection.request("GET", target)
        response = connection.getresponse()
        value = json.loads(response.read())
        if response.status != 200 or not isinstance(value, dict):
            raise ValueError(f"GET {target}: answer {response.status}")
        return value
    finally:
        connection.close()
