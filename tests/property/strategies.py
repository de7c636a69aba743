"""Records and changes as hypothesis draws them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import strategies as st
from msgspec.structs import replace

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.choices import (
    Action,
    Direction,
    EncryptionStage,
    LivesWith,
    Multicasting,
    Operator,
    PeerKind,
    ReservationReason,
    Tier,
    TransportProtocol,
)
from weft.model.ids import (
    GroupId,
    HostId,
    MacAddress,
    NameId,
    NetworkId,
    PortId,
    ReservationId,
    RouterId,
    RouterPortId,
    RouterRouteId,
    RuleId,
    SubnetId,
    Vni,
)
from weft.model.records import (
    AddressBlocks,
    AddressRange,
    AllowedAddress,
    Ballot,
    Binding,
    Block,
    BlockRequest,
    Cluster,
    ForgottenHost,
    Host,
    HostKeys,
    HostPrefixes,
    Lease,
    LeaseAck,
    LeaseDecision,
    LeaseMember,
    LeaseReturn,
    LeaseVote,
    MulticastMembership,
    Name,
    Neighbour,
    Neighbours,
    Network,
    Owner,
    Peer,
    Port,
    PublishedPort,
    Quota,
    Record,
    Requirement,
    Reservation,
    Router,
    RouterPort,
    RouterRoute,
    SecurityGroup,
    SecurityRule,
    Selector,
    ServiceTarget,
    Subnet,
    Veth,
)
from weft.model.records.security import WITH_PORTS, WITH_TYPES
from weft.model.records.tenants import Tenant, tenant_id

HOSTS = (HostId("a" * 16), HostId("b" * 16), HostId("c" * 16))
_few = st.integers(0, 3)
_network_ids = st.builds(lambda n: NetworkId(f"net{n}"), _few)
_v4 = st.builds(lambda n: IPv4Address(0x0A000000 + n), st.integers(0, 20))
_v6 = st.builds(lambda n: IPv6Address((0xFD00 << 112) + n), st.integers(0, 20))
addresses = st.one_of(_v4, _v6)
_prefixes4 = st.one_of(
    st.builds(lambda n: IPv4Network((0x0A000000 + (n << 4), 28)), st.integers(0, 3)),
    st.builds(lambda n: IPv4Network((0x0A000000 + (n << 5), 27)), st.integers(0, 1)),
)
_prefixes6 = st.builds(lambda n: IPv6Network(((0xFD00 << 112) + (n << 4), 124)), st.integers(0, 3))
prefixes = st.one_of(_prefixes4, _prefixes6)
macs = st.builds(lambda n: MacAddress(f"02:00:00:00:00:{n:02x}"), st.integers(0, 9))
_texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8)
_tokens = st.sampled_from(["x", "0f" * 8, "a-b_c.d:e"])
_labels = st.sampled_from(["web", "db-1", "_http._tcp.web"])
_network_names = st.sampled_from(["foo", "foo.bar_1", "9-lives"])
_ordered = st.tuples(addresses, addresses).map(
    lambda both: tuple(sorted(both)) if both[0].version == both[1].version else both[:1] * 2
)
_ranges = st.builds(lambda ends: AddressRange(first=ends[0], last=ends[1]), _ordered)

_stages = st.sampled_from(EncryptionStage)
host_keys = st.builds(
    lambda host, **facts: HostKeys(id=host, host_id=host, **facts),
    st.sampled_from(HOSTS),
    public_key=st.sampled_from([f"{letter * 43}=" for letter in "AEI"]),
    port=st.integers(1, 3),
    stage=_stages,
    in_force=_stages,
    follows=st.sampled_from(["", "x", "y"]),
)
clusters = st.builds(
    Cluster,
    id=st.just("cluster"),
    is_encrypted=st.booleans(),
    plain_underlays=st.lists(prefixes, max_size=1).map(tuple),
    former_plain_underlays=st.lists(prefixes, max_size=1).map(tuple),
    encryption_id=st.sampled_from(["", "x", "y"]),
)
hosts = st.builds(
    Host,
    id=st.sampled_from(HOSTS),
    name=_texts,
    underlay=st.lists(addresses, max_size=2).map(tuple),
    mtu_bytes=st.sampled_from([1400, 1500, 9000]),
    network_mtu_bytes=st.integers(576, 9000),
    resolvers=st.lists(addresses, max_size=2, unique=True).map(tuple),
)
_host_ids = st.sampled_from(HOSTS)
_some_prefixes = st.lists(prefixes, max_size=2, unique=True).map(tuple)
host_prefixes = st.builds(
    lambda host, links, routes, has_rules: HostPrefixes(
        id=host, host_id=host, links=links, routes=routes, has_rules=has_rules
    ),
    _host_ids,
    _some_prefixes,
    _some_prefixes,
    st.booleans(),
)
neighbours = st.builds(
    lambda host, found: Neighbours(id=host, host_id=host, neighbours=found),
    _host_ids,
    st.lists(
        st.builds(
            Neighbour,
            host_id=_host_ids,
            address=addresses,
            path_mtu_bytes=st.sampled_from([0, 1400, 9000]),
            is_path_broken=st.booleans(),
            has_link=st.booleans(),
        ),
        max_size=3,
        unique_by=lambda each: each.host_id,
    ).map(lambda found: tuple(sorted(found, key=lambda each: each.host_id))),
)
_groups = st.lists(
    st.one_of(
        st.builds(lambda n: IPv4Address(0xEF010000 + n), _few),
        st.builds(lambda n: IPv6Address((0xFF05 << 112) + n), _few),
    ),
    max_size=2,
    unique=True,
).map(tuple)
forgotten_hosts = st.builds(ForgottenHost, id=_host_ids, name=_texts)
tenant_ids = st.sampled_from(["default", "acme"]).map(tenant_id)
group_ids = st.builds(lambda n: GroupId(f"group{n}"), _few)
_ids_of_groups = st.lists(group_ids, max_size=2, unique=True).map(lambda ids: tuple(sorted(ids)))
_label_values = st.one_of(st.sampled_from(["", "x"]), _texts)
"""Few enough that selectors find ports."""
labels = st.tuples(_tokens, _label_values)
_directions = st.lists(st.sampled_from(Direction), max_size=2, unique=True).map(tuple)
_counts = st.none() | _few
tenants = st.builds(
    Tenant,
    id=tenant_ids,
    name=_network_names,
    quota=st.builds(Quota, ports=_counts, networks=_counts, addresses=_counts, rules=_counts),
    denied=_directions,
)
selectors = st.builds(
    Selector,
    requirements=st.lists(
        st.builds(
            Requirement,
            key=_tokens,
            operator=st.sampled_from(Operator),
            values=st.lists(_label_values, max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
)
security_groups = st.builds(
    SecurityGroup,
    id=group_ids,
    name=_network_names,
    tenant_id=tenant_ids,
    selector=st.none() | selectors,
    networks=st.lists(_network_ids, max_size=1).map(tuple),
    denied=_directions,
)
prefixes_of_peers: st.SearchStrategy[IPNetwork] = st.one_of(
    prefixes,
    st.sampled_from(
        [IPv4Network("0.0.0.0/0"), IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/16")]
    ),
)
_peers = st.one_of(
    st.builds(Peer, kind=st.sampled_from([PeerKind.ANY, PeerKind.OTHER])),
    st.builds(Peer, kind=st.just(PeerKind.GROUP), group_id=group_ids),
    st.builds(Peer, kind=st.just(PeerKind.NETWORK), network_id=_network_ids),
    st.builds(Peer, kind=st.just(PeerKind.PORTS), selector=selectors),
    prefixes_of_peers.flatmap(
        lambda cidr: st.builds(
            Peer,
            kind=st.just(PeerKind.CIDR),
            cidr=st.just(cidr),
            excepts=st.lists(st.sampled_from(list(cidr.subnets(1))), max_size=1).map(tuple),
        )
    ),
)


def _rule(
    ports: tuple[int, int] | None, types: tuple[int, int | None] | None, **facts: object
) -> SecurityRule:
    """With a range of ports, or a type of ICMP, or neither."""
    if ports is not None and facts["protocol"] in WITH_PORTS:
        facts |= {"first_port": min(ports), "last_port": max(ports)}
    if types is not None and facts["protocol"] in WITH_TYPES:
        facts |= {"icmp_type": types[0], "icmp_code": types[1]}
    return SecurityRule(**facts)  # type: ignore[arg-type]


_port_numbers = st.integers(0, 5)
security_rules = st.builds(
    _rule,
    ports=st.none() | st.tuples(_port_numbers, _port_numbers),
    types=st.none() | st.tuples(_few, st.none() | _few),
    id=st.builds(lambda n: RuleId(f"rule{n}"), st.integers(0, 9)),
    group_id=group_ids,
    direction=st.sampled_from(Direction),
    action=st.sampled_from(Action),
    tier=st.sampled_from(Tier),
    priority=_few,
    peer=_peers,
    family=st.sampled_from([None, 4, 6]),
    protocol=st.sampled_from([None, 1, 6, 17, 58, 132, 47]),
    is_stateless=st.booleans(),
    keeps_flows=st.booleans(),
    logs_per_s=st.none() | st.integers(1, 9),
)
networks = st.builds(
    Network,
    id=_network_ids,
    name=_network_names,
    vni=st.integers(1, 4).map(Vni),
    is_internal=st.booleans(),
    mtu_bytes=st.none() | st.integers(576, 9000),
    tenant_id=tenant_ids,
    multicast=st.sampled_from(Multicasting),
    multicast_groups=_groups,
    denied=st.none() | _directions,
    shared_with=st.lists(tenant_ids, max_size=1).map(tuple),
    is_strict=st.booleans(),
    is_tracked=st.booleans(),
)
subnets = st.builds(
    Subnet,
    id=st.builds(lambda n: SubnetId(f"sub{n}"), _few),
    cidr=prefixes,
    network_id=st.none() | _network_ids,
    ranges=st.lists(_ranges, max_size=2).map(tuple),
).flatmap(
    lambda subnet: st.sampled_from([None, *subnet.cidr]).map(
        lambda gateway: replace(subnet, gateway=gateway)
    )
)
_devices = st.builds(
    Veth,
    ifname=st.builds(lambda n: f"weft{n:011x}", _few),
    peer_ifname=st.just("eth0"),
    netns=st.none() | st.just("/run/netns/x"),
    is_default_route=st.booleans(),
)
_published = st.builds(
    PublishedPort,
    protocol=st.sampled_from(TransportProtocol),
    host_port=st.integers(1, 3),
    port=st.just(80),
    host_address=st.none() | addresses,
)
ports = st.builds(
    Port,
    id=st.builds(lambda n: PortId(f"port{n}"), st.integers(0, 7)),
    network_id=_network_ids,
    host_id=st.none() | st.sampled_from(HOSTS),
    mac=macs,
    slot=st.none() | st.integers(0, 5),
    addresses=st.lists(addresses, max_size=3, unique=True).map(tuple),
    names=st.lists(_labels, max_size=2).map(tuple),
    labels=st.lists(labels, max_size=2).map(tuple),
    groups=_ids_of_groups,
    allowed=st.lists(
        st.builds(AllowedAddress, cidr=prefixes, mac=st.none() | macs), max_size=2
    ).map(tuple),
    is_spoof_checked=st.booleans(),
    device=st.none() | _devices,
    owner=st.builds(
        Owner,
        frontend=st.sampled_from(["docker", "cli", "host", "of-a-newer-weft"]),
        lives_with=st.sampled_from(LivesWith),
        takes_reservations=st.booleans(),
    ),
    published=st.lists(_published, max_size=2).map(tuple),
    replaces=st.lists(st.builds(lambda n: PortId(f"port{n}"), st.integers(0, 7)), max_size=1).map(
        tuple
    ),
    multicast_groups=_groups,
)
multicast_memberships = st.builds(
    MulticastMembership,
    id=st.builds(lambda n: PortId(f"port{n}"), st.integers(0, 7)),
    network_id=_network_ids,
    host_id=st.sampled_from(HOSTS),
    multicast_groups=_groups,
)
names = st.builds(
    Name,
    id=st.builds(lambda n: NameId(f"name{n}"), _few),
    name=_labels,
    network_id=_network_ids,
    addresses=st.lists(addresses, max_size=2).map(tuple),
    services=st.lists(
        st.builds(
            ServiceTarget,
            priority=_few,
            weight=_few,
            port=_few,
            target=_labels,
        ),
        max_size=2,
    ).map(tuple),
)
reservations = st.builds(
    Reservation,
    id=st.builds(lambda n: ReservationId(f"res{n}"), _few),
    subnet_id=st.builds(lambda n: SubnetId(f"sub{n}"), _few),
    host_id=st.sampled_from(HOSTS),
    address=addresses,
    reason=st.sampled_from(ReservationReason),
    expires_s=st.none() | st.floats(0, 1e10),
)
bindings = st.builds(
    Binding,
    id=_tokens,
    system=st.sampled_from(["docker", "moon"]),
    foreign_kind=st.just("network"),
    foreign_id=_tokens,
    host_id=st.none() | st.sampled_from(HOSTS),
    record_kind=st.just("network"),
    record_id=_network_ids,
    facts=st.lists(st.tuples(st.sampled_from(["name", "engine"]), _texts), max_size=2).map(tuple),
)
_hosts = st.sampled_from(HOSTS)
_subnet_ids = st.builds(lambda n: SubnetId(f"sub{n}"), _few)
_revisions = st.integers(0, 1 << 40)
_members = st.lists(
    st.builds(LeaseMember, host_id=_hosts, generation=_few), min_size=1, max_size=3
).map(tuple)
_ballots = st.builds(Ballot, number=_few, host_id=_hosts, generation=_few)
_decisions = st.builds(
    LeaseDecision, members=_members, revision=_revisions, heir=st.none() | _hosts
)


def _in_order(blocks: list[Block]) -> tuple[Block, ...]:
    """Of one family, ascending and disjoint."""
    kept: list[Block] = []
    for block in sorted(blocks, key=lambda each: (each.first.version, int(each.first))):
        one = replace(block, last=block.first)
        if not kept or (
            kept[-1].first.version == one.first.version and int(one.first) > int(kept[-1].last)
        ):
            kept.append(one)
    return tuple(kept)


address_blocks = st.builds(
    AddressBlocks,
    id=_tokens,
    subnet_id=_subnet_ids,
    host_id=_hosts,
    blocks=st.lists(
        st.builds(
            Block,
            first=addresses,
            last=addresses,
            epoch=_revisions,
            owner=_hosts,
            is_reserve=st.booleans(),
            since=_revisions,
        ),
        max_size=3,
    ).map(lambda found: _in_order(found)),
)
block_requests = st.builds(
    BlockRequest,
    id=_tokens,
    subnet_id=_subnet_ids,
    host_id=_hosts,
    owner=_hosts,
    count=_few,
    address=st.none() | addresses,
    is_urgent=st.booleans(),
)
leases = st.builds(
    Lease,
    id=_hosts,
    host_id=_hosts,
    generation=_few,
    term=_few,
    members=_members,
    revision=_revisions,
    digest=_texts,
    floor=_revisions,
    acks=st.lists(
        st.builds(LeaseAck, host_id=_hosts, term=_few, revision=_revisions, generation=_few),
        max_size=2,
    ).map(tuple),
)
lease_votes = st.builds(
    LeaseVote,
    id=_tokens,
    host_id=_hosts,
    subject=_hosts,
    generation=_few,
    term=_few,
    members=_members,
    promised=st.none() | _ballots,
    is_released=st.booleans(),
    accepted=st.none() | _ballots,
    decision=st.none() | _decisions,
    proposed=st.none() | _ballots,
    proposal=st.none() | _decisions,
)
lease_returns = st.builds(LeaseReturn, id=_hosts, host_id=_hosts, generation=_few)
_router_ids = st.builds(lambda n: RouterId(f"router{n}"), _few)
routers = st.builds(
    Router, id=_router_ids, name=_network_names, tenant_id=tenant_ids, description=_texts
)
router_ports = st.builds(
    RouterPort,
    id=st.builds(lambda n: RouterPortId(f"rp{n}"), st.integers(0, 9)),
    router_id=_router_ids,
    network_id=_network_ids,
    mac=macs,
    addresses=st.lists(addresses, max_size=3, unique=True).map(tuple),
)


def _routes_of(
    family: st.SearchStrategy[IPAddress], prefixes: st.SearchStrategy[IPNetwork]
) -> st.SearchStrategy[RouterRoute]:
    return st.builds(
        RouterRoute,
        id=st.builds(lambda n: RouterRouteId(f"route{n}"), st.integers(0, 9)),
        router_id=_router_ids,
        prefix=prefixes,
        source=st.none() | prefixes,
        next_hops=st.lists(family, max_size=3, unique=True).map(tuple),
    )


router_routes = st.one_of(_routes_of(_v4, _prefixes4), _routes_of(_v6, _prefixes6))
records: st.SearchStrategy[Record] = st.one_of(
    hosts,
    host_keys,
    host_prefixes,
    neighbours,
    forgotten_hosts,
    clusters,
    tenants,
    security_groups,
    security_rules,
    networks,
    subnets,
    ports,
    routers,
    router_ports,
    router_routes,
    multicast_memberships,
    names,
    reservations,
    bindings,
    address_blocks,
    block_requests,
    leases,
    lease_votes,
    lease_returns,
)
