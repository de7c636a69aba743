"""Connections that routers lead from one network to another: both ends have their names, each host
tells of them on a network of its own, and all the same they are one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from tests.lines import lines_of
from tests.unit.cli.conftest import Weft, weft
from tests.unit.conftest import Weftd
from weft.api.schema import FlowInfo, FlowList
from weft.cluster.inquiry import Answer
from weft.model.addresses import IPAddress
from weft.model.ids import HostId, NetworkId
from weft.model.records import Host, Network
from weft.model.records.tenants import DEFAULT_TENANT
from weft.observers.flows.interface import News
from weft.observers.flows.scope import scope_of
from weft.observers.flows.seen import Denial, FlowSeen, FlowWord
from weft.store.interface import Put

__all__ = ["weft"]
FAR = HostId("f" * 16)
ENDS = {
    4: ("10.1.0.10", "10.2.0.10", "198.51.100.7"),
    6: ("fd00:1::10", "fd00:2::10", "2001:db8::7"),
}


class Shop:
    """``front`` is led to ``back`` by a router; tenant acme has networks and ports like these."""

    def __init__(self, weftd: Weftd, weft: Weft) -> None:
        weftd.run(lambda: weftd.store.write([Put(Host(id=FAR, name="far"))]))
        assert weft("tenant", "create", "acme").code == 0
        self.ids: dict[str, NetworkId] = {}
        for tenant in ("default", "acme"):
            for number, name in enumerate(("front", "back"), 1):
                made = weft(
                    *("network", "create", name, "--tenant", tenant),
                    *("--subnet", f"10.{number}.0.0/24", "--subnet", f"fd00:{number}::/64"),
                )
                assert made.code == 0, made
                full = name if tenant == "default" else f"{tenant}/{name}"
                ips = (word for family in (4, 6) for word in ("--ip", ENDS[family][number - 1]))
                made = weft("port", "add", full, "--name", f"{tenant}-{name}", *ips, "--static")
                assert made.code == 0, made
        for network in weftd.store.list(Network):
            tenant = "" if network.tenant_id == DEFAULT_TENANT else "acme/"
            self.ids[tenant + network.name] = network.id
        assert weft("router", "create", "r1", "--network", "front", "--network", "back").code == 0


@pytest.fixture
def shop(weftd: Weftd, weft: Weft) -> Shop:
    return Shop(weftd, weft)


def seen(network_id: NetworkId | None, source: str, destination: str) -> FlowSeen:
    return FlowSeen(
        protocol=6,
        source=ip_address(source),
        destination=ip_address(destination),
        source_port=4000,
        destination_port=80,
        network_id=network_id,
        state=FlowWord.ESTABLISHED,
        packets=3,
        octets=300,
        answer_packets=2,
        answer_octets=200,
        began_s=100.0,
        seen_s=110.0,
    )


def told(weftd: Weftd, **query: str) -> tuple[FlowInfo, ...]:
    return weftd.client.get(FlowList, "flows", query=query).flows


def places(info: FlowInfo) -> list[tuple[str | None, str | None]]:
    return [(end.name, end.network) for end in (info.source, info.destination)]


@pytest.mark.parametrize("family", (4, 6))
@pytest.mark.parametrize("seen_on", ("front", "back"))
def test_both_ends_are_named_wherever_it_was_seen(
    weftd: Weftd, shop: Shop, family: int, seen_on: str
) -> None:
    front, back, _ = ENDS[family]
    weftd.flows.seen = [seen(shop.ids[seen_on], front, back)]
    (info,) = told(weftd)
    assert places(info) == [
        ("default-front", "front"),
        ("default-back", "back"),
    ]
    assert info.network == "front"


@pytest.mark.parametrize("family", (4, 6))
def test_nobody_is_named_to_whom_no_router_leads(weftd: Weftd, shop: Shop, family: int) -> None:
    front, back, outside = ENDS[family]
    weftd.flows.seen = [
        seen(shop.ids["acme/front"], front, back),
        seen(shop.ids["front"], front, outside),
        seen(shop.ids["back"], outside, back),
        seen(None, front, back),
    ]
    by_ends = [(info.network, *places(info)) for info in told(weftd)]
    assert sorted(by_ends, key=str) == sorted(
        [
            ("acme/front", ("acme-front", "acme/front"), (None, None)),
            ("front", ("default-front", "front"), (None, None)),
            ("back", (None, None), ("default-back", "back")),
            (None, (None, None), (None, None)),
        ],
        key=str,
    )


@pytest.mark.parametrize("family", (4, 6))
def test_what_two_hosts_have_seen_on_two_networks_is_one(
    weftd: Weftd, shop: Shop, family: int
) -> None:
    front, back, _ = ENDS[family]
    here = seen(shop.ids["front"], front, back)
    there = replace(here, network_id=shop.ids["back"], began_s=100.4, packets=2)
    other = replace(here, network_id=shop.ids["acme/front"])
    weftd.flows.seen = [here, other]
    weftd.others.answers[FAR] = Answer([there], is_whole=True)
    assert {(info.network, info.hosts, info.began_s) for info in told(weftd, all="true")} == {
        ("front", ("far", "h1"), 100.0),
        ("acme/front", ("h1",), 100.0),
    }


def test_one_host_has_found_that_it_ended_and_the_other_not_yet(weftd: Weftd, shop: Shop) -> None:
    front, back, _ = ENDS[4]
    here = seen(shop.ids["front"], front, back)
    weftd.flows.seen = [here]
    there = replace(here, network_id=shop.ids["back"], ended_s=112.0)
    again = replace(there, began_s=200.0, seen_s=201.0, ended_s=203.0)
    weftd.others.answers[FAR] = Answer([again, there], is_whole=True)
    last, first = told(weftd, all="true", since_s="600")
    assert (last.hosts, last.ended_s) == (("far",), 203.0)
    assert (first.hosts, first.ended_s) == (("far", "h1"), None)


def test_what_one_host_denies_again_and_again_is_one(weftd: Weftd, shop: Shop) -> None:
    front, back, _ = ENDS[4]
    denied = replace(
        seen(shop.ids["front"], front, back), denied_by=Denial.EGRESS, state=FlowWord.DENIED
    )
    former = replace(denied, began_s=20.0, seen_s=80.0, ended_s=81.0)
    weftd.flows.seen = [denied, former, replace(seen(shop.ids["front"], front, back), ended_s=90.0)]
    one, allowed = sorted(told(weftd, since_s="600"), key=lambda info: info.verdict, reverse=True)
    assert (one.packets, one.began_s, one.seen_s, one.ended_s) == (6, 20.0, 110.0, None)
    assert allowed.verdict == "allowed"


@pytest.mark.parametrize(
    "query, found",
    [
        ({"network": "front"}, {"front"}),
        ({"network": "back"}, {"front"}),
        ({"network": "acme/back"}, set()),
        ({"network": "acme/front"}, {"acme/front"}),
        ({"port": "default-back"}, {"front"}),
        ({"port": "acme-back"}, set()),
        ({"port": "acme-front"}, {"acme/front"}),
    ],
)
def test_filters_mean_either_end(
    weftd: Weftd, shop: Shop, query: dict[str, str], found: set[str]
) -> None:
    """Also of what a host tells that knows addresses alone."""
    front, back, _ = ENDS[4]
    flows = [seen(shop.ids[name], front, back) for name in ("front", "acme/front")]
    weftd.flows.seen = flows
    assert {info.network for info in told(weftd, **query)} == found
    with follows(weftd, query, News(flows, [], 1)) as lines:
        assert {each["flow"]["network"] for each in lines} == found


@contextmanager
def follows(weftd: Weftd, query: dict[str, str], news: News) -> Iterator[list[dict[str, Any]]]:
    words = "&".join(f"{name}={value}" for name, value in query.items())

    async def tell() -> None:
        weftd.flows.followers.tell(news)

    with lines_of(weftd.settings.api_socket, f"/v1/flows/watch?{words}") as stream:
        weftd.run(tell)
        lines = list(
            iter(stream.line, {"event": "missed", "flow": None, "missed": 1, "unanswered": None})
        )
        yield lines


def test_which_networks_are_looked_at_for_one(weftd: Weftd, shop: Shop) -> None:
    """What the hosts go by that are asked."""
    view = weftd.store
    back, front = shop.ids["back"], shop.ids["front"]
    scope = scope_of(view, [back])
    near: IPAddress = ip_address("10.1.0.10")
    assert scope.has(back, near, near)
    assert scope.has(front, near, ip_address("10.2.0.10"))
    assert not scope.has(front, near, ip_address("10.1.0.11"))
    assert not scope.has(shop.ids["acme/front"], near, ip_address("10.2.0.10"))
    assert not scope.has(None, near, ip_address("10.2.0.10"))
    assert scope_of(view, []).has(None, near)
    assert not scope_of(view, ["gone"]).has(front, near)
