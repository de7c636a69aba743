"""wireguard-go's text protocol, over its unix socket (wireguard.com/xplatform).

A request is lines ``key=value``, ended by an empty one; so is the answer, whose last line is
``errno=0`` or what went wrong. Keys are hexadecimal.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from weft.errors import KernelError, UnavailableError
from weft.kernel.wireguard.state import DeviceChange, DeviceState, Endpoint, Peer, PeerSetting
from weft.model.addresses import IPNetwork, ip_address, ip_network

TIMEOUT_S = 5.0
"""For an answer: it takes a millisecond, and a process that hangs must not stop the engine."""
GET = "get=1\n\n"
_MAX_ANSWER_BYTES = 1 << 24
_PEER_CREDENTIALS_BYTES = 12


class UapiWireGuard:
    """A device of wireguard-go's. See `state.WireGuard`."""

    def __init__(self, ifname: str, path: Path) -> None:
        """`path`: of the process's socket."""
        self._ifname = ifname
        self._path = path

    def read(self) -> DeviceState:
        """See `state.WireGuard.read`."""
        return decode_state(self._ask(GET, f"read WireGuard device {self._ifname}"))

    def write(self, change: DeviceChange) -> None:
        """See `state.WireGuard.write`."""
        self._ask(encode_change(change), f"set up WireGuard device {self._ifname}")

    def pid(self) -> int | None:
        """The process that listens; None: none does."""
        with contextlib.suppress(OSError), self._connected() as connection:
            credentials = connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS_BYTES
            )
            return int.from_bytes(credentials[:4], "little")
        return None

    def _ask(self, request: str, operation: str) -> str:
        try:
            with self._connected() as connection:
                connection.sendall(request.encode())
                answer = _receive(connection)
        except OSError as error:
            what = f"{operation}: wireguard-go at {self._path}"
            raise UnavailableError(f"{what}: {error.strerror or 'no answer'}") from error
        body, _, number = answer.rpartition("errno=")
        if not number:
            raise UnavailableError(f"{operation}: wireguard-go at {self._path} has ended")
        if int(number):
            raise KernelError(operation, abs(int(number)))
        return body

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        """By the folder's descriptor: a whole path may be longer than a socket's address."""
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            with connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(f"/proc/self/fd/{folder}/{self._path.name}")
                yield connection
        finally:
            os.close(folder)


def _receive(connection: socket.socket) -> str:
    """All up to the empty line; nothing when the other end goes before that."""
    data = bytearray()
    while not data.endswith(b"\n\n") and len(data) < _MAX_ANSWER_BYTES:
        piece = connection.recv(1 << 16)
        if not piece:
            return ""
        data += piece
    return data.decode()


def encode_change(change: DeviceChange) -> str:
    """The request for a change."""
    lines = ["set=1"]
    if change.private_key is not None:
        lines.append(f"private_key={change.private_key.hex()}")
    if change.port is not None:
        lines.append(f"listen_port={change.port}")
    for key in change.removed:
        lines += [f"public_key={key.hex()}", "remove=true"]
    for peer in change.peers:
        lines += _peer_lines(peer)
    return "\n".join(lines) + "\n\n"


def _peer_lines(peer: PeerSetting) -> Iterator[str]:
    yield f"public_key={peer.public_key.hex()}"
    if peer.endpoint is not None:
        yield f"endpoint={_encode_endpoint(peer.endpoint)}"
    yield f"persistent_keepalive_interval={peer.keepalive_s}"
    yield "replace_allowed_ips=true"
    for prefix in sorted(peer.allowed, key=lambda each: (each.version, each)):
        yield f"allowed_ip={prefix}"


def decode_state(text: str) -> DeviceState:
    """A device from the lines that it answers. What is not known is skipped."""
    private_key, port = b"", 0
    peers: dict[bytes, Peer] = {}
    key = b""
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name == "public_key":
            if key:
                peers[key] = _decode_peer(lines)
            key, lines = bytes.fromhex(value), []
        elif key:
            lines.append((name, value))
        elif name == "private_key":
            private_key = bytes.fromhex(value)
        elif name == "listen_port":
            port = int(value)
    if key:
        peers[key] = _decode_peer(lines)
    return DeviceState(private_key if any(private_key) else b"", port, peers)


def _decode_peer(lines: list[tuple[str, str]]) -> Peer:
    facts = dict(lines)
    allowed: set[IPNetwork] = {ip_network(value) for name, value in lines if name == "allowed_ip"}
    seconds = int(facts.get("last_handshake_time_sec", 0))
    return Peer(
        endpoint=_decode_endpoint(facts["endpoint"]) if "endpoint" in facts else None,
        allowed=frozenset(allowed),
        keepalive_s=int(facts.get("persistent_keepalive_interval", 0)),
        handshake_s=seconds + int(facts.get("last_handshake_time_nsec", 0)) / 1e9,
        rx_bytes=int(facts.get("rx_bytes", 0)),
        tx_bytes=int(facts.get("tx_bytes", 0)),
    )


def _encode_endpoint(endpoint: Endpoint) -> str:
    address = f"[{endpoint.address}]" if endpoint.address.version == 6 else str(endpoint.address)
    return f"{address}:{endpoint.port}"


def _decode_endpoint(text: str) -> Endpoint:
    address, _, port = text.rpartition(":")
    return Endpoint(ip_address(address.strip("[]").partition("%")[0]), int(port))
