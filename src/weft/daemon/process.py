"""The process: its arguments, its signals, its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import weft
from weft import config, logs

# isort: split
from weft.cluster.opening import open_membership, open_secrets
from weft.config import Settings
from weft.daemon.parts import parts
from weft.daemon.records import opened_records
from weft.daemon.running import run_until
from weft.daemon.wiring import wire
from weft.disk import own_directory
from weft.errors import WeftError
from weft.host import memory
from weft.host.instance import only_instance
from weft.printable import printable_lines


def main() -> None:
    """Run weftd with settings from file and environment, and its log on standard error.

    Exit code 0, 1 when it could not run, 2 for arguments that it does not take.
    """
    if sys.argv[1:]:
        answer_arguments(sys.argv[1:])
    problems: list[BaseException] = []
    memory.limit_arenas()
    memory.grow()
    try:
        settings = config.load()
        logs.set_up(settings.log_level)
        os.umask(0o022)
        own_directory(Path(settings.state_dir), 0o700, "state-dir")
        with only_instance(settings.pid_file):
            asyncio.run(serve(settings))
    except* WeftError as errors:
        problems = leaves(errors)
    for problem in problems:
        print(f"weftd: {printable_lines(str(problem))}", file=sys.stderr)
    sys.exit(1 if problems else 0)


def answer_arguments(arguments: Sequence[str]) -> NoReturn:
    """weftd takes no settings as arguments, where every process of the host could read them."""
    match arguments:
        case ["--version"]:
            print(f"weftd {weft.__version__}")
        case ["-h" | "--help"]:
            print(
                "Usage: weftd\n\n"
                "The daemon of Weft, in the foreground. It takes its settings from the file in\n"
                "WEFT_CONFIG (/etc/weft/weft.toml) and from the environment; weft up --help\n"
                "lists them, and weft up starts it in the background."
            )
        case _:
            print(
                f"weftd: takes no arguments, got {arguments[0]}; see weftd --help", file=sys.stderr
            )
            sys.exit(2)
    sys.exit(0)


def leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    """The errors of a group, however deep."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


async def serve(settings: Settings) -> None:
    """Run until SIGTERM, SIGINT or a request to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    secrets = open_secrets(settings)
    async with opened_records(settings, secrets) as records:
        membership = open_membership(settings, records, secrets)
        await run_until(stop, parts(wire(settings, records, membership, stop.set)))
