"""A question asked from within weftd, and its answer in DNS's own text forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from weft.dns import wire
from weft.dns.wire import Query
from weft.errors import InvalidError


class LookupRecord(NamedTuple):
    """One record of an answer."""

    name: str
    type: str
    ttl_s: int
    data: str


class LookupAnswer(NamedTuple):
    """The answer to one question."""

    name: str
    """In full, with the dot of the root."""
    rcode: str
    """``NOERROR``, ``NXDOMAIN``, ``SERVFAIL`` …"""
    records: Sequence[LookupRecord]


def question(name: str, type: str, id: int) -> Query:
    """The question in wire form; InvalidError when name or type is none."""
    try:
        rdtype = dns.rdatatype.from_text(type)
    except (dns.exception.DNSException, ValueError) as error:
        raise InvalidError(
            f"record type {type!r}: unknown; such as A, AAAA, PTR, SRV, TXT"
        ) from error
    try:
        parsed = dns.name.from_text(name)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise InvalidError(f"name {name!r}: no DNS name: {error}") from error
    read = wire.parse(dns.message.make_query(parsed, rdtype, use_edns=False, id=id).to_wire())
    assert read is not None
    return read


def answer(response: bytes) -> LookupAnswer:
    """A response as text."""
    message = dns.message.from_wire(response)
    return LookupAnswer(
        message.question[0].name.to_text(),
        dns.rcode.to_text(message.rcode()),
        [
            LookupRecord(
                rrset.name.to_text(),
                dns.rdatatype.to_text(rrset.rdtype),
                rrset.ttl,
                rdata.to_text(),
            )
            for rrset in message.answer
            for rdata in rrset
        ],
    )
