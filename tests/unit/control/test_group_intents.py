"""Security groups: made, given rules and members, changed and removed."""

from __future__ import annotations

import random
from ipaddress import ip_network

import pytest

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from weft.config import Settings
from weft.control.context import Context
from weft.control.group_rules import text_of
from weft.control.group_specs import GroupChanges, GroupSpec, RuleSpec
from weft.control.specs import (
    NetworkChanges,
    NetworkSpec,
    PortChanges,
    PortSpec,
    QuotaSpec,
    SubnetSpec,
    TenantChanges,
    TenantSpec,
)
from weft.errors import (
    ConflictError,
    ExhaustedError,
    InUseError,
    InvalidError,
    NotFoundError,
    WeftError,
)
from weft.model.choices import Direction
from weft.model.ids import HostId, PortId
from weft.model.records import ForgottenHost, Owner, Port, SecurityGroup, SecurityRule
from weft.semantics.members import groups_of, members_of
from weft.semantics.policy import denied_on
from weft.store.interface import Put
from weft.store.memory import MemoryStore

OWNER = Owner(frontend="cli", reference="test")
WEB = "allow ingress tcp 80 from any"


class Desk:
    def __init__(self, seed: int = 7) -> None:
        self.store = MemoryStore()
        self.control = control_alone(
            Context(
                store=self.store,
                settler=AtOnce(),
                settings=Settings(name="h1"),
                host_id=HostId("a" * 16),
                wall_s=lambda: 1_000_000.0,
                random_bytes=random.Random(seed).randbytes,
                host_routes=tuple,
                targets=NothingRuns(),
                space=WholeSpace,
            )
        )
        self.groups = self.control.groups

    async def network(self, name: str, cidr: str, tenant: str = "default") -> str:
        spec = NetworkSpec(name=name, tenant=tenant, subnets=(SubnetSpec(cidr=ip_network(cidr)),))
        return (await self.control.networks.create(spec)).id

    async def port(self, network: str, *groups: str, **labels: str) -> Port:
        wanted = tuple(labels.items())
        spec = PortSpec(network=network, groups=groups, labels=wanted, owner=OWNER)
        return await self.control.ports.add(spec)

    def texts(self, group: str) -> list[str]:
        found = self.groups.find(group)
        return [text_of(self.store, rule, found) for rule in self.groups.rules(found)]

    def members(self, group: str) -> set[PortId]:
        return {port.id for port in members_of(self.store, self.groups.find(group))}


@pytest.fixture
async def desk() -> Desk:
    made = Desk()
    await made.network("back", "10.9.0.0/24")
    await made.network("front", "10.8.0.0/24", "acme")
    return made


async def test_a_group_is_made_with_its_rules_and_removed(desk: Desk) -> None:
    spec = GroupSpec(
        name="web",
        description="what serves",
        labels={"b": "2", "a": "1"},
        selector="app=web",
        networks=("back",),
        denied=("egress", "ingress"),
        rules=(WEB, "allow ingress from group:web", "drop egress to network:back priority 5"),
    )
    made = await desk.groups.create(spec)
    assert made.labels == (("a", "1"), ("b", "2"))
    assert made.denied == (Direction.INGRESS, Direction.EGRESS)
    assert desk.groups.find("web") == desk.groups.find("default/web") == made
    assert desk.groups.find(made.id) == desk.groups.find(made.id[:8]) == made
    assert desk.texts("web") == [
        "allow ingress from group:web",
        WEB,
        "drop egress to network:back priority 5",
    ]
    with pytest.raises(ConflictError, match="group web: exists already"):
        await desk.groups.create(spec)
    await desk.groups.remove("web")
    assert not tuple(desk.store.list(SecurityGroup))
    assert not tuple(desk.store.list(SecurityRule))
    with pytest.raises(NotFoundError, match="group web: not found"):
        desk.groups.find("web")


