"""The Docker engine and Weft's place in it."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

from weft.doctor.finding import Finding, Subject

TIMEOUT_S = 5.0


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
