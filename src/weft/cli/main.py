"""The command ``weft``: a table of commands, each loaded only when it is used.

Exit codes: 0 done, 1 failed, 2 not understood.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

import weft
from weft.errors import WeftError
from weft.printable import printable_lines

EXIT_FAILED = 1


class Lazy(NamedTuple):
    """Where a command is, or the noun from which it is made (`cli.nouns`), and its line in the list
    of commands."""

    module: str
    attribute: str
    help: str


COMMANDS: Mapping[str, Lazy] = {
    "up": Lazy("weft.cli.up", "up", "Start weftd on this host."),
    "down": Lazy("weft.cli.down", "down", "Stop weftd; ports go on forwarding."),
    "token": Lazy("weft.cli.token", "token", "Show or rotate the token of the cluster."),
    "leave": Lazy("weft.cli.leave", "leave", "Take this host out of its cluster."),
    "forget": Lazy("weft.cli.forget", "forget", "Remove a host that is gone for good."),
    "status": Lazy("weft.cli.status", "status", "Show weftd, hosts, counters and problems."),
    "mend": Lazy("weft.cli.mend", "mend", "Remove a record that cannot be used."),
    "why": Lazy("weft.cli.why", "why", "Explain how a host or a port is reached, or not."),
    "tenant": Lazy("weft.api.resources.tenant", "TENANT", "Make, list, change and remove tenants."),
    "network": Lazy("weft.cli.network", "network", "Make, list, inspect and remove networks."),
    "router": Lazy("weft.cli.router", "router", "Make, connect, list and remove routers."),
    "group": Lazy("weft.cli.group", "group", "Security groups: who may talk to whom."),
    "policy": Lazy("weft.cli.policy", "policy", "Ask what security groups say of a flow."),
    "trace": Lazy("weft.cli.trace", "trace", "Follow a made packet, stage by stage."),
    "port": Lazy("weft.cli.port", "port", "Add, list, change and remove ports."),
    "attach": Lazy("weft.cli.attach", "attach", "Plug something that runs into a network."),
    "detach": Lazy("weft.cli.attach", "detach", "Unplug something from a network."),
    "expose": Lazy("weft.cli.expose", "expose", "Give the host itself a place on a network."),
    "hide": Lazy("weft.cli.expose", "hide", "Take the host's place on a network away."),
    "ps": Lazy("weft.cli.ps", "ps", "Show what is attached where."),
    "flows": Lazy("weft.cli.flows", "flows", "Show connections, and what the rules deny."),
    "dns": Lazy("weft.cli.dns", "dns", "Add, list, remove and look up names."),
    "apply": Lazy("weft.cli.apply", "apply", "Make things as files describe them."),
    "export": Lazy("weft.cli.apply", "export", "Print what there is, for weft apply."),
    "multicast": Lazy(
        "weft.cli.multicast", "multicast", "Add, list and remove members of multicast groups."
    ),
    "encrypt": Lazy("weft.cli.encrypt", "encrypt", "Encrypt the traffic between hosts, or not."),
    "doctor": Lazy("weft.cli.doctor", "doctor", "Check this host and say what to do."),
    "lab": Lazy("weft.lab.commands", "lab", "Run several hosts on this machine."),
    "bench": Lazy("weft.bench.command", "bench", "Measure Weft against its alternatives."),
    "version": Lazy("weft.cli.version", "version", "Show the version."),
    "completion": Lazy("weft.cli.completion", "completion", "Print a shell completion script."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it."""
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        command = getattr(importlib.import_module(lazy.module), lazy.attribute)
        if not isinstance(command, click.Command):
            from weft.cli.nouns import group

            command = group(command)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Settings file [/etc/weft/weft.toml]; the same as WEFT_CONFIG.",
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where weftd's socket is [/run/weft]; the same as WEFT_RUN_DIR.",
)
@click.version_option(weft.__version__, message="weft %(version)s")
def cli(config: Path | None, run_dir: Path | None) -> None:
    """One network for containers, VMs and bare metal.

    \b
    Examples:
      weft up
      weft network create foo --subnet 192.168.1.0/24
      weft attach web foo
      weft doctor
    """
    if config is not None:
        os.environ["WEFT_CONFIG"] = str(config.absolute())
    if run_dir is not None:
        os.environ["WEFT_RUN_DIR"] = str(run_dir.absolute())


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: errors become a sentence on standard error and an exit code."""
    try:
        cli.main(arguments, prog_name="weft", standalone_mode=True)
    except WeftError as error:
        _report(error)
    except ExceptionGroup as group:
        for one in _leaves(group):
            _report(one, leave=False)
        sys.exit(EXIT_FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)


def _report(error: BaseException, *, leave: bool = True) -> None:
    click.echo(f"weft: {printable_lines(str(error))}", err=True)
    if leave:
        sys.exit(EXIT_FAILED)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if not isinstance(one, BaseExceptionGroup):
            if not isinstance(one, WeftError):
                raise one
            yield one
        else:
            yield from _leaves(one)


if __name__ == "__main__":
    main()
