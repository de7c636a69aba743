from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft import logs
from weft.errors import InvalidError

# isort: split
import structlog


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield io.StringIO()
    root.handlers[:], _ = before
    root.setLevel(before[1])
    structlog.reset_defaults()


def test_event_is_one_line_with_its_facts(stream: io.StringIO) -> None:
    logs.set_up("info", stream)
    structlog.get_logger().info("port added", port="p1", reason="two words")
    structlog.get_logger().debug("not shown")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("info    port added port=p1 reason='two words'")


def test_nothing_secret_is_written(stream: io.StringIO) -> None:
    logs.set_up("info", stream)
    token = "weft1abcdefghijklmnopqrstuvwxyz"
    structlog.get_logger().info("joined", token="t0p", url=f"x?{token}", api_secret="s3cret")
    logging.getLogger("library").warning("used %s", token)
    text = stream.getvalue()
    assert "t0p" not in text
    assert "s3cret" not in text
    assert token not in text
    assert text.count(logs.HIDDEN) == 4


def test_traceback_and_library_warnings_are_kept(stream: io.StringIO) -> None:
    logs.set_up("error", stream)
    try:
        raise ValueError("why")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed too")
    text = stream.getvalue()
    assert text.count("ValueError: why") == 2
    assert "logger=library" in text


def test_unknown_level_is_refused() -> None:
    with pytest.raises(InvalidError, match="say one of debug, info, warning, error"):
        logs.set_up("loud")


def test_logs_do_not_bring_rich_along() -> None:
    script = "from weft import logs; import sys; print('rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_full_disk_costs_the_line_and_nothing_else(stream: io.StringIO) -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        logs.set_up("info", full)
        structlog.get_logger().info("not written")
        logging.getLogger("library").warning("neither")
        with pytest.raises(OSError, match="No space"):
            full.flush()
        with Path(os.devnull).open("w") as rest:
            os.dup2(rest.fileno(), full.fileno())
