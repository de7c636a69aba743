"""Echo requests that go on while something happens, and none of which may be lost.

`ping`, when it is told to end, counts the request that is under way as lost. These pings send no
more then, and wait for the answers that are still to come.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from tests.system.workload import PATIENCE

INTERVAL_S = 0.01
WAIT_S = 5.0
"""For the answers to the last requests."""


class Counts(NamedTuple):
    """Requests to one address."""

    sent: int
    answered: int


class Start(Protocol):
    """Starts a command where the requests come from. Its output is a pipe, of text."""

    def __call__(self, *words: str, stdin: int) -> subprocess.Popen[str]: ...


class Pings:
    """One request to each address every `interval_s`, until `end`."""

    def __init__(
        self, start: Start, addresses: Iterable[str], interval_s: float = INTERVAL_S
    ) -> None:
        options = (f"{interval_s:g}", f"{WAIT_S * PATIENCE:g}")
        command = ("python3", "-c", _SCRIPT, *options, *addresses)
        self._process = start(*command, stdin=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self) -> dict[str, Counts]:
        """What came of them, by address."""
        told, _ = self._process.communicate("end\n", timeout=(WAIT_S + 20) * PATIENCE)
        lines = [line.split() for line in told.splitlines()]
        return {address: Counts(int(sent), int(answered)) for address, sent, answered in lines}

    def end_whole(self, least: int = 20) -> None:
        """End them: none was lost, and there were at least so many to each address."""
        counts = self.end()
        assert counts
        for address, each in counts.items():
            assert each.sent >= least, (address, each)
            assert each.answered == each.sent, (address, each)

    def kill(self) -> None:
        """End them, whatever state they are in."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                stream.close()


_SCRIPT = """
import os, select, socket, struct, sys, time

interval_s, wait_s, addresses = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
identity = os.getpid() & 0xFFFF
kinds = {
    False: (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0),
    True: (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129),
}
sockets = {
    is_ipv6: socket.socket(kinds[is_ipv6][0], socket.SOCK_RAW, kinds[is_ipv6][1])
    for is_ipv6 in {":" in address for address in addresses}
}
sent = dict.fromkeys(addresses, 0)
missing = {address: set() for address in addresses}

def request(is_ipv6, number):
    message = struct.pack("!BBHHHQ", kinds[is_ipv6][2], 0, 0, identity, number & 0xFFFF, number)
    if is_ipv6:
        return message  # the kernel writes the checksum
    total = sum(struct.unpack("!8H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]

def receive(is_ipv6):
    packet, source = sockets[is_ipv6].recvfrom(2048)
    if not is_ipv6:
        packet = packet[(packet[0] & 0xF) * 4 :]
    kind, _, _, echoed = struct.unpack("!BBHH", packet[:6])
    if kind == kinds[is_ipv6][3] and echoed == identity and source[0] in missing:
        missing[source[0]].discard(struct.unpack("!Q", packet[8:16])[0])

print("ready", flush=True)
ends_s, next_s = None, time.monotonic()
while True:
    now_s = time.monotonic()
    if ends_s is not None and (now_s >= ends_s or not any(missing.values())):
        break
    if ends_s is None and now_s >= next_s:
        next_s = max(next_s + interval_s, now_s)
        for address in addresses:
            sent[address] += 1
            missing[address].add(sent[address])
            try:
                sockets[":" in address].sendto(request(":" in address, sent[address]), (address, 0))
            except OSError:
                pass  # it stays without an answer
    until_s = next_s if ends_s is None else ends_s
    waiting = [*sockets.values()] + ([sys.stdin] if ends_s is None else [])
    ready = select.select(waiting, [], [], max(0.0, until_s - time.monotonic()))[0]
    for is_ipv6, each in sockets.items():
        if each in ready:
            receive(is_ipv6)
    if sys.stdin in ready:
        ends_s = time.monotonic() + wait_s
for address in addresses:
    print(address, sent[address], sent[address] - len(missing[address]))
"""
