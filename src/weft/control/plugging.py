"""What a port has of what `attach` plugs in."""

from __future__ import annotations

from collections.abc import Iterable

from weft.control.context import Target
from weft.control.specs import AttachSpec
from weft.errors import ConflictError, InvalidError
from weft.model.choices import LivesWith
from weft.model.ids import PortId
from weft.model.records import Owner, Veth


def device_names(port_id: PortId) -> tuple[str, str]:
    """Names for a port's two device ends, derived from its id: (host's, peer's). 15 characters
    each, the most that Linux takes."""
    digits = port_id.replace("-", "")[:11]
    return f"weft{digits}", f"wefc{digits}"


def veth_for(spec: AttachSpec, target: Target, port_id: PortId) -> Veth:
    """The devices. ConflictError: the workload has an interface of that name."""
    ifname, _ = device_names(port_id)
    return Veth(
        ifname=ifname,
        peer_ifname=_free_ifname(spec.ifname, target.ifnames, spec.target),
        netns=target.netns,
        netns_inode=target.inode,
        is_default_route=spec.is_default_route,
    )


def owner_for(frontend: str, spec: AttachSpec, target: Target) -> Owner:
    """Whose the port is."""
    return Owner(
        frontend=frontend,
        lives_with=LivesWith.NAMESPACE,
        reference=spec.target,
        container_id=target.container_id,
        container_name=target.name,
    )


def _free_ifname(wanted: str | None, taken: Iterable[str], target: str) -> str:
    used = set(taken)
    if wanted is None:
        return next(name for n in range(len(used) + 1) if (name := f"eth{n}") not in used)
    if not 1 <= len(wanted) <= 15 or "/" in wanted or any(c.isspace() for c in wanted):
        raise InvalidError(f"interface name {wanted!r}: 1 to 15 characters, no blanks, no '/'")
    if wanted in used:
        raise ConflictError(f"interface {wanted}: is there already in {target}; choose another")
    return wanted
