"""``weft lab``: hosts on one machine, for trying Weft, for its system tests and for benchmarks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from weft.lab.layout import DEFAULT_NAME, OUTSIDE

if TYPE_CHECKING:
    from weft.lab.status import HostStatus


class _Group(click.Group):
    """Keeps the commands in the order in which one needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Group)
def lab() -> None:
    """Hosts on this one machine, each with its own weftd.

    \b
    Examples:
      weft lab up --hosts 2 --docker
      weft lab exec h1 -- docker network create -d weft --subnet=192.168.1.0/24 foo
      weft lab exec h1 -- weft status
      weft lab down
    """


_NAME = click.option(
    "--name", "name", default=DEFAULT_NAME, show_default=True, help="Which lab; several coexist."
)


def _settings(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{word!r}: say KEY=VALUE")
        try:
            settings[key] = msgspec.json.decode(value, type=bool | int | float | str)
        except msgspec.DecodeError:
            settings[key] = value
    return settings


@lab.command()
@click.option("--hosts", type=click.IntRange(1, 100), help="How many; h1 … hN. [default: 1]")
@click.option("--docker", is_flag=True, help="Each host gets a Docker engine of its own.")
@click.option("--mtu", type=click.IntRange(1280, 65535), default=1500, help="Of the underlay.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_settings,
    help="A setting of weftd, as in weft.toml, for hosts that are made now.",
)
@_NAME
def up(name: str, hosts: int | None, docker: bool, mtu: int, settings: dict[str, Any]) -> None:
    """Make hosts and start what does not run on them.

    Run again it starts what is not running and changes nothing else.

    \b
    Examples:
      weft lab up --hosts 3 --docker
      weft lab up --set reconcile_s=1 --name quick
    """
    from weft.lab.lab import Lab

    made = Lab(name, _say)
    made.up(hosts, has_docker=docker, mtu_bytes=mtu, settings=settings)
    _say(f"{len(made.hosts())} host(s) up; weft lab exec h1 -- weft status")


@lab.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@_NAME
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(name: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on HOST (h1 …, or outside); weft and docker mean that host's.

    \b
    Examples:
      weft lab exec h1 -- docker run -it --net=foo busybox
      weft lab exec h1 -- bash
      weft lab exec outside -- ping -c 1 198.18.0.1
    """
    from weft.lab.exec import execute
    from weft.lab.lab import Lab, check_root

    check_root()
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise click.UsageError("say what to run: weft lab exec HOST -- COMMAND…")
    sys.stdout.flush()
    execute(Lab(name).node(host), words)


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable; see docs/lab.md.")
@_NAME
def status(name: str, as_json: bool) -> None:
    """Show hosts, addresses, daemons and where the logs are.

    \b
    Examples:
      weft lab status --json
    """
    from weft.lab.lab import Lab
    from weft.model.codec import encode

    now = Lab(name).status()
    if as_json:
        click.echo(msgspec.json.format(encode(now), indent=2).decode())
        return
    click.echo(f"{'HOST':8}{'ADDRESS':17}{'WEFTD':16}{'DOCKER':16}LINK")
    for host in now.hosts:
        weftd = f"pid {host.weftd_pid}" if host.weftd_pid else "stopped"
        docker = f"pid {host.dockerd_pid}" if host.dockerd_pid else "stopped"
        link = "cut" if host.is_cut else _cuts(host) or "up"
        docker = docker if host.docker_socket else "-"
        click.echo(f"{host.name:8}{host.address!s:17}{weftd:16}{docker:16}{link}")
    click.echo(f"{OUTSIDE:8}{now.outside.address!s:17}{now.outside.state:16}{'-':16}up")
    for host in now.hosts:
        for log in host.logs:
            click.echo(f"{host.name} log: {log}")


@lab.command()
@_NAME
def down(name: str) -> None:
    """Stop a lab and remove all that it made.

    \b
    Examples:
      weft lab down --name quick
    """
    from weft.lab.lab import Lab

    Lab(name, _say).down()


@lab.command()
@_NAME
@click.argument("host")
def kill(name: str, host: str) -> None:
    """Kill a host's weftd with SIGKILL, as a crash would.

    \b
    Examples:
      weft lab kill h1
    """
    from weft.lab import faults
    from weft.lab.lab import Lab

    if not faults.kill(Lab(name), host):
        _say(f"{host}: weftd was not running")


@lab.command()
@_NAME
@click.argument("host")
def start(name: str, host: str) -> None:
    """Start what does not run on a host.

    \b
    Examples:
      weft lab start h1
    """
    from weft.lab import faults
    from weft.lab.lab import Lab

    faults.start(Lab(name, _say), host)


@lab.command()
@_NAME
@click.option("--one-way", "is_one_way", is_flag=True, help="What OTHER sends still arrives.")
@click.argument("host")
@click.argument("other", required=False)
def cut(name: str, host: str, other: str | None, is_one_way: bool) -> None:
    """Cut a host off the underlay, or only off one OTHER; its link stays up.

    \b
    Examples:
      weft lab cut h2
      weft lab cut h1 h3
      weft lab cut h1 h3 --one-way
    """
    from weft.lab import faults
    from weft.lab.lab import Lab

    faults.cut(Lab(name), host, other, is_one_way=is_one_way)


@lab.command()
@_NAME
@click.argument("host")
@click.argument("other", required=False)
def heal(name: str, host: str, other: str | None) -> None:
    """End all cuts of a host, or those between it and OTHER.

    \b
    Examples:
      weft lab heal h2
      weft lab heal h1 h3
    """
    from weft.lab import faults
    from weft.lab.lab import Lab

    faults.heal(Lab(name), host, other)


@lab.command(hidden=True)
@click.option("--hosts", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--down", "is_down", is_flag=True, help="End the demonstration's lab.")
@click.option("--name", default="demo", show_default=True)
def demo(hosts: int, is_down: bool, name: str) -> None:
    """Run a demonstration that proves each of its steps (make demo).

    \b
    Examples:
      weft lab demo
      weft lab demo --down
    """
    from weft.lab.demo import run_demo, stop_demo

    if is_down:
        stop_demo(name, _say)
    elif not run_demo(name, hosts):
        raise SystemExit(1)


def _cuts(host: HostStatus) -> str:
    """``cut to h2, from h3``"""
    to = [f"to {each.destination}" for each in host.cuts if each.source == host.name]
    back = [f"from {each.source}" for each in host.cuts if each.destination == host.name]
    return f"cut {', '.join([*to, *back])}" if host.cuts else ""


def _say(what: str) -> None:
    click.echo(what, err=True)
