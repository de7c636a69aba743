"""The resolver outside of the hosts answers as a real one would."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest

from weft.lab.zone import ALIAS_NAME, BIG_NAME, OUTSIDE_NAME, Zone

ZONE = Zone(["198.18.1.254", "fd00::fe"], [("h1.example", "198.18.1.1")])


def ask(
    name: str, kind: str, *, is_udp: bool = True, edns_bytes: int | None = None
) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    if edns_bytes is not None:
        query.use_edns(payload=edns_bytes)
    answer = ZONE.answer(query.to_wire(), is_udp=is_udp)
    assert answer is not None
    if is_udp:
        assert len(answer) <= (edns_bytes or 512)
    return dns.message.from_wire(answer)


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        (OUTSIDE_NAME, "A", "198.18.1.254"),
        (OUTSIDE_NAME.upper(), "AAAA", "fd00::fe"),
        ("h1.example", "A", "198.18.1.1"),
        ("1.1.18.198.in-addr.arpa", "PTR", "h1.example."),
    ],
)
def test_known_names_are_answered(name: str, kind: str, data: str) -> None:
    answer = ask(name, kind)
    assert [str(record) for rrset in answer.answer for record in rrset] == [data]


def test_an_alias_comes_with_its_target() -> None:
    assert len(ask(ALIAS_NAME, "A").answer) == 2


def test_an_unknown_name_does_not_exist() -> None:
    answer = ask("nothing.example", "A")
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert answer.authority


def test_an_unknown_type_of_a_known_name_is_empty() -> None:
    answer = ask("h1.example", "AAAA")
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


def test_what_does_not_fit_is_truncated_and_whole_over_tcp() -> None:
    for edns_bytes in (None, 1232):
        short = ask(BIG_NAME, "TXT", edns_bytes=edns_bytes)
        assert short.flags & dns.flags.TC
        assert not short.answer
    assert len(ask(BIG_NAME, "TXT", is_udp=False).to_wire()) > 3000


@pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 12, b"nonsense", bytes(600)])
def test_what_is_no_query_gets_no_answer(data: bytes) -> None:
    assert ZONE.answer(data, is_udp=True) is None
