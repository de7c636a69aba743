"""Security groups that several hosts change without hearing each other."""

from __future__ import annotations

from tests.unit.cluster import Cluster
from weft.control.group_specs import GroupChanges, GroupSpec
from weft.control.specs import NetworkSpec, StaticPortSpec
from weft.control.static_ports import declared
from weft.control.upkeep.healing import PATIENCE_S
from weft.model.ids import PortId
from weft.model.records import SecurityGroup, SecurityRule

WEB = "allow ingress tcp 80 from any"


async def apart() -> Cluster:
    """Two hosts with a group, which do not hear each other."""
    cluster = await Cluster.of("a", "b")
    a, b = cluster.hosts
    await a.control.groups.create(GroupSpec(name="web", rules=(WEB,)))
    cluster.settle()
    await cluster.link([a], [b])
    return cluster


async def heal(cluster: Cluster) -> None:
    await cluster.link(cluster.hosts)
    await cluster.heal()
    cluster.network.run_until(cluster.network.now_s + 2 * PATIENCE_S)
    await cluster.heal()


async def test_the_same_group_and_rule_made_apart_are_one() -> None:
    cluster = await apart()
    for host in cluster.hosts:
        await host.control.groups.create(GroupSpec(name="db", rules=(WEB,)))
        await host.control.groups.add_rule("web", "drop egress tcp 25")
    await heal(cluster)
    for host in cluster.hosts:
        assert [group.name for group in host.control.groups.list()] == ["db", "web"]
        assert len(host.control.groups.rules(host.control.groups.find("web"))) == 2
        assert len(tuple(host.store.list(SecurityRule))) == 3


async def test_a_rule_of_a_group_that_was_removed_elsewhere_goes() -> None:
    for remover, adder in ((0, 1), (1, 0)):
        cluster = await apart()
        await cluster.hosts[remover].control.groups.remove("web")
        await cluster.hosts[adder].control.groups.add_rule("web", "drop egress tcp 25")
        await heal(cluster)
        for host in cluster.hosts:
            assert not tuple(host.store.list(SecurityGroup))
            assert not tuple(host.store.list(SecurityRule))


async def test_rules_that_contradict_each_other_both_stand_and_the_stricter_holds() -> None:
    cluster = await apart()
    a, b = cluster.hosts
    await a.control.groups.add_rule("web", "allow ingress tcp 22")
    await b.control.groups.add_rule("web", "drop ingress tcp 22")
    await heal(cluster)
    for host in cluster.hosts:
        group = host.control.groups.find("web")
        actions = {rule.action.value for rule in host.control.groups.rules(group)}
        assert actions == {"allow", "drop"}
        (shown,) = host.control.conflicts()
        assert shown.kind == "rule"
        assert "about the same flows; the strictest holds" in shown.reason
        assert shown.fix.endswith(f"weft group rule rm {group.id} {shown.ids[-1]}")
    await a.control.groups.remove_rule("web", "allow ingress tcp 22 from any")
    cluster.settle()
    assert not b.control.conflicts()
    assert len(tuple(b.store.list(SecurityRule))) == 2


async def test_groups_and_static_ports_of_one_name_are_shown_with_what_mends_it() -> None:
    cluster = await apart()
    a, b = cluster.hosts
    await a.control.groups.change("web", GroupChanges(name="front"))
    await b.control.groups.create(GroupSpec(name="front"))
    await heal(cluster)
    (shown,) = b.control.conflicts()
    assert (shown.kind, shown.subject, len(shown.ids)) == ("group", "front", 2)
    assert shown.fix == f"weft group set {shown.ids[-1]} --name NEW-NAME"
    await b.control.groups.change(shown.ids[-1], GroupChanges(name="other"))
    await a.control.networks.create(NetworkSpec(name="back"))
    cluster.settle()
    await cluster.link([a], [b])
    for number, host in enumerate(cluster.hosts, 1):
        network = host.control.networks.find("back")
        (subnet,) = host.control.networks.subnets(network)
        address = subnet.cidr.network_address + 10 * number
        spec = StaticPortSpec(name="db", network="back", addresses=(address,))
        await host.control.ports.add(declared(host.store, spec))
    await heal(cluster)
    (shown,) = a.control.conflicts()
    assert (shown.kind, shown.subject) == ("static-port", "db")
    await a.control.ports.remove(PortId(shown.ids[-1]))
    assert not a.control.conflicts()
