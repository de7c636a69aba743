"""What rows say by name and maps by number, on this host: see `map_table.Names`."""

from __future__ import annotations

from collections.abc import Hashable

from weft.engine.ebpf.policy.atoms import Atom
from weft.engine.ebpf.policy.identities import Identities
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.ways import Ways
from weft.engine.plumbing.devices import Devices


class HostNames:
    """Those of the devices, the ways and the rules that a sink's tables share."""

    def __init__(
        self, devices: Devices, ways: Ways, numbering: Numbering, identities: Identities
    ) -> None:
        self._devices = devices
        self._ways = ways
        self._numbering = numbering
        self._identities = identities

    def ifindex(self, name: str) -> int:
        """See `Names.ifindex`."""
        return self._devices.ifindex(name)

    def name(self, ifindex: int) -> str:
        """See `Names.name`."""
        return self._devices.name(ifindex)

    def way(self, tag: int) -> int:
        """See `Names.way`."""
        return self._ways.of(tag)

    def known_way(self, tag: int) -> int:
        """See `Names.known_way`."""
        return self._ways.known(tag)

    def number(self, kind: Kind, symbol: Hashable) -> int:
        """See `Names.number`."""
        return self._numbering.number(kind, symbol)

    def symbol(self, kind: Kind, number: int) -> Hashable:
        """See `Names.symbol`."""
        return self._numbering.symbol(kind, number)

    def identity(self, atoms: tuple[Atom, ...]) -> int:
        """See `Names.identity`."""
        return self._identities.of(atoms)

    def atoms(self, identity: int) -> tuple[Atom, ...]:
        """See `Names.atoms`."""
        return self._identities.atoms(identity)
