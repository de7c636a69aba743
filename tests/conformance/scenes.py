"""Case files: scenes, each with a model, workloads, and behaviours that hold there.

A file has a YAML document a scene:

    scene: peers
    about: A rule names who may come.
    model:                        what `weft apply` takes, of a tenant of the scene's own
      - {kind: network, name: net}
      - {kind: group, name: web, rules: [allow ingress tcp 80 from group:lb]}
    workloads:
      web: {network: net, host: 2, groups: [web]}
      lb: {network: net, groups: [lb]}
    behaviours:
      - says: members of the peer get through
        steps:
          - lb -> web tcp 80: answered

In texts of the model and of commands ``@/web`` is `web` of the scene's tenant, ``@other/web`` of
another tenant that the scene has beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

FAMILIES = (4, 6)
_TENANT = re.compile(r"@(\w*)/")
CHANGES = ("weft", "apply", "leave", "enter")
"""Steps after which a scene is another one."""
Family = Literal[4, 6]
Placement = Literal["one", "two"]
Document = dict[str, Any]
Step = dict[str, Any]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word that is not known is an error."""


class Workload(Part, frozen=True):
    """Something that is plugged in."""

    network: tuple[str, ...]
    """Where it has ports; its addresses are those of the first."""
    host: Literal[1, 2] = 1
    """Where it is when the scene is spread over two hosts."""
    ip: int = 0
    """The number of its addresses in their subnets; 0: 11, 12, … in the order of the file."""
    subnets: tuple[str, ...] = ()
    """Of its networks, those in which it has addresses; empty: all."""
    groups: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    allows: tuple[str, ...] = ()
    """Further prefixes that it may send from."""
    holds: tuple[str, ...] = ()
    """Addresses that it gives itself on its first network."""
    gateway: str | None = None
    """A target that it sends to whatever is not on its networks, whether told so or not."""
    forwards: bool = False
    """It routes packets of others."""


class Behaviour(Part, frozen=True):
    """A sentence about the scene, and the steps that show it."""

    says: str
    steps: tuple[Step, ...]
    family: Family | None = None
    """None: it holds in both."""
    placement: Placement | None = None
    """None: it holds on one host and on two."""
    lacks: str | None = None
    """What is to be built before it holds."""
    is_smoke: bool = False
    """One of those that a slow machine runs, in half of its cases: together they show everything
    that rules, flows and routers do."""

    @property
    def changes(self) -> bool:
        """Whether the scene is another one afterwards."""
        return any(key in CHANGES for step in self.steps for key in step)


class Scene(Part, frozen=True):
    """A model with workloads."""

    scene: str
    about: str
    model: tuple[Document, ...]
    workloads: dict[str, Workload]
    behaviours: tuple[Behaviour, ...]
    addresses: dict[str, dict[str, str]] = {}
    """Further targets by name: ``{v4: …, v6: …}``."""


def documents(model: Iterable[Document], tenant: str) -> list[Document]:
    """A model, in a tenant."""
    return [_document(each, tenant) for each in with_subnets(model)]


def with_subnets(model: Iterable[Document]) -> Iterator[Document]:
    """The documents of a model. Networks without subnets get one of each family, the same in all
    scenes: 10.50.0.0/24 and fd50::/64, then 10.51.0.0/24 … in the order of the file; and they have
    no way out."""
    number = 50
    for each in model:
        document = dict(each)
        if document["kind"] == "network":
            cidrs = (f"10.{number}.0.0/24", f"fd{number}::/64")
            document.setdefault("subnets", [{"cidr": cidr} for cidr in cidrs])
            document.setdefault("is_internal", True)
            number += 1
        yield document


def in_tenant(text: str, tenant: str) -> str:
    """A text with the names of tenants in it."""
    return _TENANT.sub(lambda match: f"{tenant_name(tenant, match[1])}/", text)


def tenant_name(tenant: str, other: str) -> str:
    """What a tenant of a case file is called."""
    return f"{tenant}-{other}" if other else tenant


def _document(document: Document, tenant: str) -> Document:
    whose = "name" if document["kind"] == "tenant" else "tenant"
    made = {key: _placed(value, tenant) for key, value in document.items()}
    made[whose] = tenant_name(tenant, document.get(whose, ""))
    if document["kind"] == "router":
        made["networks"] = [_connected(each, tenant) for each in made["networks"]]
    if "shared_with" in made:
        made["shared_with"] = [tenant_name(tenant, each) for each in made["shared_with"]]
    return made


def _connected(connection: Document, tenant: str) -> Document:
    """A router's place on a network: of its own tenant, where it says no other."""
    name = connection["network"]
    return connection | {"network": name if "/" in name else f"{tenant}/{name}"}


def _placed(value: object, tenant: str) -> Any:
    match value:
        case str():
            return in_tenant(value, tenant)
        case list():
            return [_placed(each, tenant) for each in value]
        case dict():
            return {key: _placed(each, tenant) for key, each in value.items()}
        case _:
            return value
