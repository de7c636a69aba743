"""Why a host or a port is reached as it is, in sentences: what `weft why` says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from weft.cluster.standing import LOST_ON_THE_WAY, Members, Standing
from weft.control.answers.policy_test import who_denies
from weft.control.group_references import group_label
from weft.control.references import network_label, users_of, workload_name
from weft.model.choices import Direction
from weft.model.ids import HostId
from weft.model.multicast_groups import in_order
from weft.model.records import Host, MulticastMembership, Network, Port, SecurityGroup
from weft.semantics.members import groups_of
from weft.store.interface import View
from weft.topology.encryption import Way, cluster_settings

_FOREIGN = ("spoofed_address", "spoofed_mac")
_DENIED = "policy"


class Explanation(NamedTuple):
    """One fact, and the reason for it."""

    is_reachable: bool
    sentences: tuple[str, ...]
    """The most telling first."""
    fix: str


class Told(NamedTuple):
    """What the host of a port knows of it, and no other."""

    drops: Mapping[str, int] = MappingProxyType({})
    """Packets, by reason."""
    problems: Sequence[str] = ()
    """What of it is not in force, and why."""
    silence: str = ""
    """Why the host has told nothing."""


NOTHING = Told()


def explain(
    view: View,
    standing: Standing,
    port: Port | None,
    members: Members,
    told: Told = NOTHING,
) -> Explanation:
    """A host, or a port on it, of which its host has told so much."""
    is_reachable = standing.state == "local" or standing.path in ("direct", "relayed")
    is_reachable = is_reachable and standing.way is not Way.NONE
    sentences = [
        *(_about_port(view, port, standing.host) if port is not None else ()),
        *(_about_drops(told.drops) if port is not None else ()),
        *_about_state(standing, told),
        *_about_link(standing, members, view),
        *_about_path(standing),
        *_about_encryption(standing, view),
    ]
    fix = standing.fix or (_against_drops(port, told.drops) if port is not None else "")
    return Explanation(is_reachable, tuple(sentences), fix)


def _about_port(view: View, port: Port, host: Host) -> Iterator[str]:
    addresses = ", ".join(str(address) for address in port.addresses) or "no address"
    network = network_label(view, port.network_id)
    yield f"{workload_name(port)} has {addresses} on network {network}, host {host.name}"
    if view.get(Network, port.network_id) is None:
        yield "its network was removed"
    if port.device is None and not port.is_host:
        yield "nothing is plugged into it yet"
    joined = view.get(MulticastMembership, port.id)
    groups = {*port.multicast_groups, *(joined.multicast_groups if joined is not None else ())}
    if groups:
        names = users_of([str(group) for group in sorted(groups, key=in_order)])
        yield f"it is a member of {names}"
    yield from _about_policy(view, port)


def _about_policy(view: View, port: Port) -> Iterator[str]:
    found = [view.get(SecurityGroup, id) for id in view.ask(groups_of, port.id)]
    groups = [group for group in found if group is not None]
    if groups:
        names = users_of(sorted(group_label(view, group) for group in groups))
        yield f"it is in security group {names}"
    for direction in (Direction.INGRESS, Direction.EGRESS):
        who = who_denies(view, port, direction, groups)
        if who:
            what = "comes to it" if direction is Direction.INGRESS else "it sends"
            yield f"what {what} needs a rule that allows it, for {who} denies {direction.value}"


def _about_drops(drops: Mapping[str, int]) -> Iterator[str]:
    foreign = _from_foreign_addresses(drops)
    if foreign:
        yield (
            f"{foreign} packets that it sent from addresses or MACs which are not its own were "
            "dropped"
        )
    others = {reason: count for reason, count in drops.items() if reason not in _FOREIGN}
    if others:
        counted = [f"{count} {reason.replace('_', ' ')}" for reason, count in others.items()]
        yield f"of what it sent or should have got, packets were dropped: {users_of(counted)}"


def _about_state(standing: Standing, told: Told) -> Iterator[str]:
    for problem in told.problems:
        yield f"something of it is not in force: {problem}"
    if told.silence:
        yield f"host {standing.host.name} does not tell what it has dropped: {told.silence}"


def _against_drops(port: Port, drops: Mapping[str, int]) -> str:
    if drops.get(_DENIED, 0) and not _from_foreign_addresses(drops):
        name = workload_name(port)
        return f"to see which rule denies a flow: weft policy test FROM {name} --tcp PORT"
    if not _from_foreign_addresses(drops):
        return ""
    if port.owner.frontend == "docker":
        return (
            "if it shall have another address: docker run --network "
            "name=NETWORK,driver-opt=weft.allow-address=ADDRESS, or docker network connect "
            "--driver-opt weft.allow-address=ADDRESS NETWORK CONTAINER"
        )
    return "if it shall have another address: weft attach … --allow-address ADDRESS"


def _from_foreign_addresses(drops: Mapping[str, int]) -> int:
    return sum(drops.get(reason, 0) for reason in _FOREIGN)


def _about_link(standing: Standing, members: Members, view: View) -> Iterator[str]:
    host = standing.host
    match standing.state:
        case "local":
            yield "it is this host"
        case "connected":
            rtt = "" if standing.rtt_s is None else f", round trip {standing.rtt_s * 1000:.1f} ms"
            link = members.links.get(host.id)
            dialed = (
                "" if link is None else ", dialed from " + ("here" if link.is_outgoing else "there")
            )
            yield f"a link to it is up ({standing.address}{dialed}{rtt})"
        case "indirect":
            via = members.reached[host.id].via if host.id in members.reached else HostId("")
            relay = view.get(Host, via)
            name = relay.name if relay is not None else via
            yield f"there is no link to it; news of it comes by way of {name}"
        case "lost":
            yield "neither this host nor any that it reaches has a link to it"
    if standing.reason and standing.reason != LOST_ON_THE_WAY[0]:
        yield standing.reason


def _about_path(standing: Standing) -> Iterator[str]:
    mtu = standing.path_mtu_bytes
    size = f"; packets of up to {mtu} bytes get through" if mtu else ""
    match standing.path:
        case "direct":
            yield f"packets go directly to {standing.address}{size}"
        case "relayed":
            relay = standing.relay.name if standing.relay is not None else "another host"
            yield f"the direct way loses packets, so {relay} relays them{size}"
        case "broken":
            yield LOST_ON_THE_WAY[0]
        case None:
            if standing.state != "local":
                yield "packets are sent to its last address; whether they arrive is not known"


def _about_encryption(standing: Standing, view: View) -> Iterator[str]:
    is_wanted = cluster_settings(view).is_encrypted
    match standing.way:
        case Way.ENCRYPTED:
            yield "they are encrypted (WireGuard)"
        case Way.PLAIN:
            yield "they are not encrypted" + (
                ", though the cluster wants encryption: not all hosts are ready for it, or both "
                "addresses are in a plain underlay"
                if is_wanted
                else ""
            )
        case _:
            pass  # said among what is wrong
