"""Queries of other than the common form, read by dnspython: slower, but it knows all of DNS.

Hostile ones come here too, so what cannot be a query that we answer is refused by its header
alone, before any record is looked at.
"""

from __future__ import annotations

import struct

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass

from weft.dns import wire
from weft.dns.wire import Query

MAX_QUERY_BYTES = 4096
"""A query with every option known has some hundred octets; reading larger ones costs too much."""
MAX_ADDITIONAL = 4
"""OPT, TSIG or SIG(0), and room."""


def read(data: bytes) -> Query | bytes | None:
    """The query; or the response that says what is wrong with it; or None: give no response."""
    if len(data) < wire.HEADER_BYTES:
        return None
    flags, questions, answers, authorities, additionals = struct.unpack_from(">5H", data, 2)
    if flags & wire.QR:
        return None
    if flags & wire.OPCODE:
        return wire.encode_error(data, wire.NOTIMP)
    if (
        questions != 1
        or answers
        or authorities
        or additionals > MAX_ADDITIONAL
        or len(data) > MAX_QUERY_BYTES
    ):
        return wire.encode_error(data, wire.FORMERR)
    try:
        message = dns.message.from_wire(data)
        (question,) = message.question
        name = question.name.to_wire()
    except (dns.exception.DNSException, ValueError):
        return wire.encode_error(data, wire.FORMERR)
    assert name is not None
    if message.edns > 0:
        return _refusal(message, dns.rcode.BADVERS)
    if question.rdclass != dns.rdataclass.IN:
        return _refusal(message, dns.rcode.REFUSED)
    return Query(
        message.id,
        flags,
        name.lower(),
        name + struct.pack(">HH", question.rdtype, question.rdclass),
        int(question.rdtype),
        message.payload if message.edns >= 0 else None,
        bool(message.ednsflags & dns.flags.DO),
    )


def _refusal(query: dns.message.Message, rcode: dns.rcode.Rcode) -> bytes:
    response = dns.message.make_response(
        query, recursion_available=True, our_payload=wire.MAX_UDP_BYTES
    )
    response.set_rcode(rcode)
    return response.to_wire()
