"""Turning encryption between hosts on and off, for all of the cluster."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from weft.control.context import Context
from weft.errors import ConflictError, UnavailableError
from weft.model.addresses import IPNetwork
from weft.model.ids import new_id
from weft.model.records import Cluster, Host
from weft.store.interface import Put, View
from weft.topology.encryption import (
    CLUSTER_ID,
    Party,
    cluster_settings,
    is_pair_exempt,
    is_settled,
    others,
    party,
)


class Encryption:
    """Encryption between all hosts."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def set(self, is_encrypted: bool, plain: Sequence[IPNetwork] = ()) -> Cluster:
        """Turn it on or off for the cluster; hosts follow step by step, and lose no connection.

        `plain`: not between two hosts whose underlay addresses are both in one of these.
        ConflictError names the hosts that cannot encrypt. UnavailableError: the last change is not
        through, and exceptions are to change.
        """
        async with self._context.lock:
            now = cluster_settings(self._context.view)
            exceptions = tuple(sorted(set(plain), key=lambda each: (each.version, each)))
            if now.is_encrypted == is_encrypted and now.plain_underlays == exceptions:
                return now
            wanted = changed(now, is_encrypted, exceptions, new_id(self._context.random_bytes))
            self._check(now, wanted)
            await self._context.commit([Put(wanted)], is_awaited=False)
            return wanted

    def _check(self, now: Cluster, wanted: Cluster) -> None:
        view = self._context.view
        hosts = [party(view, self._context.host), *others(self._context.host_id, view)]
        if wanted.is_encrypted:
            unable = _unable(wanted, hosts)
            if unable:
                raise ConflictError(
                    f"encrypt: {_names(unable)} cannot encrypt: its kernel has no WireGuard, and "
                    "wireguard-go is not installed there. Install it (Debian: apt install "
                    "wireguard-go) and restart weftd, or leave its network out with --plain CIDR"
                )
        if now.plain_underlays != wanted.plain_underlays and not is_settled(now, hosts):
            raise UnavailableError(
                "encrypt: the last change is not through on every host yet, so --plain cannot be "
                "changed; weft encrypt status says which host it waits for"
            )


def changed(now: Cluster, is_encrypted: bool, plain: tuple[IPNetwork, ...], id: str) -> Cluster:
    """The settings after a change."""
    former = now.plain_underlays if plain != now.plain_underlays else now.former_plain_underlays
    return msgspec.structs.replace(
        now,
        id=CLUSTER_ID,
        is_encrypted=is_encrypted,
        plain_underlays=plain,
        former_plain_underlays=former,
        encryption_id=id,
    )


def may_begin_encrypted(view: View) -> bool:
    """Whether the records say nothing about encryption yet, and there is no other host to ask."""
    return view.get(Cluster, CLUSTER_ID) is None and len(list(view.list(Host))) <= 1


def _unable(cluster: Cluster, hosts: Sequence[Party]) -> list[Party]:
    """Hosts without WireGuard that have somebody to encrypt to, or are alone."""
    return [
        host
        for host in hosts
        if host.wireguard is None
        and (
            len(hosts) == 1
            or any(not is_pair_exempt(cluster, host, other) for other in hosts if other != host)
        )
    ]


def _names(hosts: Sequence[Party]) -> str:
    return " and ".join(f"host {host.name}" for host in hosts)
