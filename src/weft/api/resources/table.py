"""The nouns. One that refers to another comes after it: files are applied in this order, and what
nobody wants any more goes in the reverse one."""

from __future__ import annotations

from weft.api.resources.base import AnyResource
from weft.api.resources.group import GROUP
from weft.api.resources.name import NAME
from weft.api.resources.network import NETWORK
from weft.api.resources.router import ROUTER
from weft.api.resources.static_port import PORT
from weft.api.resources.tenant import TENANT

RESOURCES: tuple[AnyResource, ...] = (TENANT, NETWORK, ROUTER, GROUP, PORT, NAME)
