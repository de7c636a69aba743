"""What a port is to whoever made it, and what only he may change."""

from __future__ import annotations

from msgspec import UNSET

from weft.control.references import workload_name
from weft.control.specs import PortChanges
from weft.errors import InvalidError
from weft.model.records import Network, Port

GROUPS = "weft.groups"
"""Label that names the security groups of a port, where its frontend gives the port its labels."""
_LABELLING = frozenset({"docker"})
"""Frontends that say the labels of their ports."""


def check_own_facts(port: Port, changes: PortChanges) -> None:
    """InvalidError: the frontend of the port says what is to be changed, and would say it again."""
    if port.owner.frontend not in _LABELLING:
        return
    name, frontend = workload_name(port), port.owner.frontend
    if changes.labels is not UNSET:
        raise InvalidError(f"port {name}: {frontend} says its labels; change them there")
    if changes.groups is not UNSET and GROUPS in dict(port.labels):
        raise InvalidError(
            f"port {name}: its groups are those of its label {GROUPS}; change it in {frontend}"
        )


def why_not_detached(port: Port, network: Network, target: str) -> str:
    """Why a port that some frontend made cannot be detached."""
    if port.owner.frontend == "docker":
        return (
            f"detach {target}: Docker put it on {network.name}; "
            f"take it off there: docker network disconnect {network.name} {target}"
        )
    return f"detach {target}: {port.owner.frontend} put it on {network.name}; take it off there"


def is_target(port: Port, target: str) -> bool:
    """Whether it is that target's, as `attach` names it."""
    owner = port.owner
    return target in (owner.reference, owner.container_name) or (
        len(target) >= 12 and owner.container_id.startswith(target)
    )
