"""The part of DNS's wire format that every query needs, by hand, for speed.

A query of the common form (one question, nothing else but perhaps an OPT record) is read, and its
answer put together, without an object a record. Whatever has another form goes to
`weft.dns.unusual`. RFC 1035, RFC 6891. dnspython serves where text is made of messages
(`weft.dns.lookup`), and as the reference of the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as _struct_error
from typing import NamedTuple

QR = 0x8000
OPCODE = 0x7800
AA = 0x0400
TC = 0x0200
RD = 0x0100
RA = 0x0080
AD = 0x0020
CD = 0x0010

NOERROR = 0
FORMERR = 1
SERVFAIL = 2
NXDOMAIN = 3
NOTIMP = 4
REFUSED = 5

A = 1
SOA = 6
HINFO = 13
PTR = 12
AAAA = 28
SRV = 33
OPT = 41
ANY = 255
IN = 1

HEADER_BYTES = 12
MAX_MESSAGE_BYTES = 65535
MIN_UDP_BYTES = 512
"""What a client takes that says nothing about it (RFC 1035 section 4.2.1)."""
MAX_UDP_BYTES = 1232
"""What we send and take at most: no fragment on any path that carries IPv6 (DNS flag day 2020)."""
QUESTION_NAME = b"\xc0\x0c"
"""A pointer to the name in the question."""
DNSSEC_OK = 0x8000

_HEADER = Struct(">HHHHHH")
_OPT = Struct(">BHHBBHH")
_RECORD = Struct(">HHIH")
_IS_COMMON = QR | OPCODE


class Query(NamedTuple):
    """A question, and what its answer depends on."""

    id: int
    flags: int
    name: bytes
    """Lower case, on the wire's form, with the root's zero octet."""
    question: bytes
    """Name, type and class as they were asked: the answer repeats them."""
    type: int
    udp_bytes: int | None
    """What the asker takes over UDP; None: it sent no OPT, and gets none."""
    is_dnssec_ok: bool


class Answer(NamedTuple):
    """The sections of a response, with no trace of the asker."""

    flags: int
    """AA, AD and the response code."""
    answers: tuple[bytes, ...]
    """Whole records, one an item, to be sent in any order; or one item with records in order."""
    counts: tuple[int, int, int]
    """Records in the answer, authority and additional sections."""
    rest: bytes = b""
    """The authority and additional sections."""
    near: int = 0
    """So many of the answers, the first, come before all others; among themselves in any order."""

    @property
    def rcode(self) -> int:
        """The response code."""
        return self.flags & 0xF


class Record(NamedTuple):
    """Where a resource record lies in a message."""

    section: int
    """0 answer, 1 authority, 2 additional."""
    type: int
    start: int
    ttl_at: int
    end: int


Shuffle = Callable[[tuple[bytes, ...], int], Sequence[bytes]]
"""(items, n) -> n of the items, in random order."""


def parse(data: bytes) -> Query | None:
    """A query of the common form; None for anything else."""
    try:
        id, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
        if flags & _IS_COMMON or questions != 1 or answers or authorities or additionals > 1:
            return None
        at = HEADER_BYTES
        while length := data[at]:
            if length > 63:
                return None
            at += length + 1
        at += 1
        if at > HEADER_BYTES + 255 or data[at + 2 : at + 4] != b"\0\1":
            return None
        end = at + 4
        udp_bytes = None
        is_dnssec_ok = False
        if additionals:
            root, type, udp_bytes, _, version, flags2, options = _OPT.unpack_from(data, end)
            if root or type != OPT or version:
                return None
            is_dnssec_ok = bool(flags2 & DNSSEC_OK)
            end += 11 + options
        if end != len(data):
            return None
    except (IndexError, _struct_error):
        return None
    return Query(
        id,
        flags,
        data[HEADER_BYTES:at].lower(),
        data[HEADER_BYTES : at + 4],
        data[at] << 8 | data[at + 1],
        udp_bytes,
        is_dnssec_ok,
    )


def limit_bytes(query: Query, is_stream: bool) -> int:
    """How large the response may be."""
    if is_stream:
        return MAX_MESSAGE_BYTES
    if query.udp_bytes is None:
        return MIN_UDP_BYTES
    return max(MIN_UDP_BYTES, min(query.udp_bytes, MAX_UDP_BYTES))


def encode(query: Query, answer: Answer, limit: int, shuffle: Shuffle) -> bytes:
    """The response to `query`: id, question and OPT of the query, the rest of the answer.

    What does not fit is left out: whole records from the end, with TC set when it is more than
    additional ones (RFC 2181 section 9).
    """
    flags, records, (answers, authorities, additionals), rest, near = answer
    if len(records) == 1:
        body = records[0] + rest
    elif records:
        # No more than could fit by size (the smallest record has 16 octets), plus the one whose
        # absence then shows that the answer is cut.
        size = min(len(records), limit // 16 + 1)
        chosen = _shuffled(records, near, size, shuffle) if near else shuffle(records, size)
        answers = len(chosen)
        body = b"".join(chosen) + rest
    else:
        body = rest
    opt = b""
    if query.udp_bytes is not None:
        opt = opt_record(query.is_dnssec_ok)
        additionals += 1
    flags |= QR | RA | (query.flags & (RD | CD))
    header = _HEADER.pack(query.id, flags, 1, answers, authorities, additionals)
    message = header + query.question + body + opt
    return message if len(message) <= limit else _cut(message, opt, limit)


def _shuffled(
    records: tuple[bytes, ...], near: int, size: int, shuffle: Shuffle
) -> Sequence[bytes]:
    first = shuffle(records[:near], min(near, size))
    more = shuffle(records[near:], min(len(records) - near, size - len(first)))
    return (*first, *more)


def encode_error(data: bytes, rcode: int) -> bytes:
    """A response without a question, to a query that could not be read beyond its header."""
    id, flags = _HEADER.unpack_from(data)[:2]
    return _HEADER.pack(id, QR | RA | flags & (OPCODE | RD) | rcode, 0, 0, 0, 0)


def encode_query(id: int, flags: int, question: bytes, opt: bytes) -> bytes:
    """A query of our own."""
    return _HEADER.pack(id, flags, 1, 0, 0, 1 if opt else 0) + question + opt


def opt_record(is_dnssec_ok: bool) -> bytes:
    """Our OPT record."""
    return _OPT.pack(0, OPT, MAX_UDP_BYTES, 0, 0, DNSSEC_OK if is_dnssec_ok else 0, 0)


def resource_record(type: int, ttl_s: int, data: bytes, owner: bytes = QUESTION_NAME) -> bytes:
    """A whole record of class IN."""
    return owner + _RECORD.pack(type, IN, ttl_s, len(data)) + data


def encode_name(labels: Sequence[bytes]) -> bytes:
    """A name in wire form, uncompressed; ValueError when it is too long for DNS."""
    if any(not 0 < len(label) < 64 for label in labels):
        raise ValueError("a DNS label has 1 to 63 octets")
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(name) > 255:
        raise ValueError("a DNS name has at most 255 octets")
    return name


def labels_of(name: bytes) -> list[bytes]:
    """The labels of an uncompressed name."""
    labels = []
    at = 0
    while length := name[at]:
        labels.append(name[at + 1 : at + 1 + length])
        at += length + 1
    return labels


def walk(message: bytes) -> list[Record]:
    """The records of a message that has one question, in order; ValueError when it is malformed.

    Only what is needed to step over them is looked at. Linear in the size of the message.
    """
    try:
        counts = _HEADER.unpack_from(message)[2:]
        if counts[0] != 1:
            raise ValueError("not one question")
        at = _after_name(message, HEADER_BYTES) + 4
        records = []
        for section, count in enumerate(counts[1:]):
            for _ in range(count):
                ttl_at = _after_name(message, at) + 4
                type, _, _, length = _RECORD.unpack_from(message, ttl_at - 4)
                end = ttl_at + 6 + length
                if end > len(message):
                    raise ValueError("record longer than the message")
                records.append(Record(section, type, at, ttl_at, end))
                at = end
    except (IndexError, _struct_error) as error:
        raise ValueError("message ends within a record") from error
    if at != len(message):
        raise ValueError("octets after the last record")
    return records


def _after_name(message: bytes, at: int) -> int:
    while length := message[at]:
        if length >= 0xC0:
            return at + 2
        if length > 63:
            raise ValueError("unknown kind of label")
        at += length + 1
    return at + 1


def _cut(message: bytes, opt: bytes, limit: int) -> bytes:
    id, flags, questions, *counts = _HEADER.unpack_from(message)
    records = walk(message)
    if opt:
        del records[-1]
        counts[2] -= 1
    end = records[-1].end
    while records and end + len(opt) > limit:
        record = records.pop()
        counts[record.section] -= 1
        end = record.start
        if record.section < 2:
            flags |= TC
    if opt:
        counts[2] += 1
    header = _HEADER.pack(id, flags, questions, *counts)
    return header + message[HEADER_BYTES:end] + opt
