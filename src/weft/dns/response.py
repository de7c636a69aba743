"""Reads the answer of an upstream resolver: whether it answers our query, what it says, and for how
long.

Records are passed on as they came; only what the cache needs is read from them, so a type that
is not known here does no harm.
"""

from __future__ import annotations

import struct

from weft.dns import wire
from weft.dns.cache import MAX_NEGATIVE_TTL_S, MAX_TTL_S, MIN_HOLD_S, Fetched
from weft.dns.wire import Record

_ADDITIONAL = 2
_TTL = struct.Struct(">I")


def is_reply(message: bytes, id: int, question: bytes) -> bool:
    """Whether this is an answer to our query: the id and, but for case, the question are ours.

    An error without a question counts as one: some servers answer so to what they do not like.
    """
    if len(message) < wire.HEADER_BYTES:
        return False
    its_id, flags, questions, records = struct.unpack_from(">HHHH", message)
    if its_id != id or not flags & wire.QR or flags & wire.OPCODE:
        return False
    if questions == 0:
        return records == 0 and flags & 0xF not in (wire.NOERROR, wire.NXDOMAIN)
    asked = message[wire.HEADER_BYTES : wire.HEADER_BYTES + len(question)]
    return (
        questions == 1
        and asked[:-4].lower() == question[:-4].lower()
        and asked[-4:] == question[-4:]
    )


def is_truncated(message: bytes) -> bool:
    """Whether there is more, to be had over TCP."""
    return bool(message[2] & wire.TC >> 8)


def rcode_of(message: bytes) -> int:
    """The response code of the header."""
    return message[3] & 0xF


def read(message: bytes, type: int) -> Fetched:
    """The answer in a reply to a query for `type`; ValueError when it is malformed."""
    records = wire.walk(message)
    end = len(message)
    at = next((at for at, record in enumerate(records) if record.type == wire.OPT), None)
    if at is not None:
        opt = records[at]
        if opt.section != _ADDITIONAL:
            raise ValueError("OPT that is not in the additional section")
        if message[opt.ttl_at]:
            raise ValueError("a response code that is not known")
        # What comes behind it goes as well: octets cannot be cut from the middle, for pointers,
        # and additional records are an offer.
        del records[at:]
        end = opt.start
    start = records[0].start if records else end
    (flags,) = struct.unpack_from(">H", message, 2)
    return Fetched(
        flags & wire.AD | flags & 0xF,
        (_count(records, 0), _count(records, 1), _count(records, 2)),
        _with_sane_ttls(message, records)[start:end],
        tuple(record.ttl_at - start for record in records),
        _hold_s(message, records, type),
    )


def _count(records: list[Record], section: int) -> int:
    return sum(record.section == section for record in records)


def _ttl_s(message: bytes, record: Record) -> int:
    ttl_s: int = _TTL.unpack_from(message, record.ttl_at)[0]
    # RFC 2181 section 8: the top bit set means 0.
    return 0 if ttl_s >> 31 else min(ttl_s, MAX_TTL_S)


def _with_sane_ttls(message: bytes, records: list[Record]) -> bytes:
    sane = bytearray(message)
    for record in records:
        _TTL.pack_into(sane, record.ttl_at, _ttl_s(message, record))
    return bytes(sane)


def _hold_s(message: bytes, records: list[Record], type: int) -> float:
    """How long the answer may be kept: the least of what its records say (RFC 2308 section 5)."""
    answers = [record for record in records if record.section == 0]
    ttls_s = [_ttl_s(message, record) for record in answers]
    is_held = any(record.type == type or type == wire.ANY for record in answers)
    if rcode_of(message) == wire.NXDOMAIN or (rcode_of(message) == wire.NOERROR and not is_held):
        soa = next((r for r in records if r.section == 1 and r.type == wire.SOA), None)
        if soa is None or soa.end - soa.ttl_at < 4 + 2 + 22:
            return 0.0
        (minimum_s,) = _TTL.unpack_from(message, soa.end - 4)
        ttls_s += [_ttl_s(message, soa), min(minimum_s, MAX_NEGATIVE_TTL_S)]
    elif rcode_of(message) != wire.NOERROR:
        return 0.0
    return max(float(min(ttls_s)), MIN_HOLD_S)