async def test_names_are_a_tenants_own(desk: Desk) -> None:
    ours = await desk.groups.create(GroupSpec(name="web"))
    theirs = await desk.groups.create(GroupSpec(name="web", tenant="acme"))
    assert ours.id != theirs.id
    assert desk.groups.find("acme/web") == theirs
    rules = ("allow ingress from group:web", "allow ingress from network:front")
    await desk.groups.create(GroupSpec(name="db", tenant="acme", rules=rules))
    assert {rule.peer.group_id for rule in desk.groups.rules(desk.groups.find("acme/db"))} == {
        theirs.id,
        None,
    }
    await desk.groups.add_rule("acme/db", "allow egress to group:acme/web")
    assert "allow egress to group:web" in desk.texts("acme/db")
    assert [group.name for group in desk.groups.list("acme")] == ["db", "web"]
    assert len(desk.groups.list()) == 3


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("allow ingress from group:acme/web", "group acme/web: is of tenant acme, and one of te"),
        ("allow ingress from network:acme/front", "network acme/front: is of tenant acme"),
        ("allow ingress from group:none", "group none: not found"),
        ("allow ingress from network:none", "network none: not found"),
        ("allow ingress from group:wbe", "group wbe: not found; did you mean web"),
    ],
)
async def test_what_a_rule_names_must_be_its_tenants(desk: Desk, rule: str, why: str) -> None:
    await desk.groups.create(GroupSpec(name="web"))
    await desk.groups.create(GroupSpec(name="web", tenant="acme"))
    for attempt in (
        desk.groups.create(GroupSpec(name="new", rules=(WEB, rule))),
        desk.groups.change("web", GroupChanges(rules=(WEB, rule))),
    ):
        with pytest.raises(WeftError, match=r"^rules\[1\]: " + why):
            await attempt
    with pytest.raises(WeftError, match=f"^{why}"):
        await desk.groups.add_rule("web", rule)
    assert desk.texts("web") == []
    assert len(desk.groups.list()) == 2


async def test_the_same_rule_again_changes_nothing(desk: Desk) -> None:
    await desk.groups.create(GroupSpec(name="web"))
    first = await desk.groups.add_rule("web", WEB)
    again = RuleSpec(action="allow", direction="ingress", protocol=6, first_port=80)
    assert await desk.groups.add_rule("web", again) == first
    logged = await desk.groups.add_rule("web", "allow ingress tcp 80 log 5/s (seen)")
    assert (logged.id, logged.logs_per_s, logged.description) == (first.id, 5, "seen")
    assert len(desk.texts("web")) == 1


async def test_two_hosts_make_the_same_group_and_rule(desk: Desk) -> None:
    other = Desk(seed=8)
    for each in (desk, other):
        await each.groups.create(GroupSpec(name="web", rules=(WEB,)))
    assert desk.groups.find("web") == other.groups.find("web")
    assert tuple(desk.store.list(SecurityRule)) == tuple(other.store.list(SecurityRule))


async def test_rules_that_contradict_each_other_are_refused(desk: Desk) -> None:
    drop = "drop ingress tcp 80 from any"
    with pytest.raises(ConflictError, match=r"^rules\[1\]: rule 'drop .*contradicts 'allow in"):
        await desk.groups.create(GroupSpec(name="web", rules=(WEB, drop)))
    with pytest.raises(ConflictError, match=r"^rules\[2\]: .*is there twice \(rules\[0\]\)"):
        await desk.groups.create(GroupSpec(name="web", rules=(WEB, "allow egress", WEB)))
    await desk.groups.create(GroupSpec(name="web", rules=(WEB,)))
    with pytest.raises(ConflictError, match="contradicts"):
        await desk.groups.add_rule("web", drop)
    await desk.groups.add_rule("web", f"{drop} priority 1")
    with pytest.raises(ConflictError, match="contradicts"):
        await desk.groups.change_rule("web", WEB, f"{WEB} priority 1")
    assert len(desk.texts("web")) == 2


async def test_rules_that_stay_keep_their_ids(desk: Desk) -> None:
    rules = (WEB, "allow ingress tcp 443 from any", "drop egress to any")
    await desk.groups.create(GroupSpec(name="web", rules=rules))
    before = {rule.first_port: rule.id for rule in desk.groups.rules(desk.groups.find("web"))}
    changed = ("allow ingress tcp 443 (TLS)", "reject ingress tcp 80", "allow ingress udp 53")
    await desk.groups.change("web", GroupChanges(rules=changed))
    after = {rule.first_port: rule for rule in desk.groups.rules(desk.groups.find("web"))}
    assert (after[443].id, after[443].description) == (before[443], "TLS")
    assert (after[80].id, after[80].action) == (before[80], "reject")
    assert set(after) == {443, 80, 53}


