"""What overlay tests plug in: a network namespace with a port."""

from __future__ import annotations

import select
import shlex
import subprocess
import time
from collections.abc import Callable

from tests.system.workload import PATIENCE
from weft.model.records import Port

_RECEIVE = """
import socket, sys, zlib
server = socket.create_server((sys.argv[1], 7), family=2 if "." in sys.argv[1] else 10)
print("ready", flush=True)
connection, _ = server.accept()
total = check = 0
while data := connection.recv(1 << 20):
    total, check = total + len(data), zlib.crc32(data, check)
print(total, check, flush=True)
"""
_SEND = """
import os, socket, sys, zlib
piece, check = os.urandom(1 << 16), 0
with socket.create_connection((sys.argv[1], 7), timeout=60) as out:
    for _ in range(int(sys.argv[2]) << 4):
        out.sendall(piece)
        check = zlib.crc32(piece, check)
print(int(sys.argv[2]) << 20, check)
"""


def sh(namespace: str, command: str, timeout_s: float = 20) -> str:
    """What a shell command prints in a namespace, which must succeed."""
    words = ["nsenter", f"--net=/run/netns/{namespace}", "sh", "-c", command]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=timeout_s * PATIENCE, check=False
    )
    assert done.returncode == 0, f"{namespace}$ {command}: {done.stdout}{done.stderr}"
    return done.stdout


def until(claim: Callable[[], bool], what: str, timeout_s: float = 10) -> None:
    """Wait until it holds."""
    deadline_s = time.monotonic() + timeout_s * PATIENCE
    while not claim():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


class Workload:
    """A network namespace with a port."""

    def __init__(self, name: str, port: Port) -> None:
        self.name = name
        self.port = port

    def address(self, version: int) -> str:
        """Of the family, on the first subnet."""
        return next(str(each) for each in self.port.addresses if each.version == version)

    def run(self, command: str, timeout_s: float = 20) -> str:
        """What a command prints here."""
        return sh(self.name, command, timeout_s)

    def pings(self, other: Workload, version: int = 4, size: int = 56, *, times: int = 1) -> bool:
        """Whether all answers come, in packets that must not be cut."""
        command = f"ping -n -M do -s {size} -c {times} -i 0.1 -W {PATIENCE:g}"
        words = ["nsenter", f"--net=/run/netns/{self.name}", *shlex.split(command)]
        done = subprocess.run([*words, other.address(version)], capture_output=True, check=False)
        return done.returncode == 0

    def reaches(self, other: Workload, version: int = 4, size: int = 56) -> None:
        """Both become reachable from one another."""
        until(
            lambda: self.pings(other, version, size) and other.pings(self, version, size),
            f"{self.name} does not reach {other.name} by IPv{version}",
        )

    def transfers(
        self, other: Workload, version: int = 4, megabytes: int = 8, timeout_s: float = 30
    ) -> None:
        """As much over TCP, whole."""
        address = other.address(version)
        server = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{other.name}", "python3", "-c", _RECEIVE, address],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            script = shlex.quote(_SEND)
            sent = self.run(f"python3 -c {script} {address} {megabytes}", timeout_s)
            assert select.select([server.stdout], [], [], timeout_s * PATIENCE)[0], "no end"
            assert server.stdout.readline() == sent
        finally:
            server.kill()
            server.communicate()
