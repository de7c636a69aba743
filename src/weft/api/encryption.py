"""Encryption between hosts: how it is set, how far each host is, new keys."""

from __future__ import annotations

import msgspec

from weft.api.context import Context
from weft.api.route import AnyRoute, Call, Route, plain
from weft.api.schema import (
    Empty,
    EncryptedHostInfo,
    EncryptionInfo,
    EncryptRequest,
    KeyInfo,
)
from weft.errors import ConflictError, InvalidError, UnavailableError
from weft.model.choices import EncryptionStage
from weft.topology.encryption import Party, cluster_settings, is_settled, others, party


async def show(context: Context, call: Call[None, Empty]) -> EncryptionInfo:
    """How it is set, and how far each host is."""
    return _info(context)


async def change(context: Context, call: Call[EncryptRequest, Empty]) -> EncryptionInfo:
    """Turn it on or off; hosts follow step by step."""
    asked = call.body
    now = cluster_settings(context.control.view)
    exceptions = now.plain_underlays if asked.plain is msgspec.UNSET else asked.plain
    await context.control.encryption.set(asked.is_encrypted, exceptions)
    return _info(context)


async def rotate(context: Context, call: Call[None, Empty]) -> KeyInfo:
    """Give this host new keys."""
    return KeyInfo(public_key=await context.encryption.rotate())


def _info(context: Context) -> EncryptionInfo:
    view = context.control.view
    cluster = cluster_settings(view)
    me = context.control.host
    hosts = [party(view, me), *others(me.id, view)]
    local = context.encryption
    return EncryptionInfo(
        is_encrypted=cluster.is_encrypted,
        is_settled=is_settled(cluster, hosts),
        plain=tuple(map(str, cluster.plain_underlays)),
        hosts=tuple(sorted(map(_host, hosts), key=lambda host: (host.name, host.id))),
        waits_for=_waits_for(context),
        obstacle=local.obstacle,
        key_made_s=local.key_made_s,
        problem=local.problem,
    )


def _waits_for(context: Context) -> tuple[str, ...]:
    hindrances = (f"host {each.name} {each.reason}" for each in context.encryption.hindrances())
    return (*context.encryption.waits_for, *hindrances)


def _host(host: Party) -> EncryptedHostInfo:
    end = host.wireguard
    return EncryptedHostInfo(
        id=host.id,
        name=host.name,
        is_able=end is not None,
        stage=(end.stage if end is not None else EncryptionStage.OFF).name.lower(),
        is_in_force=end is None or end.stage == end.in_force,
        public_key=end.public_key if end is not None else None,
        port=end.port if end is not None else None,
    )


ROUTES: tuple[AnyRoute, ...] = (
    plain("GET", "/v1/encryption", show, "How traffic between hosts is encrypted", EncryptionInfo),
    Route(
        method="PUT",
        path="/v1/encryption",
        handler=change,
        summary="Turn encryption between hosts on or off",
        query=Empty,
        body=EncryptRequest,
        answer=EncryptionInfo,
        errors=(InvalidError, ConflictError, UnavailableError),
    ),
    plain(
        "POST",
        "/v1/encryption/rotate",
        rotate,
        "Give this host new WireGuard keys",
        KeyInfo,
        (ConflictError, UnavailableError),
    ),
)
