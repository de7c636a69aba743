"""Who encrypts to whom, and who takes what; and when a host may go on to the next stage.

Encryption is turned on in steps, and off by the same steps backwards. A host takes a step only when
the records of all the others say that they are ready for it, so that no two hosts are ever more
than one step apart, and whatever one sends, the other takes:

    OFF      sends plain      takes plain          all have keys   ─┐
    ACCEPTS  sends plain      takes both           all accept      ─┤ each waits for
    SENDS    sends encrypted  takes both           all send        ─┤ what stands left
    REFUSES  sends encrypted  takes encrypted                      ─┘ of it

Somebody may change his mind in the middle. Every change of the settings has an id; a host publishes
the id that it follows, and moves only when all others follow the same one: from then on none of
them moves by the former one, and what they publish stays true. A host that is down follows nothing
and so holds up a change, but never what is in force.

All functions are pure, and both ends of a pair reach the same answer from the same records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from weft.model.addresses import IPAddress, IPNetwork
from weft.model.choices import EncryptionStage
from weft.model.ids import HostId
from weft.model.records import Cluster, ForgottenHost, Host, HostKeys
from weft.store.interface import View

CLUSTER_ID = "cluster"


class Way(Enum):
    """How a host sends to another."""

    PLAIN = "plain"
    ENCRYPTED = "encrypted"
    NONE = "none"
    """One of the two must encrypt, and the other cannot."""


class Party(NamedTuple):
    """A host, and its end of what is encrypted."""

    host: Host
    wireguard: HostKeys | None
    """None: it cannot encrypt."""

    @property
    def id(self) -> HostId:
        """The host's."""
        return self.host.id

    @property
    def name(self) -> str:
        """The host's."""
        return self.host.name

    @property
    def underlay(self) -> tuple[IPAddress, ...]:
        """The host's addresses for others."""
        return self.host.underlay


class Hindrance(NamedTuple):
    """Why a host cannot take the next step yet."""

    host: HostId
    name: str
    reason: str


def cluster_settings(view: View) -> Cluster:
    """The cluster's settings; the usual ones when nobody has written any."""
    return view.get(Cluster, CLUSTER_ID) or Cluster()


def party(view: View, host: Host) -> Party:
    """A host with what it says of its keys."""
    return Party(host, view.get(HostKeys, host.id))


def way_between(
    cluster: Cluster, me: Party, other: Party, local: IPAddress, remote: IPAddress
) -> Way:
    """How `me` sends to `other` between these underlay addresses."""
    mine, theirs = me.wireguard, other.wireguard
    if is_exempt(cluster.plain_underlays, local, remote):
        was = is_exempt(cluster.former_plain_underlays, local, remote)
        if was or theirs is None or theirs.follows == cluster.encryption_id:
            return Way.PLAIN
    if mine is None:
        return Way.NONE if _refuses(theirs) else Way.PLAIN
    if _stage_towards(cluster, mine, theirs) < EncryptionStage.SENDS:
        return Way.PLAIN
    return Way.NONE if theirs is None else Way.ENCRYPTED


def takes_plain(cluster: Cluster, me: Party, other: Party, source: IPAddress) -> bool:
    """Whether `me` takes plain packets that come from this underlay address of `other`."""
    theirs = other.wireguard
    if _stage_towards(cluster, me.wireguard, theirs) < EncryptionStage.REFUSES:
        return True
    if _is_any_exempt(cluster.plain_underlays, me, source):
        return True
    is_late = theirs is None or theirs.follows != cluster.encryption_id
    return is_late and _is_any_exempt(cluster.former_plain_underlays, me, source)


def knows_key(cluster: Cluster, me: Party, other: Party) -> bool:
    """Whether the WireGuard device of `me`, which it then has, holds `other` as a peer."""
    mine, theirs = me.wireguard, other.wireguard
    if mine is None or theirs is None:
        return False
    return needs_device(cluster, me) or _is_newcomer(cluster, mine, theirs)


def needs_device(cluster: Cluster, me: Party) -> bool:
    """Whether `me` has a WireGuard device, whoever else there is."""
    mine = me.wireguard
    return mine is not None and (cluster.is_encrypted or mine.stage >= EncryptionStage.ACCEPTS)


def is_exempt(prefixes: Iterable[IPNetwork], one: IPAddress, other: IPAddress) -> bool:
    """Whether both addresses are in one of the prefixes."""
    return any(one in prefix and other in prefix for prefix in prefixes)


def _is_any_exempt(prefixes: Sequence[IPNetwork], me: Party, source: IPAddress) -> bool:
    return any(is_exempt(prefixes, own, source) for own in me.underlay)


