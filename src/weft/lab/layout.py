"""Where a lab keeps what, and which addresses it uses: all of it follows from the lab's name.

Nothing here touches the machine. Two labs never share a path, and each has an underlay of its
own, so any number of them coexist, also with a weftd of the machine itself.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from weft.errors import InvalidError

RUN_ROOT = Path("/run/weft-lab")
STATE_ROOT = Path("/var/lib/weft-lab")
DEFAULT_NAME = "lab"
MAX_HOSTS = 100
OUTSIDE = "outside"
OUTSIDE_READY = "ready"
"""What the outside's server prints once it answers."""
UNDERLAY = "underlay"
UNDERLAY_DEVICE = "eth0"
"""What a host's only network card is called."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,23}")
_HOST = re.compile(r"h([1-9][0-9]?|100)")
_BENCHMARK_SPACE = IPv4Network("198.18.0.0/15")  # RFC 2544: for labs, routed nowhere


@dataclass(frozen=True)
class Layout:
    """Paths and addresses of the lab called `name`."""

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidError(
                f"lab name {self.name!r}: use 1 to 24 lower-case letters, digits and dashes, "
                "and begin with a letter or digit"
            )

    @property
    def run(self) -> Path:
        """Namespace files, process records, and each node's /run; worthless after a reboot."""
        return RUN_ROOT / self.name

    @property
    def state(self) -> Path:
        """Databases, images and logs."""
        return STATE_ROOT / self.name

    @property
    def prefix4(self) -> IPv4Network:
        """The underlay's IPv4 prefix, a /24."""
        number = self._digest[0] << 1 | self._digest[1] >> 7
        return IPv4Network((int(_BENCHMARK_SPACE.network_address) + (number << 8), 24))

    @property
    def prefix6(self) -> IPv6Network:
        """The underlay's IPv6 prefix, a unique local /64 (RFC 4193)."""
        base = 0xFD << 120 | int.from_bytes(self._digest[2:7], "big") << 80
        return IPv6Network((base, 64))

    def node(self, name: str) -> NodeLayout:
        """Paths and addresses of ``h1`` … or ``outside``."""
        return NodeLayout(self, name)

    @property
    def _digest(self) -> bytes:
        return hashlib.sha256(self.name.encode()).digest()


@dataclass(frozen=True)
class NodeLayout:
    """Paths and addresses of one machine of a lab."""

    lab: Layout
    name: str

    @property
    def directory(self) -> Path:
        """Everything about this node that a reboot makes worthless."""
        return self.lab.run / self.name

    @property
    def run(self) -> Path:
        """The node's own /run."""
        return self.directory / "run"

    @property
    def namespaces(self) -> Path:
        """One bind-mounted file for each namespace: ``net``, ``mnt``, ``uts``."""
        return self.directory / "ns"

    @property
    def state(self) -> Path:
        """What the node keeps on disk."""
        return self.lab.state / self.name

    @property
    def logs(self) -> Path:
        """One file for each daemon."""
        return self.state / "log"

    @property
    def settings(self) -> Path:
        """Settings of this node's weftd."""
        return self.state / "weft.toml"

    @property
    def docker(self) -> Path:
        """The Docker engine's data, log and socket."""
        return self.state / "docker"

    @property
    def number(self) -> int:
        """Host part of the addresses: 1 for h1, 254 for the outside."""
        return 254 if self.name == OUTSIDE else host_number(self.name)

    @property
    def address4(self) -> IPv4Address:
        """On the underlay."""
        return self.lab.prefix4[self.number]

    @property
    def address6(self) -> IPv6Address:
        """On the underlay."""
        return self.lab.prefix6[self.number]


def host_names(count: int) -> list[str]:
    """``h1`` to ``hN``."""
    if not 1 <= count <= MAX_HOSTS:
        raise InvalidError(f"number of hosts {count}: must be 1..{MAX_HOSTS}")
    return [f"h{number}" for number in range(1, count + 1)]


def host_number(name: str) -> int:
    """3 for ``h3``."""
    match = _HOST.fullmatch(name)
    if match is None:
        raise InvalidError(f"host {name!r}: the hosts of a lab are called h1, h2, …")
    return int(match[1])
