"""What `weft attach` may name: a container, a pid, the path of a network namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from weft.control.context import Target
from weft.errors import InvalidError, NotFoundError, UnavailableError
from weft.kernel import netns
from weft.kernel.links import links
from weft.model.records import Veth


class Container(NamedTuple):
    """A running container."""

    id: str
    name: str
    netns: str
    """Path of its network namespace."""


class ContainerFinder(Protocol):
    """A container engine, asked."""

    async def find_container(self, reference: str) -> Container | None:
        """By name or id; None: there is none. InvalidError: it has no namespace of its own."""
        ...


class HostTargets:
    """Looks into this machine. Paths are as weftd sees them."""

    def __init__(self, finders: Sequence[ContainerFinder] = ()) -> None:
        self._finders = finders

    async def resolve(self, target: str) -> Target:
        """See `control.context.Targets`. A bare number is a pid."""
        if "/" in target or target.isdigit():
            return await asyncio.to_thread(_target, netns.path_of(target), "", "")
        silent = ""
        for finder in self._finders:
            try:
                container = await finder.find_container(target)
            except UnavailableError as error:
                silent = f" ({error})"
                continue
            if container is not None:
                return await asyncio.to_thread(
                    _target, container.netns, container.id, container.name
                )
        path = netns.path_of(target)
        if await asyncio.to_thread(netns.exists, path):
            return await asyncio.to_thread(_target, path, "", target)
        raise NotFoundError(
            f"attach {target}: no running container, pid or named network namespace{silent}; "
            "a namespace may be given by its path"
        )


def _target(path: str, container_id: str, name: str) -> Target:
    with netns.opened(path):
        if netns.is_own(path):
            raise InvalidError(
                f"attach {path}: is the host's own network namespace; "
                "the host gets a place with: weft expose NETWORK"
            )
        with netns.netlink_in(path) as netlink:
            ifnames = frozenset(link.name for link in links(netlink))
        return Target(
            netns=path,
            inode=netns.inode(path),
            ifnames=ifnames,
            container_id=container_id,
            name=name,
        )


def is_namespace_there(device: Veth) -> bool:
    """Whether the namespace that a device leads into still lives, and is still the one meant."""
    if device.netns is None:
        return True
    try:
        number = netns.inode(device.netns)
    except NotFoundError:
        return False
    return netns.exists(device.netns) and device.netns_inode in (None, number)
