"""Runs a command on a node, in place of this process: terminal, signals and exit code are its."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from weft.lab.node import Node

_IN_DIRECTORY = 'cd "$0" 2>/dev/null || cd /; exec "$@"'


def execute(node: Node, command: Sequence[str]) -> NoReturn:
    """Become `command` on `node`, in the current directory if the node has it."""
    node.check_made()
    line = [*node.enter, "sh", "-c", _IN_DIRECTORY, str(Path.cwd()), *command]
    os.execvpe(line[0], line, node.environment)
