"""What the outside's resolver knows, and its answers. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset

OUTSIDE_NAME = "outside.example"
"""Leads to the outside itself."""
ALIAS_NAME = "www.outside.example"
"""Its alias (CNAME)."""
BIG_NAME = "big.outside.example"
"""Has a TXT record too large for UDP."""
_TTL_S = 5
_MAX_PLAIN_UDP_BYTES = 512  # RFC 1035 section 4.2.1; more with EDNS0
_SOA = "ns.outside.example. root.outside.example. 1 3600 600 86400 2"

_Key = tuple[dns.name.Name, dns.rdatatype.RdataType]


class Zone:
    """A few names and the root above them: whatever is not here does not exist."""

    def __init__(self, addresses: Sequence[str], names: Iterable[tuple[str, str]] = ()) -> None:
        """`addresses`: of `OUTSIDE_NAME`; `names`: more pairs of name and address."""
        self._records: dict[_Key, dns.rrset.RRset] = {}
        for address in addresses:
            self._add_address(OUTSIDE_NAME, address)
        for name, address in names:
            self._add_address(name, address)
        self._add(ALIAS_NAME, "CNAME", f"{OUTSIDE_NAME}.")
        self._add(BIG_NAME, "TXT", " ".join(f'"{number:0250d}"' for number in range(12)))
        self._names = {name for name, _ in self._records}

    def answer(self, data: bytes, *, is_udp: bool) -> bytes | None:
        """The answer to a query on the wire; None when there is nobody to answer."""
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return None
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        self._fill(response, question.name, question.rdtype)
        limit = max(query.payload, _MAX_PLAIN_UDP_BYTES) if is_udp else 0xFFFF
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            truncated = dns.message.make_response(query, recursion_available=True)
            truncated.flags |= dns.flags.TC
            return truncated.to_wire()

    def describe(self, data: bytes) -> str:
        """Name and type that a query asks for, for the log."""
        try:
            question = dns.message.from_wire(data).question[0]
        except (dns.exception.DNSException, IndexError):
            return "unreadable"
        return f"{question.name} {dns.rdatatype.to_text(question.rdtype)}"

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> None:
        alias = self._records.get((name, dns.rdatatype.CNAME))
        if alias is not None:
            response.answer.append(alias)
            name = alias[0].target
        found = self._records.get((name, kind))
        if found is not None:
            response.answer.append(found)
            return
        if name not in self._names and alias is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(dns.rrset.from_text(".", 2, "IN", "SOA", _SOA))

    def _add_address(self, name: str, address: str) -> None:
        self._add(name, "AAAA" if ":" in address else "A", address)
        self._add(dns.reversename.from_address(address).to_text(), "PTR", f"{name}.")

    def _add(self, name: str, kind: str, text: str) -> None:
        owner = dns.name.from_text(name)
        added = dns.rrset.from_text(owner, _TTL_S, "IN", kind, text)
        key = (owner, dns.rdatatype.from_text(kind))
        records = self._records.setdefault(key, added)
        for record in added:
            records.add(record)
