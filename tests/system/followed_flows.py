"""Who follows connections by the command, while a test makes some."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from weft.lab.host import LabHost, weft_command


@contextmanager
def followed(host: LabHost, *options: str) -> Iterator[list[dict[str, Any]]]:
    """Lines of ``weft flows --follow``, more of them as they come."""
    words = [*host.enter, *weft_command(), "flows", "--follow", "--json", *options]
    child = subprocess.Popen(words, env=host.environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines: list[dict[str, Any]] = []
    output = child.stdout
    reader = threading.Thread(target=lambda: lines.extend(map(json.loads, output)))
    reader.start()
    try:
        yield lines
    finally:
        child.terminate()
        child.wait()
        reader.join()
        output.close()
