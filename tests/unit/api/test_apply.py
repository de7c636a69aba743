"""Documents are made so, all or none; a second time changes nothing; an export makes the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.conftest import Weftd
from weft.api.apply.schema import ApplyInfo, ApplyRequest, ExportInfo
from weft.api.schema import NameList, NetworkDetail, PortInfo, PortRequest
from weft.control.specs import NameSpec, NetworkSpec, QuotaSpec, SubnetSpec, TenantChanges
from weft.errors import (
    ConflictError,
    ExhaustedError,
    InUseError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    WeftError,
)
from weft.model.addresses import ip_address, ip_network
from weft.model.records import (
    Name,
    Network,
    Port,
    Record,
    Router,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Tenant,
)

SHOP: list[object] = [
    {"kind": "name", "name": "db", "network": "shop/back", "addresses": ["10.9.0.9"]},
    {
        "kind": "network",
        "name": "back",
        "tenant": "shop",
        "subnets": [{"cidr": "10.9.0.0/24", "gateway": "10.9.0.254"}, {"cidr": "fd00:9::/64"}],
        "is_internal": True,
        "labels": {"team": "a"},
    },
    {"kind": "tenant", "name": "shop", "quota": {"networks": 2}},
    {"kind": "network", "name": "front"},
]


def apply(
    weftd: Weftd,
    documents: list[object],
    *,
    owner: str | None = None,
    is_pruned: bool = False,
    is_dry_run: bool = False,
) -> ApplyInfo:
    request = ApplyRequest(
        documents=tuple(msgspec.Raw(msgspec.json.encode(one)) for one in documents),
        owner=owner,
        is_pruned=is_pruned,
        is_dry_run=is_dry_run,
    )
    return weftd.client.send(ApplyInfo, "POST", "apply", body=request)


def actions(answer: ApplyInfo) -> dict[str, str]:
    return {f"{one.kind} {one.name}": one.action for one in answer.changes}


def export(weftd: Weftd, owner: str | None = None) -> tuple[dict[str, object], ...]:
    return weftd.client.get(ExportInfo, "export", query={"owner": owner}).documents


def records(weftd: Weftd) -> dict[type[Record], dict[str, Record]]:
    kinds: tuple[type[Record], ...] = (
        Tenant,
        Network,
        Subnet,
        Name,
        SecurityGroup,
        SecurityRule,
        Port,
    )
    return {kind: {one.id: one for one in weftd.store.list(kind)} for kind in kinds}


@pytest.fixture
def other(folder: Path) -> Iterator[Weftd]:
    (folder / "b").mkdir()
    daemon = Weftd(folder / "b")
    daemon.start()
    yield daemon
    daemon.stop()


def test_documents_in_any_order_become_objects(weftd: Weftd) -> None:
    answer = apply(weftd, SHOP)
    assert actions(answer) == {
        "tenant shop": "create",
        "network shop/back": "create",
        "network front": "create",
        "name db on shop/back": "create",
    }
    back = weftd.client.get(NetworkDetail, "networks", "shop/back")
    assert (back.is_internal, back.labels) == (True, {"team": "a"})
    assert [(each.cidr, each.gateway) for each in back.subnets] == [
        ("10.9.0.0/24", "10.9.0.254"),
        ("fd00:9::/64", "fd00:9::1"),
    ]
    assert [one.addresses for one in back.names] == [("10.9.0.9",)]


def test_a_second_time_changes_nothing(weftd: Weftd) -> None:
    apply(weftd, SHOP)
    before = records(weftd)
    assert set(actions(apply(weftd, SHOP)).values()) == {"keep"}
    assert records(weftd) == before


def test_a_dry_run_tells_the_difference_and_makes_none(weftd: Weftd) -> None:
    apply(weftd, SHOP)
    before = records(weftd)
    wanted: list[object] = [
        {"kind": "network", "name": "back", "tenant": "shop", "multicast": "flood"},
        {"kind": "tenant", "name": "shop", "quota": {"ports": 9, "networks": 2}},
        {"kind": "network", "name": "third"},
    ]
    answer = apply(weftd, wanted, is_dry_run=True)
    assert answer.is_dry_run
    changed = {one.name: [(f.field, f.old, f.new) for f in one.fields] for one in answer.changes}
    assert changed == {
        "shop": [("quota", {"networks": 2}, {"ports": 9, "networks": 2})],
        "shop/back": [("multicast", "snoop", "flood")],
        "third": [],
    }
    assert records(weftd) == before
    assert actions(apply(weftd, wanted)) == actions(answer)
    assert weftd.client.get(NetworkDetail, "networks", "shop/back").multicast == "flood"


def test_what_a_document_leaves_out_stays(weftd: Weftd) -> None:
    apply(weftd, SHOP)
    apply(weftd, [{"kind": "network", "name": "back", "tenant": "shop"}])
    apply(weftd, [{"kind": "name", "name": "db", "network": "shop/back", "labels": {"a": "b"}}])
    back = weftd.client.get(NetworkDetail, "networks", "shop/back")
    assert (back.labels, back.names[0].addresses) == ({"team": "a"}, ("10.9.0.9",))
    assert back.names[0].labels == {"a": "b"}


def test_an_export_makes_the_same_in_an_empty_cluster(weftd: Weftd, other: Weftd) -> None:
    apply(weftd, SHOP, owner="shop")
    weftd.run(
        lambda: weftd.control.tenants.change(
            "default", TenantChanges(quota=QuotaSpec(ports=7), labels={"x": "y"})
        )
    )
    weftd.run(
        lambda: weftd.control.names.add(
            NameSpec(name="_http._tcp", network="front", services=("0 10 80 web",))
        )
    )
    spec = NetworkSpec(
        name="odd",
        subnets=(SubnetSpec(cidr=ip_network("10.8.0.0/24"), gateway=None),),
        mtu_bytes=1400,
        multicast_groups=(ip_address("239.1.1.1"),),
    )
    weftd.run(lambda: weftd.control.networks.create(spec))
    documents = export(weftd)
    assert [one["kind"] for one in documents] == ["tenant"] * 2 + ["network"] * 3 + ["name"] * 2
    assert set(actions(apply(weftd, list(documents))).values()) == {"keep"}
    apply(other, list(documents))
    assert export(other) == documents
    assert export(other, owner="shop") == export(weftd, owner="shop")
    assert len(export(weftd, owner="shop")) == len(SHOP)


def test_an_export_says_no_more_than_it_must(weftd: Weftd) -> None:
    apply(weftd, [{"kind": "network", "name": "foo", "subnets": [{"cidr": "10.9.0.0/24"}]}])
    subnet = {"cidr": "10.9.0.0/24", "gateway": "10.9.0.1"}
    assert export(weftd) == ({"kind": "network", "name": "foo", "subnets": [subnet]},)


def test_networks_that_a_docker_made_are_not_exported(weftd: Weftd) -> None:
    spec = NetworkSpec(name="compose_default", labels=(("docker", "a" * 16),))
    weftd.run(lambda: weftd.control.networks.create(spec))
    assert export(weftd) == ()


def test_pruning_removes_what_is_the_owners_and_not_named(weftd: Weftd) -> None:
    apply(weftd, [{"kind": "network", "name": "hand"}])
    apply(weftd, [{"kind": "network", "name": "theirs"}], owner="others")
    apply(weftd, SHOP, owner="shop")
    left: list[object] = [{"kind": "network", "name": "front"}]
    assert set(actions(apply(weftd, left, owner="shop")).values()) == {"keep"}
    answer = apply(weftd, left, owner="shop", is_pruned=True)
    assert list(actions(answer).items()) == [
        ("network front", "keep"),
        ("name db on shop/back", "remove"),
        ("network shop/back", "remove"),
        ("tenant shop", "remove"),
    ]
    assert {network.name for network in weftd.store.list(Network)} == {"hand", "theirs", "front"}
    assert not tuple(weftd.store.list(Tenant))


def test_what_goes_makes_room_for_what_comes(weftd: Weftd) -> None:
    subnets = [{"cidr": "10.9.0.0/24"}]
    apply(weftd, [{"kind": "network", "name": "old", "subnets": subnets}], owner="me")
    new: list[object] = [{"kind": "network", "name": "new", "subnets": subnets}]
    assert "remove" in actions(apply(weftd, new, owner="me", is_pruned=True)).values()
    assert [network.name for network in weftd.store.list(Network)] == ["new"]


TRANSIT: list[object] = [
    {"kind": "network", "name": "one", "tenant": "shop", "subnets": [{"cidr": "10.1.0.0/24"}]},
    {"kind": "network", "name": "two", "tenant": "shop", "subnets": [{"cidr": "10.2.0.0/24"}]},
    {
        "kind": "network",
        "name": "wire",
        "subnets": [{"cidr": "10.9.0.0/24"}],
        "shared_with": ["shop"],
    },
]
EACH_OTHER: list[object] = [
    {
        "kind": "router",
        "name": name,
        "tenant": "shop",
        "networks": [{"network": name}, {"network": "default/wire", "addresses": [own]}],
        "routes": [{"prefix": prefix, "via": [other]}],
    }
    for name, own, other, prefix in (
        ("one", "10.9.0.11", "10.9.0.12", "10.2.0.0/24"),
        ("two", "10.9.0.12", "10.9.0.11", "10.1.0.0/24"),
    )
]


def test_routers_that_lead_through_each_other_are_pruned_together(
    weftd: Weftd, other: Weftd
) -> None:
    """As long as others lead through one, it stays."""
    apply(weftd, TRANSIT, owner="shop")
    first = [{**one, "routes": []} for one in EACH_OTHER if isinstance(one, dict)]
    apply(weftd, list(first), owner="shop")
    apply(weftd, EACH_OTHER, owner="shop")
    assert set(actions(apply(weftd, EACH_OTHER, owner="shop")).values()) == {"keep"}
    documents = export(weftd)
    shown = next(each for each in documents if each["kind"] == "router")
    assert shown["networks"] == [
        {"network": "one", "addresses": ["10.1.0.1"]},
        {"network": "default/wire", "addresses": ["10.9.0.11"]},
    ]
    left = [*TRANSIT, EACH_OTHER[0]]
    with pytest.raises(InUseError, match="router shop/two: in use by route to"):
        apply(weftd, left, owner="shop", is_pruned=True)
    assert export(weftd) == documents
    apply(weftd, TRANSIT, owner="shop", is_pruned=True)
    assert not tuple(weftd.store.list(Router))
    apply(weftd, EACH_OTHER[:0], owner="shop", is_pruned=True)
    assert not tuple(weftd.store.list(Network))


def test_pruning_what_is_used_is_refused_and_nothing_is_done(weftd: Weftd) -> None:
    apply(weftd, SHOP, owner="shop")
    request = PortRequest(network="shop/back", names=("web",))
    weftd.client.send(PortInfo, "POST", "ports", body=request)
    before = records(weftd)
    wanted: list[object] = [{"kind": "network", "name": "more"}]
    with pytest.raises(InUseError, match="network shop/back: in use by web on host h1"):
        apply(weftd, wanted, owner="shop", is_pruned=True)
    assert records(weftd) == before


def test_the_default_tenant_is_pruned_by_taking_its_quota_away(weftd: Weftd) -> None:
    apply(weftd, [{"kind": "tenant", "name": "default", "quota": {"ports": 3}}], owner="me")
    apply(weftd, [], owner="me", is_pruned=True)
    assert export(weftd) == ()
    assert actions(apply(weftd, [], owner="me", is_pruned=True)) == {}


def test_pruning_needs_an_owner(weftd: Weftd) -> None:
    with pytest.raises(InvalidError, match="needs an owner"):
        apply(weftd, [], is_pruned=True)


def test_an_object_belongs_to_the_files_of_one_owner(weftd: Weftd) -> None:
    apply(weftd, SHOP, owner="shop")
    with pytest.raises(InvalidError, match="documents\\[0\\]: network front: is owner 'shop'"):
        apply(weftd, [{"kind": "network", "name": "front"}], owner="others")
    apply(weftd, [{"kind": "network", "name": "front", "labels": {"a": "b"}}])
    front = weftd.client.get(NetworkDetail, "networks", "front")
    assert front.labels == {"a": "b", "weft.apply": "shop"}


def test_an_object_that_was_made_by_hand_comes_to_belong_to_an_owner(weftd: Weftd) -> None:
    weftd.run(lambda: weftd.control.networks.create(NetworkSpec(name="front", labels={"a": "b"})))
    answer = apply(weftd, [{"kind": "network", "name": "front"}], owner="shop")
    (change,) = answer.changes[0].fields
    assert (change.old, change.new) == ({"a": "b"}, {"a": "b", "weft.apply": "shop"})


FAULTS: list[tuple[object, str]] = [
    ("text", "documents[1]: expected an object with a kind, got text"),
    ([], "documents[1]: expected an object with a kind, got a list"),
    ({"name": "x"}, "documents[1]: field 'kind' is missing; it is one of tenant, network, "),
    ({"kind": "netwrok"}, "documents[1].kind: 'netwrok' is no kind of object; did you mean"),
    ({"kind": 7}, "documents[1].kind: '7' is no kind of object; known are tenant, network, "),
    ({"kind": "network"}, "documents[1]: field 'name' is missing"),
    ({"kind": "network", "name": 7}, "documents[1].name: expected str, got int"),
    ({"kind": "network", "name": "x", "mtu": 9}, "documents[1]: unknown field 'mtu'; known are"),
    (
        {"kind": "network", "name": "x", "mtu_bytes": 9},
        "documents[1].mtu_bytes: expected int >= 576",
    ),
    (
        {"kind": "network", "name": "x", "subnets": [{"cidr": "10.0.0.0/33"}]},
        "documents[1].subnets[0].cidr: '10.0.0.0/33' does not appear",
    ),
    (
        {"kind": "network", "name": "x", "labels": {"a": 1}},
        "documents[1].labels[...]: expected str",
    ),
    ({"kind": "network", "name": "x", "labels": {"": "1"}}, "documents[1].labels"),
    ({"kind": "tenant", "name": "x", "quota": {"ports": -1}}, "documents[1].quota.ports: expected"),
    ({"kind": "tenant", "name": "a.b"}, "documents[1]: tenant 'a.b': use 1 to 63 letters"),
    ({"kind": "network", "name": "front"}, "documents[1]: network front: is described twice"),
    ({"kind": "name", "name": "x", "network": "front"}, "documents[1]: name x: give at least one"),
    (
        {"kind": "name", "name": "x", "network": "none", "addresses": ["10.0.0.1"]},
        "documents[1]: network none: not found",
    ),
    (
        {"kind": "network", "name": "y", "subnets": [{"cidr": "10.9.0.0/16"}]},
        "documents[1]: subnet 10.9.0.0/16: overlaps 10.9.0.0/24 of network old",
    ),
    (
        {"kind": "network", "name": "old", "is_internal": True},
        "documents[1].is_internal: cannot be changed while network old is there",
    ),
    (
        {"kind": "network", "name": "old", "subnets": [{"cidr": "10.7.0.0/24"}]},
        "documents[1].subnets: cannot be changed",
    ),
]


@pytest.mark.parametrize(("document", "message"), FAULTS, ids=[text for _, text in FAULTS])
def test_a_fault_names_document_and_field_and_nothing_is_done(
    weftd: Weftd, document: object, message: str
) -> None:
    apply(weftd, [{"kind": "network", "name": "old", "subnets": [{"cidr": "10.9.0.0/24"}]}])
    before = records(weftd)
    with pytest.raises(WeftError) as caught:
        apply(weftd, [{"kind": "network", "name": "front"}, document])
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, (InvalidError, NotFoundError))
    assert records(weftd) == before


def test_all_faults_are_told_at_once(weftd: Weftd) -> None:
    wrong: list[object] = [{"kind": "network", "name": number} for number in range(30)]
    with pytest.raises(InvalidError) as caught:
        apply(weftd, wrong)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("documents[0].name: ")
    assert lines[-1] == "and 10 more like these"
    assert len(lines) == 21


def test_a_quota_counts_all_that_is_made_together(weftd: Weftd) -> None:
    wanted: list[object] = [
        {"kind": "network", "name": "a", "tenant": "shop"},
        {"kind": "network", "name": "b", "tenant": "shop"},
        {"kind": "tenant", "name": "shop", "quota": {"networks": 1}},
    ]
    with pytest.raises(
        ExhaustedError, match="documents\\[1\\]: tenant shop: its quota is 1 networks"
    ):
        apply(weftd, wanted)
    assert export(weftd) == ()


def test_networks_that_are_made_together_must_go_together(weftd: Weftd) -> None:
    wanted: list[object] = [
        {"kind": "network", "name": name, "subnets": [{"cidr": "10.9.0.0/24"}]} for name in "ab"
    ]
    with pytest.raises(ConflictError, match=r"documents\[1\]: subnet 10\.9\.0\.0/24: overlaps"):
        apply(weftd, wanted)
    assert export(weftd) == ()


def test_networks_from_the_pool_get_prefixes_of_their_own(weftd: Weftd) -> None:
    apply(weftd, [{"kind": "network", "name": name, "is_ipv6": True} for name in "abc"])
    cidrs = {str(subnet.cidr) for subnet in weftd.store.list(Subnet)}
    assert len(cidrs) == 6
    assert len({network.vni for network in weftd.store.list(Network)}) == 3
    again = apply(weftd, [{"kind": "network", "name": "a", "is_ipv6": True, "subnets": [{}]}])
    assert actions(again) == {"network a": "keep"}


def test_a_store_that_takes_little_at_once_gets_it_in_steps_and_goes_on(
    weftd: Weftd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weftd.store, "largest_write", 4)
    wanted: list[object] = [{"kind": "network", "name": f"n{number}"} for number in range(5)]
    real, writes = weftd.store.write, 0

    async def write(changes: object) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise UnavailableError("etcd is away")
        await real(changes)  # type: ignore[arg-type]

    monkeypatch.setattr(weftd.store, "write", write)
    with pytest.raises(
        UnavailableError, match="step 2 of 3: etcd is away; the steps before it are"
    ):
        apply(weftd, wanted)
    monkeypatch.setattr(weftd.store, "write", real)
    assert sorted(network.name for network in weftd.store.list(Network)) == ["n0", "n1"]
    assert list(actions(apply(weftd, wanted)).values()) == ["keep"] * 2 + ["create"] * 3


def test_a_name_on_a_network_of_another_name_is_another(weftd: Weftd) -> None:
    apply(weftd, SHOP)
    more = {"kind": "name", "name": "DB.", "network": "shop/back", "addresses": ["10.9.0.10"]}
    assert actions(apply(weftd, [more])) == {"name db on shop/back": "change"}
    (name,) = weftd.client.get(NameList, "names", query={"network": "shop/back"}).names
    assert name.addresses == ("10.9.0.10",)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
RULES = [
    "allow ingress",
    "drop ingress",
    "allow ingress tcp 80 from group:a",
    "allow egress to network:b priority 7 (x)",
    "allow egress from any",
    "",
]
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["network", "tenant", "name", "group", "port", "router"]),
        "name": st.sampled_from(["a", "b", "a.b", ""]) | ANY,
        "network": st.sampled_from(["a", "x/b", ""]) | ANY,
        "tenant": st.sampled_from(["x", "default", "a.b"]) | ANY,
        "subnets": st.lists(
            st.fixed_dictionaries({"cidr": st.sampled_from(["10.1.0.0/24", "fd00::/64", "x"])})
        )
        | ANY,
        "addresses": st.just(["10.1.0.9"]) | ANY,
        "labels": st.dictionaries(st.text(max_size=3), st.text(max_size=3)) | ANY,
        "rules": st.lists(st.sampled_from(RULES) | ANY, max_size=3) | ANY,
        "selector": st.sampled_from(["a=b", "!c,d!=e|f", "*", "="]) | ANY,
        "denied": st.lists(st.sampled_from(["ingress", "egress"]), max_size=2) | ANY,
        "networks": st.lists(st.sampled_from(["a", "b"]), max_size=2) | ANY,
        "quota": st.dictionaries(st.sampled_from(["ports", "networks"]), st.integers(-1, 3)) | ANY,
    },
)


@given(documents=st.lists(LIKELY | ANY, max_size=4), owner=st.none() | st.text(max_size=3))
@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_documents_whatever_are_half_done(
    weftd: Weftd, documents: list[object], owner: str | None
) -> None:
    before = records(weftd)
    try:
        apply(weftd, documents, owner=owner or None)
    except WeftError as error:
        assert type(error) is not WeftError, error
        assert records(weftd) == before
    else:
        assert set(actions(apply(weftd, documents, owner=owner or None)).values()) <= {"keep"}
        assert set(actions(apply(weftd, list(export(weftd)))).values()) <= {"keep"}
