"""Of what two hosts tell again and again, each change is told once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from weft.api.flows_changes import KEPT_S, Changes
from weft.api.schema import FlowEnd, FlowInfo

START_S = 1000.0


def end(address: str, port: int) -> FlowEnd:
    return FlowEnd(
        address=address,
        port=port,
        port_id=None,
        name=None,
        host=None,
        network="foo",
        network_id="n1",
    )


def info(port: int = 4000, *, began_s: float = START_S, verdict: str = "allowed") -> FlowInfo:
    said: Literal["allowed", "denied"] = "denied" if verdict == "denied" else "allowed"
    return FlowInfo(
        protocol="tcp",
        source=end("10.9.0.20", port),
        destination=end("10.9.0.77", 80),
        icmp_type=None,
        icmp_code=None,
        network="foo",
        network_id="n1",
        state="denied" if said == "denied" else "established",
        verdict=said,
        denied_by="ingress" if said == "denied" else None,
        egress_rule=None,
        ingress_rule=None,
        packets=1,
        bytes=60,
        answer_packets=0,
        answer_bytes=0,
        began_s=began_s,
        seen_s=began_s,
        ended_s=None,
        hosts=("h1",),
    )


def events(changes: Changes, infos: Iterable[FlowInfo], now_s: float = START_S) -> list[str]:
    return [line.event for line in changes.lines(infos, now_s - 3.0, now_s)]


def test_a_connection_begins_and_ends_once() -> None:
    changes, flow = Changes(), info()
    ended = replace(flow, ended_s=START_S + 2)
    assert events(changes, [flow]) == ["began"]
    assert events(changes, [flow, replace(flow, began_s=START_S + 0.4)]) == []
    assert events(changes, [ended], START_S + 2) == ["ended"]
    assert events(changes, [ended, replace(ended, began_s=START_S - 0.2)], START_S + 3) == []


def test_one_that_was_short_begins_and_ends_at_once() -> None:
    assert events(Changes(), [replace(info(), ended_s=START_S + 1)]) == ["began", "ended"]


def test_what_began_before_anybody_followed_only_ends() -> None:
    old = info(began_s=START_S - 500)
    assert events(Changes(), [old]) == []
    assert events(Changes(), [replace(old, ended_s=START_S)]) == ["ended"]


def test_what_is_denied_again_is_told_again() -> None:
    changes, flow = Changes(), info(verdict="denied")
    assert events(changes, [flow]) == ["denied"]
    assert events(changes, [flow]) == []
    assert events(changes, [replace(flow, ended_s=START_S + 1)]) == []
    assert events(changes, [replace(flow, seen_s=START_S + 5)], START_S + 5) == ["denied"]


def test_what_another_host_denied_is_told_after_it_began() -> None:
    changes = Changes()
    assert events(changes, [info()]) == ["began"]
    assert events(changes, [info(verdict="denied")]) == ["denied"]


def test_a_port_that_is_used_again_later_is_another_connection() -> None:
    changes = Changes()
    assert events(changes, [info(), info(4001)]) == ["began", "began"]
    later_s = START_S + 60
    assert events(changes, [info(began_s=later_s)], later_s) == ["began"]


def test_what_was_told_long_ago_is_forgotten() -> None:
    changes = Changes()
    events(changes, [info(port) for port in range(100)])
    later_s = START_S + KEPT_S + 1
    assert events(changes, [], later_s) == []
    assert events(changes, [replace(info(), ended_s=later_s)], later_s) == ["ended"]
