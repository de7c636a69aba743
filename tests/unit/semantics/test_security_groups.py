"""What security groups mean, case by case."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from msgspec.structs import replace

from weft.model.addresses import ip_address, ip_network
from weft.model.choices import Action, Direction, Operator, PeerKind, Tier
from weft.model.ids import (
    GroupId,
    HostId,
    MacAddress,
    NetworkId,
    PortId,
    RouterId,
    RouterPortId,
    RuleId,
    SubnetId,
    Vni,
)
from weft.model.records import (
    Host,
    Network,
    Owner,
    Peer,
    Port,
    Record,
    Requirement,
    RouterPort,
    SecurityGroup,
    SecurityRule,
    Selector,
    Subnet,
    Tenant,
)
from weft.model.records.tenants import DEFAULT_TENANT, tenant_id
from weft.semantics.policy import Exemption, Packet, Remote, Ruling, exemption, judge
from weft.store.memory import MemoryStore

NET, FAR = NetworkId("net"), NetworkId("far")
WEB, DB, OPS = GroupId("web"), GroupId("db"), GroupId("ops")
IN, OUT = Direction.INGRESS, Direction.EGRESS
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
HTTP = Packet(TCP, 40000, 80)


def port(id: str, *groups: GroupId, network: NetworkId = NET, **labels: str) -> Port:
    last = sum(id.encode()) % 250
    return Port(
        id=PortId(id),
        network_id=network,
        host_id=HostId("1" * 16),
        mac=MacAddress(f"02:00:00:00:00:{last:02x}"),
        addresses=(ip_address(f"10.0.0.{last}"), ip_address(f"fd00::{last:x}")),
        groups=tuple(sorted(groups)),
        labels=tuple(sorted(labels.items())),
        owner=Owner(frontend="cli"),
    )


def group(id: GroupId, *denied: Direction, **facts: object) -> SecurityGroup:
    return SecurityGroup(id=id, name=id, denied=denied, **facts)  # type: ignore[arg-type]


def rule(id: str, action: Action, group: GroupId = WEB, **facts: object) -> SecurityRule:
    facts = {"direction": IN, "protocol": TCP, **facts}
    return SecurityRule(id=RuleId(id), group_id=group, action=action, **facts)  # type: ignore[arg-type]


def at(found: Port, address: str = "") -> Remote:
    chosen = ip_address(address) if address else found.addresses[0]
    return Remote(chosen, found.network_id, found)


LOCAL = port("local", WEB, app="shop")
OTHER = port("other", DB, app="shop", zone="a")
STRANGER = port("stranger")
ABROAD = port("abroad", DB, network=FAR, app="shop")
OUTSIDE = Remote(ip_address("203.0.113.9"))
RECORDS: tuple[Record, ...] = (
    Network(id=NET, name="net", vni=Vni(1)),
    Network(id=FAR, name="far", vni=Vni(2), tenant_id=tenant_id("acme")),
    LOCAL,
    OTHER,
    STRANGER,
    ABROAD,
    group(WEB),
    group(DB),
)


def ruled(
    *records: Record, remote: Remote | None = None, packet: Packet = HTTP, direction: Direction = IN
) -> Ruling:
    view = MemoryStore({(type(r), r.id): r for r in (*RECORDS, *records)}.values())
    return judge(view, LOCAL, direction, remote or at(OTHER), packet)


class Case(NamedTuple):
    name: str
    records: tuple[Record, ...]
    action: Action
    rule: str | None = None
    remote: Remote = at(OTHER)
    packet: Packet = HTTP
    direction: Direction = IN


def of(kind: PeerKind, **facts: object) -> Peer:
    return Peer(kind=kind, **facts)  # type: ignore[arg-type]


def labelled(key: str, operator: Operator, *values: str) -> Selector:
    return Selector(requirements=(Requirement(key=key, operator=operator, values=values),))


ALLOW, DROP, REJECT, PASS = Action.ALLOW, Action.DROP, Action.REJECT, Action.PASS
DENYING = group(WEB, IN)
DENYING_NETWORK = Network(id=NET, name="net", vni=Vni(1), denied=(IN,))
DENYING_TENANT = Tenant(id=DEFAULT_TENANT, name="default", denied=(IN,))
FROM_DB = of(PeerKind.GROUP, group_id=DB)
CIDR = of(PeerKind.CIDR, cidr=ip_network("203.0.113.0/24"), excepts=(ip_network("203.0.113.8/30"),))
CASES = [
    Case("nothing is said", (), ALLOW),
    Case("the network denies", (DENYING_NETWORK,), DROP),
    Case("the network denies the other direction alone", (DENYING_NETWORK,), ALLOW, direction=OUT),
    Case("the tenant denies", (DENYING_TENANT,), DROP),
    Case(
        "the network says otherwise than its tenant",
        (DENYING_TENANT, Network(id=NET, name="net", vni=Vni(1), denied=())),
        ALLOW,
    ),
    Case("a group denies", (DENYING,), DROP),
    Case("a rule allows what the group denies", (DENYING, rule("r", ALLOW)), ALLOW, "r"),
    Case("a rule of another group", (DENYING, rule("r", ALLOW, DB)), DROP),
    Case("a rule of the other direction", (DENYING, rule("r", ALLOW, direction=OUT)), DROP),
    Case("by group", (DENYING, rule("r", ALLOW, peer=FROM_DB)), ALLOW, "r"),
    Case("not in the group", (DENYING, rule("r", ALLOW, peer=FROM_DB)), DROP, None, at(STRANGER)),
    Case("a group has no outside", (DENYING, rule("r", ALLOW, peer=FROM_DB)), DROP, None, OUTSIDE),
    Case(
        "by network",
        (DENYING, rule("r", ALLOW, peer=of(PeerKind.NETWORK, network_id=NET))),
        ALLOW,
        "r",
    ),
    Case(
        "from another network",
        (DENYING, rule("r", ALLOW, peer=of(PeerKind.NETWORK, network_id=NET))),
        DROP,
        None,
        at(ABROAD),
    ),
    Case(
        "by prefix",
        (DENYING, rule("r", ALLOW, peer=CIDR)),
        ALLOW,
        "r",
        Remote(ip_address("203.0.113.7")),
    ),
    Case("an exception", (DENYING, rule("r", ALLOW, peer=CIDR)), DROP, None, OUTSIDE),
    Case(
        "a prefix may hold ports",
        (DENYING, rule("r", ALLOW, peer=of(PeerKind.CIDR, cidr=ip_network("10.0.0.0/24")))),
        ALLOW,
        "r",
    ),
    *(
        Case(
            f"by label: {operator} {values}",
            (
                DENYING,
                rule(
                    "r",
                    ALLOW,
                    peer=of(PeerKind.PORTS, selector=labelled("zone", operator, *values)),
                ),
            ),
            ALLOW if is_allowed else DROP,
            "r" if is_allowed else None,
        )
        for operator, values, is_allowed in (
            (Operator.IN, ("a", "b"), True),
            (Operator.IN, ("b",), False),
            (Operator.NOT_IN, ("b",), True),
            (Operator.NOT_IN, ("a",), False),
            (Operator.EXISTS, (), True),
            (Operator.ABSENT, (), False),
            (Operator.OTHER, (), False),
        )
    ),
    Case(
        "a label that is not there is another value",
        (
            DENYING,
            rule(
                "r", ALLOW, peer=of(PeerKind.PORTS, selector=labelled("zone", Operator.NOT_IN, "b"))
            ),
        ),
        ALLOW,
        "r",
        at(STRANGER),
    ),
    Case(
        "labels select ports of the own tenant",
        (DENYING, rule("r", ALLOW, peer=of(PeerKind.PORTS, selector=Selector()))),
        DROP,
        None,
        at(ABROAD),
    ),
    Case(
        "whom nobody knows, nothing is allowed",
        (DENYING, rule("r", ALLOW, peer=of(PeerKind.OTHER))),
        DROP,
    ),
    Case("whom nobody knows is dropped", (rule("r", DROP, peer=of(PeerKind.OTHER)),), DROP, "r"),
    Case("another protocol", (DENYING, rule("r", ALLOW)), DROP, None, packet=Packet(UDP, 1, 80)),
    Case("any protocol", (DENYING, rule("r", ALLOW, protocol=None)), ALLOW, "r", packet=Packet(47)),
    Case("a port", (DENYING, rule("r", ALLOW, first_port=80, last_port=80)), ALLOW, "r"),
    Case("a range", (DENYING, rule("r", ALLOW, first_port=79, last_port=90)), ALLOW, "r"),
    Case("beside the range", (DENYING, rule("r", ALLOW, first_port=81, last_port=90)), DROP),
    Case(
        "the source port is not looked at",
        (DENYING, rule("r", ALLOW, first_port=80, last_port=80)),
        DROP,
        None,
        packet=Packet(TCP, 80, 40000),
    ),
    Case(
        "a type of ICMP",
        (DENYING, rule("r", ALLOW, protocol=ICMP, icmp_type=8)),
        ALLOW,
        "r",
        packet=Packet(ICMP, icmp_type=8),
    ),
    Case(
        "another code",
        (DENYING, rule("r", ALLOW, protocol=ICMP, icmp_type=3, icmp_code=1)),
        DROP,
        None,
        packet=Packet(ICMP, icmp_type=3, icmp_code=2),
    ),
    Case("another family", (DENYING, rule("r", ALLOW, family=6)), DROP),
    Case(
        "its family",
        (DENYING, rule("r", ALLOW, family=6)),
        ALLOW,
        "r",
        at(OTHER, str(OTHER.addresses[1])),
    ),
    Case(
        "the smaller priority",
        (rule("a", ALLOW, priority=2), rule("b", DROP, priority=1)),
        DROP,
        "b",
    ),
    Case(
        "the stricter of equals", (rule("a", ALLOW), rule("b", REJECT), rule("c", DROP)), DROP, "c"
    ),
    Case("reject is stricter than allow", (rule("a", ALLOW), rule("b", REJECT)), REJECT, "b"),
    Case("the smaller id of equals", (rule("b", ALLOW), rule("a", ALLOW)), ALLOW, "a"),
    Case(
        "admin goes first",
        (rule("a", DROP, tier=Tier.ADMIN, priority=9), rule("b", ALLOW, priority=0)),
        DROP,
        "a",
    ),
    Case("admin passes", (rule("a", PASS, tier=Tier.ADMIN), rule("b", ALLOW)), ALLOW, "b"),
    Case("admin passes to a group that denies", (DENYING, rule("a", PASS, tier=Tier.ADMIN)), DROP),
    Case(
        "admin allows what the group denies",
        (DENYING, rule("a", ALLOW, tier=Tier.ADMIN)),
        ALLOW,
        "a",
    ),
    Case(
        "normal goes before baseline",
        (rule("a", ALLOW), rule("b", DROP, tier=Tier.BASELINE)),
        ALLOW,
        "a",
    ),
    Case("baseline where nobody speaks", (rule("b", DROP, tier=Tier.BASELINE),), DROP, "b"),
    Case(
        "whose group denies has no baseline", (DENYING, rule("b", ALLOW, tier=Tier.BASELINE)), DROP
    ),
    Case(
        "normal passes to the baseline",
        (DENYING, rule("a", PASS), rule("b", ALLOW, tier=Tier.BASELINE)),
        ALLOW,
        "b",
    ),
    Case("all pass", (rule("a", PASS), rule("b", PASS, tier=Tier.BASELINE)), ALLOW),
    Case("all pass on a network that denies", (DENYING_NETWORK, rule("a", PASS)), DROP),
    Case(
        "a member by its labels",
        (group(OPS, selector=labelled("app", Operator.IN, "shop")), rule("r", DROP, OPS)),
        DROP,
        "r",
    ),
    Case(
        "no member on that network",
        (group(OPS, selector=Selector(), networks=(FAR,)), rule("r", DROP, OPS)),
        ALLOW,
    ),
    Case(
        "no member of another tenant's group",
        (group(OPS, selector=Selector(), tenant_id=tenant_id("acme")), rule("r", DROP, OPS)),
        ALLOW,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_becomes_of_a_flow(case: Case) -> None:
    found = ruled(*case.records, remote=case.remote, packet=case.packet, direction=case.direction)
    assert found.action is case.action
    assert (found.rule.id if found.rule else None) == case.rule


def test_whose_default_it_was_is_said() -> None:
    assert ruled(DENYING).group == DENYING
    assert ruled(DENYING_NETWORK).group is None


@pytest.mark.parametrize(
    ("packet", "direction", "is_so"),
    [
        (Packet(ICMPV6, icmp_type=135), IN, True),
        (Packet(ICMPV6, icmp_type=128), IN, False),
        (Packet(2), OUT, True),
        (Packet(UDP, 68, 67), OUT, True),
        (Packet(UDP, 67, 68), IN, True),
        (Packet(UDP, 69, 67), OUT, False),
        (Packet(UDP, 67, 69), IN, False),
        (Packet(UDP, 68, 67), IN, False),
        (Packet(UDP, 67, 68), OUT, False),
        (HTTP, IN, False),
    ],
)
def test_what_is_never_judged(packet: Packet, direction: Direction, is_so: bool) -> None:
    assert (exempted(direction, at(OTHER), packet) is not None) is is_so


def test_a_port_reaches_itself() -> None:
    assert exempted(OUT, at(LOCAL), HTTP) is Exemption.OWN


def exempted(
    direction: Direction, remote: Remote, packet: Packet, *records: Record
) -> Exemption | None:
    view = MemoryStore({(type(r), r.id): r for r in (*RECORDS, *SERVED, *records)}.values())
    found = view.get(Port, LOCAL.id)
    assert found is not None
    return exemption(view, found, direction, remote, packet)


HERE = HostId("1" * 16)
SERVED: tuple[Record, ...] = (
    Host(
        id=HERE,
        name="here",
        resolvers=(ip_address("192.0.2.53"), ip_address("2001:db8::53")),
        former_resolvers=(ip_address("192.0.2.54"),),
    ),
    Subnet(
        id=SubnetId("s4"),
        cidr=ip_network("10.0.0.0/24"),
        network_id=NET,
        gateway=ip_address("10.0.0.1"),
    ),
    Subnet(id=SubnetId("s6"), cidr=ip_network("fd00::/64"), network_id=NET),
    Subnet(
        id=SubnetId("f4"),
        cidr=ip_network("10.1.0.0/24"),
        network_id=FAR,
        gateway=ip_address("10.1.0.1"),
    ),
    RouterPort(
        id=RouterPortId("rp"),
        router_id=RouterId("r"),
        network_id=NET,
        mac=MacAddress("02:00:00:00:00:fe"),
        addresses=(ip_address("fd00::1"),),
    ),
)
QUERY = Packet(UDP, 40000, 53)


@pytest.mark.parametrize(
    ("address", "is_so"),
    [
        ("10.0.0.1", True),
        ("fd00::1", True),
        ("169.254.53.53", True),
        ("fd77:6566:7400::53", True),
        ("192.0.2.53", True),
        ("2001:db8::53", True),
        ("192.0.2.54", True),
        ("10.1.0.1", False),
        ("192.0.2.55", False),
        ("8.8.8.8", False),
    ],
)
def test_wefts_dns_is_asked_without_a_rule_and_nobody_elses(address: str, is_so: bool) -> None:
    remote = Remote(ip_address(address))
    for packet in (QUERY, Packet(TCP, 40000, 53)):
        assert (exempted(OUT, remote, packet) is Exemption.DNS) is is_so
        assert exempted(IN, remote, packet) is None
    for packet in (Packet(UDP, 53, 54), Packet(132, 40000, 53)):
        assert exempted(OUT, remote, packet) is None


def test_a_port_that_has_a_resolvers_address_is_a_stranger() -> None:
    assert exempted(OUT, Remote(ip_address("192.0.2.53"), NET, STRANGER), QUERY) is None


def test_a_network_may_have_queries_judged() -> None:
    judging = Network(id=NET, name="net", vni=Vni(1), judges_dns=True)
    assert exempted(OUT, Remote(ip_address("10.0.0.1"), NET), QUERY, judging) is None


def place(host: str, network: NetworkId = NET) -> Port:
    return replace(
        port(f"place{host}", network=network),
        host_id=HostId(host * 16),
        owner=Owner(frontend="host"),
    )


def test_the_own_host_gets_in_where_port_or_network_say_so() -> None:
    own, others, elsewhere = at(place("1")), at(place("2")), at(place("1", FAR))
    admitting = replace(LOCAL, admits_host=True)
    network = Network(id=NET, name="net", vni=Vni(1), admits_host=True)
    assert exempted(IN, own, HTTP) is None
    for record in (admitting, network):
        assert exempted(IN, own, HTTP, record) is Exemption.HOST
        assert exempted(OUT, own, HTTP, record) is None
        for remote in (others, elsewhere, at(OTHER), Remote(ip_address("10.0.0.1"), NET)):
            assert exempted(IN, remote, HTTP, record) is None
