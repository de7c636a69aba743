"""Where to find other hosts, as people write it."""

from __future__ import annotations

import pytest

from weft.cluster.endpoints import parse_endpoints
from weft.cluster.interface import Endpoint
from weft.errors import InvalidError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("192.0.2.1", [("192.0.2.1", 6783)]),
        ("192.0.2.1:7000", [("192.0.2.1", 7000)]),
        ("2001:DB8::1", [("2001:db8::1", 6783)]),
        ("[2001:db8::1]", [("2001:db8::1", 6783)]),
        ("[2001:db8::1]:7000", [("2001:db8::1", 7000)]),
        ("h1", [("h1", 6783)]),
        ("h1.example:7000", [("h1.example", 7000)]),
        ("h1, 192.0.2.1 ,,h1", [("h1", 6783), ("192.0.2.1", 6783)]),
    ],
)
def test_endpoints_are_addresses_or_names_with_or_without_a_port(
    text: str, expected: list[tuple[str, int]]
) -> None:
    assert parse_endpoints(text, 6783) == tuple(Endpoint(*one) for one in expected)


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.300",
        "192.0.2.1:0",
        "192.0.2.1:70000",
        "h1:",
        "h1:x",
        "::1:",
        "[::1",
        "[h1]:5",
        "-h",
    ],
)
def test_what_is_no_endpoint_is_named(text: str) -> None:
    with pytest.raises(InvalidError, match="join '"):
        parse_endpoints(f"192.0.2.1,{text}", 6783)
