"""Waits in a namespace for addresses to ping: ``python -m weft.bench.pinger``.

A line on standard input is an address and a monotonic time; a line on standard output is how many
seconds after that the first answer came. Runs before it is needed, for starting Python takes longer
than what is measured.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time

READY = "ready"
INTERVAL_S = 0.002
WITHIN_S = 20.0
_ECHO_REQUEST, _ECHO_REPLY = 8, 0  # RFC 792
_HEADER = struct.Struct("!BBHHH")


def main() -> None:
    """Until standard input ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        print(READY, flush=True)
        for line in sys.stdin:
            address, since_s = line.split()
            print(first_answer_s(raw, address) - float(since_s), flush=True)


def first_answer_s(raw: socket.socket, address: str) -> float:
    """When it came; infinite if it did not in `WITHIN_S`."""
    deadline_s = time.monotonic() + WITHIN_S
    request = echo_request(1)
    while (now_s := time.monotonic()) < deadline_s:
        raw.sendto(request, (address, 0))
        while select.select([raw], [], [], max(0.0, now_s + INTERVAL_S - time.monotonic()))[0]:
            packet, (source, _) = raw.recvfrom(2048)
            if source == address and packet[(packet[0] & 0x0F) * 4] == _ECHO_REPLY:
                return time.monotonic()
    return float("inf")


def echo_request(sequence: int) -> bytes:
    """An ICMP message without data."""
    words = (_ECHO_REQUEST << 8, 0, sequence)
    total = sum(words)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return _HEADER.pack(_ECHO_REQUEST, 0, checksum, 0, sequence)


if __name__ == "__main__":
    main()
