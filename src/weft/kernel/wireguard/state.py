"""What a WireGuard device holds, and what can be changed in it: the same for both kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from weft.model.addresses import IPAddress, IPNetwork

KEY_BYTES = 32


class Endpoint(NamedTuple):
    """Where a peer's encrypted packets go."""

    address: IPAddress
    port: int


class Peer(NamedTuple):
    """Another device, as this one knows it."""

    endpoint: Endpoint | None
    """As configured, or from where the last authentic packet came."""
    allowed: frozenset[IPNetwork]
    """Sources that are taken from it, and destinations that are sent to it."""
    keepalive_s: int
    handshake_s: float
    """Unix time of the last one; 0: never."""
    rx_bytes: int = 0
    tx_bytes: int = 0


class DeviceState(NamedTuple):
    """All of a device. Holds the private key: never log or keep it."""

    private_key: bytes
    """Empty: none is set."""
    port: int
    peers: Mapping[bytes, Peer]
    """By public key."""


class PeerSetting(NamedTuple):
    """A peer as it shall be; `allowed` replaces what it has, and is taken from other peers."""

    public_key: bytes
    endpoint: Endpoint | None
    """None: stays as it is."""
    allowed: frozenset[IPNetwork]
    keepalive_s: int


class DeviceChange(NamedTuple):
    """What to change; what is None or not named stays. Peers are removed before others are set."""

    private_key: bytes | None = None
    port: int | None = None
    removed: Sequence[bytes] = ()
    peers: Sequence[PeerSetting] = ()


class WireGuard(Protocol):
    """One device, whoever does its work. Synchronous; for one thread at a time."""

    def read(self) -> DeviceState:
        """What it holds. KernelError, UnavailableError: it cannot be asked."""
        ...

    def write(self, change: DeviceChange) -> None:
        """Change it; the same errors. Sessions of peers that are not named go on."""
        ...
