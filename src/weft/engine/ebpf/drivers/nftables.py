"""`nftables`: Weft's own table, replaced whole in one transaction.

What the kernel holds is compared with what it listed right after our last write, so that any edit
by another is seen; nothing is parsed back. A table that is not as we left it reads back as a
`BROKEN` row beside no others: all desired rows are then written, and that one deleted, by the same
write.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping

from weft.engine.ebpf.ruleset import transaction
from weft.engine.ebpf.ruleset.chains import USUAL_PORTS, HostPorts
from weft.engine.ebpf.stale_flows import forget_stale, published_udp
from weft.engine.ebpf.tables.nftables import NFTABLES, NftKey
from weft.engine.plumbing import foreign_chains
from weft.engine.rows import RowFailure, RowKey
from weft.errors import KernelError
from weft.kernel.nftables import Nftables

_SET = re.compile(r"^\t(?:set|map) (\S+) \{", re.MULTILINE)

BROKEN = NftKey("table", "not as Weft left it")
CLOSED = NftKey("foreign", "a chain of another's drops what is Weft's")


class NftDriver:
    """See `engine.rows.Driver`."""

    name = NFTABLES.name

    def __init__(self, ports: foreign_chains.Ports, host_ports: HostPorts = USUAL_PORTS) -> None:
        """Works in the namespace of the calling thread. `ports` are let in where others drop;
        `host_ports` are closed to workloads."""
        self._ports = ports
        self._host_ports = host_ports
        self._nftables = Nftables()
        self._rows: dict[Hashable, Hashable] = {}
        self._listing = b""
        """Digest of the table as it was listed after our last write."""
        self._generation = -1
        """Of the kernel's rules when all was last known to be well."""

    def close(self) -> None:
        """Give back the connection."""
        self._nftables.close()

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`."""
        generation = self._nftables.generation()
        found: dict[Hashable, Hashable] = dict(self._rows)
        if generation != self._generation:
            if self._listed() != self._listing or not self._listing:
                return {BROKEN: True}
            chains = foreign_chains.dropping_chains(self._nftables, self._ports)
            if any(chain.can_open and not chain.is_open for chain in chains):
                found[CLOSED] = True
            else:
                self._generation = generation
        if not foreign_chains.is_legacy_open(self._ports):
            found[CLOSED] = True
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. The table is refused or taken as a whole."""
        gone = set(deletes)
        wanted = {key: value for key, value in self._rows.items() if key not in gone}
        wanted.update(upserts)
        failures: list[RowFailure] = []
        try:
            self._nftables.run(transaction.render(wanted, self._host_ports))
            former, self._rows = self._rows, wanted
            self._listing = self._listed()
            forget_stale(published_udp(former), published_udp(wanted))
        except KernelError as error:
            failures = [RowFailure(RowKey(self.name, key), str(error)) for key in upserts]
        try:
            foreign_chains.open_chains(self._nftables, self._ports)
            foreign_chains.open_legacy(self._ports)
        except KernelError as error:
            failures.append(RowFailure(RowKey(self.name, CLOSED), str(error)))
        return failures

    def purge(self) -> None:
        """Remove the table, and Weft's rules in the chains of others."""
        foreign_chains.close_chains(self._nftables, self._ports)
        self._nftables.run(f"add table {transaction.TABLE}\ndelete table {transaction.TABLE}")
        self._rows, self._listing, self._generation = {}, b"", -1

    def _listed(self) -> bytes:
        """A digest of the table. Elements of sets come in any order and count in none; rules count
        in theirs."""
        text = self._nftables.text(f"list table {transaction.TABLE}")
        if not text:
            return b""
        digest = hashlib.blake2b(text.encode())
        table = transaction.TABLE.removeprefix("inet ")
        for name in _SET.findall(text):
            for element in sorted(self._nftables.elements(table, name)):
                digest.update(element)
            digest.update(name.encode())
        return digest.digest()
