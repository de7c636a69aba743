"""TCP between workloads, told in one word."""

from __future__ import annotations

import subprocess
import sys

from tests.system.workload import PATIENCE, Workload
from weft.lab.host import LabHost

_SERVE = """
import socket, sys, threading
def answer(client):
    with client:
        while data := client.recv(4096):
            client.sendall(data)
def serve(server):
    while True:
        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in map(int, sys.argv[1:]):
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((host, port))
        server.listen(64)
        threading.Thread(target=serve, args=(server,)).start()
print("ready", flush=True)
"""
_CALL = """
import socket, sys
address, port, timeout = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
try:
    with socket.create_connection((address, port), timeout) as one:
        one.sendall(b"x")
        print("answered" if one.recv(1) == b"x" else "closed")
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    print("silent")
except OSError as error:
    print(error.strerror)
"""
_HOLD = """
import socket, sys
one = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
one.settimeout(float(sys.argv[3]))
for line in sys.stdin:
    one.sendall(b"x")
    try:
        print("answered" if one.recv(1) == b"x" else "closed", flush=True)
    except TimeoutError:
        print("silent", flush=True)
"""
_WAIT_S = 0.7 * PATIENCE


def serve(workload: Workload, *ports: int) -> None:
    """Answer on these ports, in both families, until the test ends."""
    child = workload.start(sys.executable, "-c", _SERVE, *map(str, ports))
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"


def call(workload: Workload, address: str, port: int) -> str:
    """What becomes of a new connection: ``answered``, ``refused``, ``silent``, …"""
    words = (sys.executable, "-c", _CALL, address, str(port), str(_WAIT_S))
    return workload.run(*words).strip()


def called_from(host: LabHost, address: str, port: int) -> str:
    """The same of a connection of the host itself."""
    words = (sys.executable, "-c", _CALL, address, str(port), str(_WAIT_S))
    return host.run([*words]).strip()


class Connection:
    """One that stays open."""

    def __init__(self, workload: Workload, address: str, port: int) -> None:
        words = (sys.executable, "-c", _HOLD, address, str(port), str(_WAIT_S))
        self._child = workload.start(*words, stdin=subprocess.PIPE)
        assert self.use() == "answered"

    def use(self) -> str:
        """What becomes of a byte: ``answered``, ``silent``, ``closed``."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return self._child.stdout.readline().strip()
