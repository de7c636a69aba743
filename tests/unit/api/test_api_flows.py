"""Connections by the API: named from the records, of one host or all, and as they come and go."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from msgspec.structs import replace

from tests.lines import Reader, lines_of
from tests.unit.conftest import Weftd
from weft.api.schema import FlowList, NetworkInfo, PortInfo, PortRequest
from weft.cluster.inquiry import Answer, UnansweredError, Why
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.errors import InvalidError, NotFoundError, UnavailableError
from weft.model.choices import Action, Direction
from weft.model.ids import GroupId, HostId, RuleId
from weft.model.records import Host, Network, SecurityGroup, SecurityRule
from weft.observers.flows.interface import News
from weft.observers.flows.seen import Denial, FlowsAsked, FlowSeen, FlowWord
from weft.store.interface import Put

HERE, FAR = HostId("a" * 16), HostId("f" * 16)
RULE = "11111111-2222-4333-8444-555555555555"
WEB, BOX = ip_address("10.9.0.20"), ip_address("10.9.0.77")


@pytest.fixture
def flow(weftd: Weftd) -> FlowSeen:
    """From ``web`` to ``box`` on foo."""
    for network in ("foo", "bar"):
        subnet = SubnetSpec(cidr=ip_network(f"10.{9 if network == 'foo' else 8}.0.0/24"))
        spec = NetworkSpec(name=network, subnets=(subnet,))
        weftd.client.send(NetworkInfo, "POST", "networks", body=spec)
    send = weftd.client.send
    for name, address in (("web", WEB), ("box", BOX)):
        body = PortRequest(network="foo", names=(name,), addresses=(address,))
        send(PortInfo, "POST", "ports", body=body)
    (foo,) = weftd.store.by(Network, "name", "foo")
    return FlowSeen(
        protocol=6,
        source=WEB,
        destination=BOX,
        source_port=4000,
        destination_port=80,
        network_id=foo.id,
        state=FlowWord.ESTABLISHED,
        packets=3,
        octets=300,
        answer_packets=2,
        answer_octets=200,
        began_s=100.0,
        seen_s=110.0,
    )


def told(weftd: Weftd, **query: str) -> FlowList:
    return weftd.client.get(FlowList, "flows", query=query)


def test_a_connection_is_named_from_the_records(weftd: Weftd, flow: FlowSeen) -> None:
    group = SecurityGroup(id=GroupId("g1"), name="servers")
    rule = SecurityRule(
        id=RuleId(RULE), group_id=group.id, direction=Direction.INGRESS, action=Action.ALLOW
    )
    weftd.run(lambda: weftd.store.write([Put(group), Put(rule)]))
    weftd.flows.seen = [replace(flow, ingress_rule=RULE)]
    (info,) = told(weftd).flows
    assert (info.protocol, info.state, info.verdict) == ("tcp", "established", "allowed")
    assert (info.source.name, info.source.address, info.source.port) == ("web", str(WEB), 4000)
    assert (info.destination.name, info.destination.port) == ("box", 80)
    assert (info.network, info.hosts) == ("foo", ("h1",))
    assert info.ingress_rule is not None
    assert (info.ingress_rule.id, info.ingress_rule.group) == (RULE, "servers")
    assert info.ingress_rule.text == "allow ingress from any"
    assert (info.bytes, info.answer_bytes) == (300, 200)
    assert info.egress_rule is None


def test_a_group_that_denies_is_named(weftd: Weftd, flow: FlowSeen) -> None:
    group = SecurityGroup(id=GroupId(RULE), name="servers")
    weftd.run(lambda: weftd.store.write([Put(group)]))
    weftd.flows.seen = [replace(flow, ingress_rule=RULE, denied_by=Denial.INGRESS)]
    (info,) = told(weftd).flows
    assert info.ingress_rule is not None
    assert (info.ingress_rule.group, info.ingress_rule.text) == ("servers", None)


def test_what_no_record_knows_is_told_all_the_same(weftd: Weftd, flow: FlowSeen) -> None:
    gone = replace(
        flow,
        network_id="gone",
        egress_rule=RULE,
        protocol=47,
        state=FlowWord.DENIED,
        denied_by=Denial.EGRESS,
    )
    weftd.flows.seen = [gone]
    (info,) = told(weftd).flows
    assert (info.protocol, info.network, info.network_id) == ("47", None, "gone")
    assert (info.source.name, info.source.port, info.destination.port) == (None, None, None)
    assert (info.verdict, info.denied_by) == ("denied", "egress")
    assert info.egress_rule is not None
    assert info.egress_rule.group is None


def test_ping_has_type_and_code(weftd: Weftd, flow: FlowSeen) -> None:
    weftd.flows.seen = [replace(flow, protocol=58, destination_port=128 << 8 | 7)]
    (info,) = told(weftd).flows
    assert (info.protocol, info.icmp_type, info.icmp_code) == ("icmpv6", 128, 7)
    assert (info.source.port, info.destination.port) == (4000, None)


def test_what_is_asked_for_goes_to_the_collector(weftd: Weftd, flow: FlowSeen) -> None:
    assert flow.network_id is not None
    told(weftd, port="web", verdict="denied", since_s="300", most="7")
    told(weftd, network="foo", verdict="allowed")
    told(weftd)
    assert weftd.flows.asked == [
        FlowsAsked((flow.network_id,), (WEB,), True, 300.0, 7),
        FlowsAsked((flow.network_id,), (), False),
        FlowsAsked(),
    ]


@pytest.mark.parametrize(
    "query, error, words",
    [
        ({"port": "nobody"}, NotFoundError, "nobody"),
        ({"network": "nowhere"}, NotFoundError, "nowhere"),
        ({"host": "h9"}, NotFoundError, "h9"),
        ({"port": "web", "network": "bar"}, InvalidError, "web is not on network bar"),
        ({"host": "h1", "all": "true"}, InvalidError, "not both"),
        ({"verdict": "perhaps"}, InvalidError, "verdict"),
        ({"since_s": "-1"}, InvalidError, "since_s"),
        ({"since_s": "nan"}, InvalidError, "since_s"),
        ({"most": "0"}, InvalidError, "most"),
        ({"most": "1000000"}, InvalidError, "most"),
    ],
)
def test_what_makes_no_sense_is_refused(
    weftd: Weftd, flow: FlowSeen, query: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        told(weftd, **query)
    assert weftd.flows.asked == []


def test_what_two_hosts_have_seen_is_one_connection(weftd: Weftd, flow: FlowSeen) -> None:
    weftd.run(lambda: weftd.store.write([Put(Host(id=FAR, name="far"))]))
    weftd.flows.seen = [replace(flow, egress_rule=RULE)]
    there = [
        replace(flow, began_s=99.0, denied_by=Denial.INGRESS, state=FlowWord.DENIED),
        replace(flow, source_port=4001, began_s=105.0),
    ]
    weftd.others.answers[FAR] = Answer(there, is_whole=True)
    answer = told(weftd, all="true")
    assert answer.is_whole
    last, both = answer.flows
    assert (last.source.port, last.hosts) == (4001, ("far",))
    assert (both.hosts, both.verdict, both.began_s) == (("far", "h1"), "denied", 99.0)
    assert both.egress_rule is not None


def test_one_other_host_is_asked_alone(weftd: Weftd, flow: FlowSeen) -> None:
    weftd.run(lambda: weftd.store.write([Put(Host(id=FAR, name="far"))]))
    weftd.others.answers[FAR] = Answer([flow], is_whole=False)
    answer = told(weftd, host="far")
    assert not answer.is_whole
    assert [one.hosts for one in answer.flows] == [("far",)]
    assert weftd.flows.asked == []
    assert told(weftd, host="h1").flows == ()


def test_hosts_that_do_not_answer_are_named(weftd: Weftd, flow: FlowSeen) -> None:
    weftd.run(lambda: weftd.store.write([Put(Host(id=FAR, name="far"))]))
    weftd.flows.seen = [flow]
    weftd.others.answers[FAR] = UnansweredError(Why.LATE, "no answer within 5 s")
    answer = told(weftd, all="true")
    assert (len(answer.flows), answer.is_whole) == (1, False)
    (unanswered,) = answer.unanswered
    assert unanswered.host == "far"
    with pytest.raises(UnavailableError, match="no answer within 5 s"):
        told(weftd, host="far")
    weftd.others.answers[FAR] = Answer([], is_whole=False)
    (unanswered,) = told(weftd, all="true").unanswered
    assert "more connections" in unanswered.reason


def test_who_watches_is_told_what_comes_and_goes(weftd: Weftd, flow: FlowSeen) -> None:
    other = replace(flow, network_id="n9", source=ip_address("10.9.0.99"))
    denied = replace(flow, denied_by=Denial.INGRESS, state=FlowWord.DENIED)
    ended = replace(flow, ended_s=time.time())

    def tell() -> None:
        followers = weftd.flows.followers
        followers.tell(News([flow, other, denied], [ended, replace(denied, ended_s=1.0)], 5))

    async def told_later() -> None:
        tell()

    with (
        lines_of(weftd.settings.api_socket, "/v1/flows/watch?port=web") as one,
        lines_of(weftd.settings.api_socket, "/v1/flows/watch?verdict=denied") as strict,
    ):
        weftd.run(told_later)
        events = [one.line() for _ in range(4)]
        assert [each["event"] for each in events] == ["began", "denied", "ended", "missed"]
        assert events[0]["flow"]["source"]["name"] == "web"
        assert events[-1]["missed"] == 5
        assert strict.line()["event"] == "denied"
        assert strict.line()["event"] == "missed"
    end_s = time.monotonic() + 20
    while weftd.flows.followers:
        assert time.monotonic() < end_s, "a client that has gone is still followed up"
        time.sleep(0.01)


def test_who_watches_all_hosts_is_told_once_of_what_two_have_seen(
    weftd: Weftd, flow: FlowSeen
) -> None:
    weftd.run(lambda: weftd.store.write([Put(Host(id=FAR, name="far"))]))
    now_s = time.time()
    flow = replace(flow, began_s=now_s, seen_s=now_s)
    older = replace(flow, source_port=4001, began_s=now_s - 100)
    weftd.flows.seen = [flow]
    weftd.others.answers[FAR] = Answer([replace(flow, began_s=now_s + 0.3)], is_whole=True)

    async def look() -> None:
        weftd.flows.followers.tell(News([], [], 0))

    def told_next(lines: Reader) -> dict[str, Any]:
        weftd.run(look)
        return lines.line()

    with lines_of(weftd.settings.api_socket, "/v1/flows/watch?all=true") as lines:
        began = told_next(lines)
        assert (began["event"], began["flow"]["hosts"]) == ("began", ["far", "h1"])
        asked = weftd.flows.asked[-1]
        assert asked.changed_s is not None
        assert asked.since_s is None
        ended = replace(older, ended_s=now_s + 0.5)
        weftd.others.answers[FAR] = Answer([ended], is_whole=True)
        assert [told_next(lines)["event"]] == ["ended"]
        weftd.others.answers[FAR] = UnansweredError(Why.LATE, "no answer within 5 s")
        silent = told_next(lines)
        assert (silent["event"], silent["unanswered"]["host"]) == ("unanswered", "far")
        denied = replace(flow, source_port=4002, denied_by=Denial.INGRESS, state=FlowWord.DENIED)
        weftd.others.answers[FAR] = Answer([denied, ended], is_whole=True)
        assert told_next(lines)["event"] == "denied"


def test_who_watches_another_host_is_told_when_it_is_silent(weftd: Weftd, flow: FlowSeen) -> None:
    weftd.run(lambda: weftd.store.write([Put(Host(id=FAR, name="far"))]))
    weftd.others.answers[FAR] = UnansweredError(Why.LATE, "no answer within 5 s")

    async def look() -> None:
        weftd.flows.followers.tell(News([], [], 0))

    with lines_of(weftd.settings.api_socket, "/v1/flows/watch?host=far") as lines:
        weftd.run(look)
        assert lines.line()["unanswered"]["host"] == "far"
    assert weftd.flows.asked == []
    with pytest.raises(InvalidError, match="not both"):
        weftd.client.get(FlowList, "flows", "watch", query={"host": "far", "all": "true"})