async def test_a_rule_is_named_by_its_id_or_its_text(desk: Desk) -> None:
    await desk.groups.create(GroupSpec(name="web", rules=(WEB, "drop egress to any")))
    rule = await desk.groups.change_rule("web", "allow ingress tcp 80-80", "drop ingress tcp 81")
    assert desk.texts("web") == ["drop ingress tcp 81 from any", "drop egress to any"]
    with pytest.raises(NotFoundError, match="rule beef: group web has none"):
        await desk.groups.remove_rule("web", "beef")
    assert await desk.groups.remove_rule("web", rule.id[:8]) == rule
    await desk.groups.remove_rule("web", "drop egress to any")
    assert desk.texts("web") == []
    back = await desk.groups.add_rule("web", WEB)
    assert back.id != rule.id or back.first_port == 80


async def test_a_rule_that_was_changed_leaves_its_id_to_none_other(desk: Desk) -> None:
    await desk.groups.create(GroupSpec(name="web", rules=(WEB,)))
    changed = await desk.groups.change_rule("web", WEB, "allow ingress tcp 81")
    added = await desk.groups.add_rule("web", WEB)
    assert added.id != changed.id
    assert len(desk.texts("web")) == 2


async def test_members_are_named_or_selected(desk: Desk) -> None:
    await desk.groups.create(GroupSpec(name="web"))
    await desk.groups.create(GroupSpec(name="shop", selector="app=shop,!old"))
    await desk.groups.create(GroupSpec(name="all", selector="*", networks=("back",)))
    named = await desk.port("back", "web", app="shop")
    labelled = await desk.port("back", app="shop")
    old = await desk.port("back", "shop", app="shop", old="")
    stranger = await desk.port("acme/front", app="shop")
    assert desk.members("web") == {named.id}
    assert desk.members("shop") == {named.id, labelled.id, old.id}
    assert desk.members("all") == {named.id, labelled.id, old.id}
    assert desk.store.ask(groups_of, stranger.id) == ()
    await desk.control.ports.change(old.id, PortChanges(groups=(), labels={"app": "db"}))
    assert desk.members("shop") == {named.id, labelled.id}
    await desk.control.ports.change(named.id, PortChanges(labels=()))
    assert desk.members("shop") == {labelled.id}
    assert desk.members("web") == {named.id}


async def test_a_port_names_groups_of_its_networks_tenant(desk: Desk) -> None:
    await desk.groups.create(GroupSpec(name="web", tenant="acme"))
    assert len((await desk.port("acme/front", "web", "acme/web")).groups) == 1
    with pytest.raises(InvalidError, match="group acme/web: is of tenant acme"):
        await desk.port("back", "acme/web")
    with pytest.raises(NotFoundError, match="group web: not found"):
        await desk.port("back", "web")
    ports = len(tuple(desk.store.list(Port)))
    assert ports == 1


async def test_what_is_used_is_not_removed_and_names_its_users(desk: Desk) -> None:
    await desk.groups.create(GroupSpec(name="web", rules=("allow ingress from group:web",)))
    await desk.groups.create(GroupSpec(name="db", rules=("allow ingress from group:web",)))
    port = await desk.port("back", "web")
    with pytest.raises(
        InUseError, match=r"group web: in use by a rule of group db, port .* on bac"
    ):
        await desk.groups.remove("web")
    await desk.groups.change("db", GroupChanges(rules=()))
    with pytest.raises(InUseError, match="group web: in use by port"):
        await desk.groups.remove("web")
    await desk.store.write([Put(ForgottenHost(id=HostId("a" * 16)))])
    await desk.groups.remove("web")
    assert port.groups


