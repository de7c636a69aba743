"""Logs: structlog on standard error, one line an event, and nothing secret in it.

The daemon imports this module before any other that uses structlog: structlog would import rich
for its tracebacks, which costs the daemon 5 MB that it has no use for.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import TextIO, cast

from weft.errors import InvalidError
from weft.printable import printable

_had_rich = "rich" in sys.modules
if not _had_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if not _had_rich:
    del sys.modules["rich"]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
HIDDEN = "(hidden)"

_SECRET_KEY = re.compile(r"token|secret|passw|private|credential|authorization", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\bweft1[0-9A-Za-z_-]{16,}")
"""A join token, wherever it appears."""

Event = MutableMapping[str, object]


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Log to `stream` (None: standard error) from `level` on, the libraries' warnings too."""
    if level not in LEVELS:
        raise InvalidError(f"setting log_level = {level!r}: say one of {', '.join(LEVELS)}")
    target = cast("TextIO", Sturdy(stream or sys.stderr))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            hide_secrets,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=True,
    )
    _take_over_standard_logging(target)


class Sturdy:
    """A stream that loses lines rather than raise: a full disk, or a reader that is gone, must not
    end what wanted to say so."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """All of it, or what the stream takes."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """What cannot be written stays for the next time, as far as the stream keeps it."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def hide_secrets(logger: object, method: str, event: Event) -> Event:
    """Values under a telling key, and join tokens anywhere, are not written."""
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = HIDDEN
        elif isinstance(value, str):
            event[key] = _SECRET_VALUE.sub(HIDDEN, value)
    return event


def render(logger: object, method: str, event: Event) -> str:
    """``TIME LEVEL event key=value …``, a traceback on the lines after it, indented."""
    time, level = event.pop("timestamp", ""), event.pop("level", "")
    text = event.pop("event", "")
    traceback = str(event.pop("exception", ""))
    facts = "".join(f" {key}={_quoted(value)}" for key, value in event.items())
    line = f"{time} {level!s:<7} {printable(str(text))}{facts}"
    return f"{line}\n{_indented(traceback)}" if traceback else line


def _indented(traceback: str) -> str:
    """So that no line of an error's text passes for a line of the log."""
    return "\n".join(f"  {printable(line)}" for line in traceback.splitlines())


def _quoted(value: object) -> str:
    text = str(value)
    is_plain = text.isprintable() and not re.search(r"[\s\"=]", text)
    return text if text and is_plain else repr(text)


def _take_over_standard_logging(stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


class _Formatter(logging.Formatter):
    """Lines of the standard library's loggers in the same form as ours."""

    def format(self, record: logging.LogRecord) -> str:
        """One event."""
        moment = structlog.processors.TimeStamper(fmt="iso", utc=True)
        event: Event = dict(moment(None, "", {"event": record.getMessage()}))
        event["level"] = record.levelname.lower()
        event["logger"] = record.name
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return render(None, "", hide_secrets(None, "", event))
