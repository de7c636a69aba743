"""What commands print: tables that fit the terminal, JSON, and signs of life.

A table goes to standard output as wide as the terminal, 80 columns where there is none, with
colours only on a terminal. Progress goes to standard error, after a second, for most things take
less.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import click
import msgspec

from weft.printable import printable_json

F = TypeVar("F", bound=Callable[..., object])

QUIET_S = 1.0
"""What takes less shows no progress."""


def json_option(command: F) -> F:
    """Adds ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON of a stable form (docs/json.md)."
    )(command)


def print_json(value: object) -> None:
    """JSON, indented, one document."""
    click.echo(printable_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """A table; `right` names the columns that are aligned right. Long cells wrap."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=False
        )
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Name and value, one a line; a value of several lines stays in its column."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        first, *rest = value.splitlines() or [""]
        click.echo(f"  {name:<{width}}  {first}".rstrip())
        for line in rest:
            click.echo(f"  {'':<{width}}  {line}")


def terminal_width() -> int:
    """Columns; 80 where there is no terminal."""
    return shutil.get_terminal_size((80, 24)).columns


def bytes_text(count: int) -> str:
    """A count of bytes for people: ``1.2 MB``, powers of 1000."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def duration_text(seconds: float) -> str:
    """A duration for people, to two units: ``3 h 12 min``."""
    whole = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def coloured(text: str, colour: str) -> str:
    """For a terminal; elsewhere click takes the colour away. NO_COLOR is honoured."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """Say what is waited for once it has taken a second; on a terminal, count the seconds."""
    done = threading.Event()
    thread = threading.Thread(target=_tell, args=(what, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tell(what: str, done: threading.Event) -> None:
    began = time.monotonic()
    if done.wait(QUIET_S):
        return
    if not sys.stderr.isatty():
        click.echo(f"{what} …", err=True)
        done.wait()
        return
    while not done.wait(0.2):
        click.echo(f"\r{what} … {time.monotonic() - began:.0f} s", err=True, nl=False)
    click.echo(f"\r{' ' * (len(what) + 12)}\r", err=True, nl=False)
