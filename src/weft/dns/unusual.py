"""Queries of other than the common form: what is wrong with them, or that nothing is.

Hostile ones come here, so nothing is read that is not needed: what cannot be a query that we
answer is refused by its header alone, and records other than OPT are only stepped over. (dnspython
would read them all, and load a module for each type that it meets.)
"""

from __future__ import annotations

import struct

from weft.dns import wire
from weft.dns.wire import Answer, Query, Record

MAX_QUERY_BYTES = 4096
"""A query with every option known has some hundred octets; reading larger ones costs too much."""
MAX_ADDITIONAL = 4
"""OPT, TSIG or SIG(0), and room."""
_NO_RECORDS = (0, 0, 0)
_BADVERS = 16
_EXTENDED_RCODE_AT = -6
"""In a message that ends with our OPT record."""


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
        return _read(data, wire.walk(data))
    except ValueError:
        return wire.encode_error(data, wire.FORMERR)


def _read(data: bytes, records: list[Record]) -> Query | bytes:
    """ValueError when it is malformed."""
    end = records[0].start if records else len(data)
    question = data[wire.HEADER_BYTES : end]
    # Read again as if there were no more than a question, of the usual class.
    header = data[: wire.HEADER_BYTES - 2] + b"\0\0"
    query = wire.parse(header + question[:-2] + wire.IN.to_bytes(2, "big"))
    opts = [record for record in records if record.type == wire.OPT]
    if query is None or len(opts) > 1:
        raise ValueError("the name is compressed or too long, or there are two OPT records")
    query = query._replace(question=question)
    if opts:
        udp_bytes, _, version, flags = struct.unpack_from(">HBBH", data, opts[0].ttl_at - 2)
        is_dnssec_ok = bool(flags & wire.DNSSEC_OK)
        query = query._replace(udp_bytes=udp_bytes, is_dnssec_ok=is_dnssec_ok)
        if version:
            response = _refuse(query, _BADVERS & 0xF)
            extended = bytes((_BADVERS >> 4,))
            return response[:_EXTENDED_RCODE_AT] + extended + response[_EXTENDED_RCODE_AT + 1 :]
    if question[-2:] != wire.IN.to_bytes(2, "big"):
        return _refuse(query, wire.REFUSED)
    return query


def _refuse(query: Query, rcode: int) -> bytes:
    return wire.encode(query, Answer(rcode, (), _NO_RECORDS), wire.MIN_UDP_BYTES, lambda r, n: r)
