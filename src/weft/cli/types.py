"""click's side of `weft.cli.parse`: a value that does not parse is a usage error (exit code 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import click
from click.shell_completion import CompletionItem

from weft.cli import complete
from weft.cli.parse import (
    parse_address,
    parse_advertising,
    parse_allowed,
    parse_label,
    parse_mac,
    parse_next_hops,
    parse_published,
    parse_range,
    parse_service,
    parse_subnet,
)
from weft.errors import InvalidError

T = TypeVar("T")

if TYPE_CHECKING:
    ParamType = click.ParamType[object]
else:
    ParamType = click.ParamType


class Parsed(ParamType, Generic[T]):
    """A parameter that one of our functions parses."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Text is parsed; what is parsed already stays."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except InvalidError as error:
            self.fail(str(error), param, ctx)


class Reference(ParamType):
    """Something that weftd knows, by name or id; the shell completes it."""

    def __init__(self, name: str, offer: complete.Offer) -> None:
        self.name = name
        self._offer = offer

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """What weftd knows that begins so."""
        return self._offer(incomplete)


class Connection(Reference):
    """A network that a router is connected to by the command that makes it."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """As the router's description has it."""
        return {"network": value} if isinstance(value, str) else value


class OrNone(ParamType):
    """What another type takes, or the word none, which is `NONE`."""

    def __init__(self, inner: ParamType) -> None:
        self.name = f"{inner.name}|none"
        self._inner = inner

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """See above."""
        return NONE if value in ("none", NONE) else self._inner.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """As the other type."""
        return self._inner.shell_complete(ctx, param, incomplete)


NONE = object()
"""Said to be none, as opposed to not said."""
ADDRESS = Parsed("ip", parse_address)
GROUP = Parsed("group", lambda text: parse_address(text, "group"))
GATEWAY = Parsed("ip", lambda text: parse_address(text, "gateway"))
SUBNET = Parsed("cidr", parse_subnet)
RANGE = Parsed("range", parse_range)
EXCLUDE = Parsed("range", lambda text: parse_range(text, "exclude"))
MAC = Parsed("mac", parse_mac)
ALLOWED = Parsed("cidr[=mac]", parse_allowed)
PUBLISHED = Parsed("[host:]port:port[/protocol]", parse_published)
LABEL = Parsed("key=value", parse_label)
ADVERTISING = Parsed("cidr=attached|all|off", parse_advertising)
SERVICE = Parsed("service", parse_service)
TENANT = Reference("tenant", complete.nouns("tenant"))
ADDRESSES = Parsed("ip,ip", parse_next_hops)
PREFIX = Parsed("cidr", lambda text: parse_subnet(text, "prefix"))
ROUTER = Reference("router", complete.nouns("router"))
NETWORK = Reference("network", complete.nouns("network"))
CONNECTION = Connection("network", complete.nouns("network"))
PORT = Reference("port", complete.ports)
HOST = Reference("host", complete.hosts)
SECURITY_GROUP = Reference("group", complete.nouns("group"))
REFERENCES = {one.name: one for one in (TENANT, NETWORK, ROUTER, SECURITY_GROUP)}
"""By noun."""
BY_KEY = {"router_advertisements": ADVERTISING}
"""What fields have by key, of which a flag says one."""
REPEATED = {"shared_with": TENANT, "networks": NETWORK}
"""What fields are lists of, of which a flag says one."""
