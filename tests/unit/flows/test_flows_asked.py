"""What hosts say to each other about flows fits into the messages in which they do."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.flows.test_flow_history import DENIED, FLOW
from weft.errors import InvalidError
from weft.observers.flows.choosing import Choice
from weft.observers.flows.seen import FLOWS, FlowsAsked, FlowSeen


@pytest.mark.parametrize("flow", [FLOW, DENIED])
def test_a_flow_arrives_as_it_was(flow: FlowSeen) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(flow), type=FLOWS.item) == flow


def test_a_request_arrives_as_it_was() -> None:
    asked = FlowsAsked(("n1",), ("10.1.0.2", "fd00::1"), True, 300.0, 7)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(asked), type=FLOWS.request) == asked


@pytest.mark.parametrize("address", ["nonsense", "", "10.1.0.2\n", "1" * 46])
def test_what_is_no_address_is_refused(address: str) -> None:
    raw = msgspec.msgpack.encode(FlowsAsked((), (address,)))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(raw, type=FLOWS.request)


def test_what_only_looks_like_one_is_refused_too() -> None:
    raw = msgspec.msgpack.encode(FlowsAsked((), ("10.1.0.999",)))
    asked = msgspec.msgpack.decode(raw, type=FLOWS.request)
    with pytest.raises(InvalidError, match=r"10\.1\.0\.999 is no address"):
        Choice(asked, lambda _: True)
