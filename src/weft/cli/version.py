"""``weft version``."""

from __future__ import annotations

import platform
from pathlib import Path

import click

import weft
from weft.cli.output import json_option, print_json

_COMPILER = Path(weft.__file__).parent / "kernel/bpf/objects/compiler.txt"


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show the version, and the compiler that built the BPF programs.

    \b
    Examples:
      weft version
      weft version --json
    """
    if as_json:
        print_json(
            {
                "version": weft.__version__,
                "python": platform.python_version(),
                "kernel": platform.release(),
                "bpf_compiler": _compiler(),
            }
        )
    else:
        click.echo(f"weft {weft.__version__} (BPF programs: {_compiler() or 'not built'})")


def _compiler() -> str:
    """The compiler's own words, which bpf/Makefile leaves beside the objects; empty: not built."""
    try:
        return _COMPILER.read_text().strip()
    except FileNotFoundError:
        return ""
