"""Options of the commands that plug something into a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from weft.cli import types

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS = (
    click.option(
        "--ip", "addresses", multiple=True, type=types.ADDRESS, help="Address; repeatable."
    ),
    click.option("--mac", type=types.MAC, help="MAC [made from network and address]."),
    click.option(
        "--name", "names", multiple=True, help="DNS name; repeatable [a container's own]."
    ),
    click.option(
        "--label", "labels", multiple=True, type=types.LABEL, help="KEY=VALUE; repeatable."
    ),
    click.option(
        "--group",
        "groups",
        multiple=True,
        type=types.SECURITY_GROUP,
        help="Security group of which it is a member; repeatable.",
    ),
    click.option("--ifname", help="Interface's name inside [first free of eth0, eth1 …]."),
    click.option(
        "--allow-address",
        "allowed",
        multiple=True,
        type=types.ALLOWED,
        help="Let it send from this prefix too, with this MAC; repeatable.",
    ),
    click.option("--no-spoof-check", is_flag=True, help="Let it send from any address."),
    click.option(
        "--admit-host",
        "admits_host",
        is_flag=True,
        help="Let its host in from its own place there, whatever rules say.",
    ),
    click.option("--no-default-route", is_flag=True, help="Add no default route."),
)


def plug_options(command: F) -> F:
    """Adds them, in the order in which the help lists them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