def _stage_towards(
    cluster: Cluster, mine: HostKeys | None, theirs: HostKeys | None
) -> EncryptionStage:
    """The stage of `me`; a newcomer does to each host what that host demands."""
    if mine is None:
        return EncryptionStage.OFF
    if theirs is not None and _is_newcomer(cluster, mine, theirs):
        return EncryptionStage.REFUSES
    return mine.stage


def _is_newcomer(cluster: Cluster, mine: HostKeys, theirs: HostKeys) -> bool:
    """Whether the other host has gone all the way without this one, so did not know it yet."""
    if not _refuses(theirs):
        return False
    return not mine.follows or mine.follows == theirs.follows == _wanted_id(cluster)


def _wanted_id(cluster: Cluster) -> str | None:
    """Names the settings if they want encryption."""
    return cluster.encryption_id if cluster.is_encrypted else None


def _refuses(end: HostKeys | None) -> bool:
    return end is not None and end.stage == EncryptionStage.REFUSES


def others(me: HostId, view: View) -> list[Party]:
    """All other hosts of the cluster, by id, reached or not."""
    known = (host for host in view.list(Host) if view.get(ForgottenHost, host.id) is None)
    found = (party(view, host) for host in known if host.id != me)
    return sorted(found, key=lambda each: each.id)


def next_end(cluster: Cluster, me: Party, known: Sequence[Party], *, is_in_force: bool) -> HostKeys:
    """What `me` shall publish next; the same as now when there is nothing to say or to do.

    is_in_force: the kernel does what `cluster` and `me` say.
    """
    mine = me.wireguard
    assert mine is not None
    stage = _next_stage(cluster, me, known)
    if stage != mine.stage:
        return msgspec.structs.replace(mine, stage=stage)
    if is_in_force:
        return msgspec.structs.replace(mine, in_force=stage, follows=cluster.encryption_id)
    return mine


def _next_stage(cluster: Cluster, me: Party, known: Sequence[Party]) -> EncryptionStage:
    mine = me.wireguard
    assert mine is not None
    if any(_is_newcomer(cluster, mine, end) for end in _ends(known)):
        return EncryptionStage.REFUSES if cluster.is_encrypted else mine.stage
    target = target_stage(cluster)
    is_free = mine.follows == cluster.encryption_id and mine.in_force == mine.stage
    if mine.stage == target or not is_free or hindrances(cluster, me, known):
        return mine.stage
    return EncryptionStage(mine.stage + (1 if target > mine.stage else -1))


def target_stage(cluster: Cluster) -> EncryptionStage:
    """Where all hosts shall be."""
    return EncryptionStage.REFUSES if cluster.is_encrypted else EncryptionStage.OFF


def _ends(hosts: Iterable[Party]) -> list[HostKeys]:
    return [host.wireguard for host in hosts if host.wireguard is not None]


def hindrances(cluster: Cluster, me: Party, known: Iterable[Party]) -> list[Hindrance]:
    """The hosts for which `me` must wait before its next step towards the target."""
    found = []
    for host in known:
        reason = _hindrance(cluster, me, host)
        if reason:
            found.append(Hindrance(host.id, host.name, reason))
    return found


def _hindrance(cluster: Cluster, me: Party, host: Party) -> str:
    mine, theirs = me.wireguard, host.wireguard
    assert mine is not None
    target = target_stage(cluster)
    if mine.stage == target:
        return ""
    if theirs is None:
        is_needed = target > mine.stage and not is_pair_exempt(cluster, me, host)
        return "cannot encrypt" if is_needed else ""
    if theirs.follows != cluster.encryption_id:
        return "has not taken up the setting"
    if target > mine.stage and min(theirs.stage, theirs.in_force) < mine.stage:
        return f"is at stage {min(theirs.stage, theirs.in_force).name.lower()}"
    if target < mine.stage and max(theirs.stage, theirs.in_force) > mine.stage:
        return f"is at stage {max(theirs.stage, theirs.in_force).name.lower()}"
    return ""


def is_pair_exempt(cluster: Cluster, one: Party, other: Party) -> bool:
    """Whether two hosts have a way to each other that need not be encrypted."""
    return any(_is_any_exempt(cluster.plain_underlays, one, source) for source in other.underlay)


def is_settled(cluster: Cluster, known: Iterable[Party]) -> bool:
    """Whether every host that can encrypt follows the settings and is where it should be."""
    target = target_stage(cluster)
    return all(
        end.follows == cluster.encryption_id and end.stage == end.in_force == target
        for end in _ends(known)
    )
