"""Runs the machine's own tools (ip, unshare, mount, docker …) and makes their failures readable."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence

from weft.errors import UnavailableError

_MAX_WORDS = 1000


def run(
    command: Sequence[str],
    *,
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 300,
    shown: str | None = None,
) -> str:
    """What the command printed; UnavailableError with its own words when it fails.

    `text` goes to its standard input; `shown` stands for the command in the error.
    """
    shown = shown or shlex.join(command)
    try:
        done = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise UnavailableError(f"{error.filename}: not installed; run make setup") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{shown}: no end after {timeout_s:g} s") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-_MAX_WORDS:].replace("\n", "; ")
        raise UnavailableError(f"{shown}: exit code {done.returncode}: {words}")
    return done.stdout
