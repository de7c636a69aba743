"""What the shell completes: names of networks and ports; quietly nothing when weftd is down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from weft.errors import WeftError

A = TypeVar("A")

TIMEOUT_S = 1.0
"""A shell that hangs at a tab is worse than one that completes nothing."""


def networks(
    type: object, ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Networks by name, those of another tenant as tenant/name."""
    from weft.api.schema import NetworkList

    answer = _answer(NetworkList, "networks")
    return _items(
        (
            (
                one.name if one.tenant == "default" else f"{one.tenant}/{one.name}",
                ", ".join(subnet.cidr for subnet in one.subnets),
            )
            for one in (answer.networks if answer is not None else ())
        ),
        incomplete,
    )


def ports(
    type: object, ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Ports by name and by id."""
    from weft.api.schema import PortList

    answer = _answer(PortList, "ports")
    return _items(
        (
            (word, f"{one.network} {', '.join(one.addresses)}")
            for one in (answer.ports if answer is not None else ())
            for word in (*one.names, one.id)
        ),
        incomplete,
    )


def hosts(
    type: object, ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Other hosts by name and by id."""
    from weft.api.schema import HostList

    answer = _answer(HostList, "hosts")
    return _items(
        (
            (word, one.state)
            for one in (answer.hosts if answer is not None else ())
            if not one.is_local
            for word in (one.name, one.id)
        ),
        incomplete,
    )


def _answer(form: type[A], what: str) -> A | None:
    """None: weftd does not say."""
    from weft.cli.session import connect

    try:
        return connect(timeout_s=TIMEOUT_S).get(form, what)
    except WeftError:
        return None


def _items(words: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word, help=text) for word, text in words if word.startswith(incomplete)]
