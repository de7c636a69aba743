"""One route of the API: what the server serves and the OpenAPI description describes.

Both are made from the same table of these, so they cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from weft.api.context import Context
from weft.api.request import BODY_LIMIT_BYTES
from weft.api.schema import Answer, Empty
from weft.control.specs import Spec
from weft.errors import InvalidError, WeftError

B = TypeVar("B")
Q = TypeVar("Q", bound=Spec)

_PATH_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """A request whose parts have been checked."""

    path: Mapping[str, str]
    query: Q
    body: B


class Lines(Protocol):
    """An answer that goes on, line by line."""

    @property
    def has_missed(self) -> bool:
        """Whether there are no more lines, for whoever reads them is too slow."""
        ...

    def lines(self) -> AsyncGenerator[Answer, None]:
        """Until it is closed."""
        ...

    def close(self) -> None:
        """There will be no more."""
        ...


Handler = Callable[[Context, Call[B, Q]], Awaitable[Answer | Lines | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[B, Q]):
    """A method and a path, what goes in, and what comes out."""

    method: str
    path: str
    handler: Handler[B, Q]
    summary: str
    query: type[Q]
    body: type[B] | None = None
    """None: a body is not read."""
    body_limit_bytes: int = BODY_LIMIT_BYTES
    answer: type[Answer] | None = None
    """None: the answer has no body (204)."""
    is_lines: bool = False
    """The answer is `Lines`, each of which is an `answer`."""
    status: int = 200
    errors: tuple[type[WeftError], ...] = (InvalidError,)
    """Those that a caller should expect, beside what may always happen."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in the path."""
        return tuple(_PATH_PARAMETER.findall(self.path))


AnyRoute = Route[Any, Any]


def plain(
    method: str,
    path: str,
    handler: Handler[None, Empty],
    summary: str,
    answer: type[Answer] | None,
    errors: tuple[type[WeftError], ...] = (),
) -> Route[None, Empty]:
    """A route without query and body."""
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        query=Empty,
        answer=answer,
        status=200 if answer else 204,
        errors=errors,
    )