async def test_networks_and_tenants_that_groups_name_stay(desk: Desk) -> None:
    await desk.groups.create(GroupSpec(name="a", tenant="acme", networks=("front",)))
    rules = ("allow ingress from network:front",)
    await desk.groups.create(GroupSpec(name="b", tenant="acme", rules=rules))
    with pytest.raises(InUseError, match="network front: is named by group acme/a, group acme/b"):
        await desk.control.networks.remove("acme/front")
    for name in ("a", "b"):
        await desk.groups.change(f"acme/{name}", GroupChanges(networks=(), rules=()))
    await desk.control.networks.remove("acme/front")
    with pytest.raises(InUseError, match="tenant acme: in use by group a, b"):
        await desk.control.tenants.remove("acme")
    for name in ("a", "b"):
        await desk.groups.remove(f"acme/{name}")
    await desk.control.tenants.remove("acme")


async def test_a_quota_bounds_rules(desk: Desk) -> None:
    await desk.control.tenants.change("acme", TenantChanges(quota=QuotaSpec(rules=2)))
    rules = (WEB, "allow ingress tcp 443", "allow egress")
    with pytest.raises(ExhaustedError, match="tenant acme: its quota is 2 rules, and it has 0"):
        await desk.groups.create(GroupSpec(name="web", tenant="acme", rules=rules))
    await desk.groups.create(GroupSpec(name="web", tenant="acme", rules=rules[:2]))
    with pytest.raises(ExhaustedError, match="weft tenant set acme --rules 3"):
        await desk.groups.add_rule("acme/web", "allow egress")
    await desk.groups.add_rule("acme/web", WEB)
    await desk.groups.change("acme/web", GroupChanges(rules=(WEB, "drop egress")))
    with pytest.raises(ExhaustedError):
        await desk.groups.change("acme/web", GroupChanges(rules=(WEB, "drop egress", rules[1])))
    assert len(desk.texts("acme/web")) == 2


async def test_a_group_is_renamed_and_rules_follow(desk: Desk) -> None:
    for name in ("web", "lb"):
        await desk.groups.create(GroupSpec(name=name))
    await desk.groups.add_rule("web", "allow ingress from group:lb")
    with pytest.raises(ConflictError, match="group web: exists already"):
        await desk.groups.change("lb", GroupChanges(name="web"))
    await desk.groups.change("lb", GroupChanges(name="front", selector="a=b"))
    assert desk.texts("web") == ["allow ingress from group:front"]
    new = await desk.groups.create(GroupSpec(name="lb"))
    assert new.id != desk.groups.find("front").id
    for wrong in ("a b", "", "x" * 64, "a/b"):
        with pytest.raises(InvalidError, match="group name"):
            await desk.groups.change("lb", GroupChanges(name=wrong))


async def test_defaults_of_tenant_and_network(desk: Desk) -> None:
    network = desk.control.networks.find("acme/front")
    await desk.control.tenants.change("acme", TenantChanges(denied=("ingress",)))
    assert denied_on(desk.store, network.id) == (Direction.INGRESS,)
    await desk.control.networks.change(network.id, NetworkChanges(denied=(), is_strict=True))
    assert denied_on(desk.store, network.id) == ()
    await desk.control.networks.change(network.id, NetworkChanges(denied=None))
    assert denied_on(desk.store, network.id) == (Direction.INGRESS,)
    assert desk.control.networks.find("acme/front").is_strict
    await desk.control.tenants.create(TenantSpec(name="strict", denied=("egress", "ingress")))
    await desk.network("net", "10.7.0.0/24", "strict")
    both = (Direction.INGRESS, Direction.EGRESS)
    assert denied_on(desk.store, desk.control.networks.find("strict/net").id) == both


@pytest.mark.parametrize("selector", ["", "a b", "=", "%00=x"])
async def test_a_selector_that_is_none(desk: Desk, selector: str) -> None:
    with pytest.raises(InvalidError, match=r"^selector: "):
        await desk.groups.create(GroupSpec(name="web", selector=selector))


async def test_a_label_that_no_record_holds_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidError, match=r"^rules\[0\]: "):
        await desk.groups.create(GroupSpec(name="web", rules=("allow ingress from label:a=%00",)))
