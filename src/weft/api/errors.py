"""The tree of `weft.errors` over HTTP: one table, read by the server and by the client.

Every answer with a status of 400 or more has the body
``{"error": {"kind": "not-found", "message": "network foo: …"}}``. Light on purpose: the CLI
imports it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from weft.errors import (
    ConflictError,
    ExhaustedError,
    InUseError,
    InvalidError,
    KernelError,
    NotFoundError,
    UnavailableError,
    WeftError,
)


class Mapped(NamedTuple):
    """How one kind of error travels."""

    error: type[WeftError]
    kind: str
    status: int


TABLE: tuple[Mapped, ...] = (
    Mapped(ConflictError, "conflict", 409),
    Mapped(InvalidError, "invalid", 400),
    Mapped(NotFoundError, "not-found", 404),
    Mapped(InUseError, "in-use", 409),
    Mapped(ExhaustedError, "exhausted", 507),
    Mapped(UnavailableError, "unavailable", 503),
    Mapped(KernelError, "kernel", 502),
    Mapped(WeftError, "internal", 500),
)
"""A class before its base: the first that fits is taken. 502 for the kernel: weftd asked another
and was refused; 500 is kept for what is a fault of weftd's own."""

MAX_LINE = 1000
"""Characters of a line of a message."""
KINDS = tuple(mapped.kind for mapped in TABLE)


class ErrorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, for a program (`kind`) and for a person (`message`)."""

    kind: str
    message: str
    operation: str = ""
    """What the kernel was asked for, when `kind` is ``kernel``."""
    errno: int = 0
    """What it answered."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    error: ErrorFacts


def mapped(error: WeftError) -> Mapped:
    """The line of `TABLE` for an error."""
    return mapped_class(type(error))


def mapped_class(error: type[WeftError]) -> Mapped:
    """The line of `TABLE` for a class of errors."""
    return next(line for line in TABLE if issubclass(error, line.error))


def to_body(error: WeftError) -> ErrorBody:
    """An error as it travels."""
    kernel = error if isinstance(error, KernelError) else None
    return ErrorBody(
        error=ErrorFacts(
            kind=mapped(error).kind,
            message=_shortened(str(error)),
            operation=kernel.operation if kernel else "",
            errno=kernel.errno if kernel else 0,
        )
    )


def _shortened(message: str) -> str:
    """A message may quote the request, which may be long. Begin and end tell what is wrong."""
    return "\n".join(
        line if len(line) <= MAX_LINE else f"{line[: MAX_LINE // 2]} … {line[-MAX_LINE // 2 :]}"
        for line in message.splitlines()
    )


def from_body(body: ErrorBody) -> WeftError:
    """The error that travelled, of the same class and with the same message."""
    facts = body.error
    if facts.kind == "kernel":
        kernel = KernelError(facts.operation, facts.errno)
        kernel.args = (facts.message,)
        return kernel
    kinds = {line.kind: line.error for line in TABLE}
    return kinds.get(facts.kind, WeftError)(facts.message)
