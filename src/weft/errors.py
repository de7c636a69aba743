"""The tree of errors that Weft raises on purpose.

    WeftError
    ├── InvalidError          the request is wrong: what, on what, why, and the fix
    │   └── ConflictError     right in itself, but it contradicts what is there
    ├── NotFoundError         what it names is not there
    ├── InUseError            it cannot go, for others use it
    ├── ExhaustedError        nothing is left to give (addresses, VNIs)
    ├── UnavailableError      a part that is needed does not answer now; trying later may do
    └── KernelError           the kernel refused; carries the operation and errno

A message reads: what failed, on what, why, the fix: ``subnet 10.0.0.0/33: prefix length must be
0..32``. Errors are caught only at a boundary: a request, a reconcile step, main. Every frontend
maps this tree to its own protocol in one table.
"""

from __future__ import annotations

import os
from typing import Self


class WeftError(Exception):
    """Base of all errors that Weft raises on purpose."""

    field = ""
    """The field of the request with which the message begins, where it begins with one."""

    def of_field(self, field: str) -> Self:
        """The same, about a field of the request."""
        error = type(self)(f"{field}: {self}")
        error.field = field
        return error


class InvalidError(WeftError):
    """The request is wrong in itself. Names the field, the value and the fix."""


class ConflictError(InvalidError):
    """The request contradicts what is there: a taken name, an overlap, an address in use."""


class NotFoundError(WeftError):
    """What the request names does not exist."""


class InUseError(WeftError):
    """What the request would remove is used; the message names the users."""


class ExhaustedError(WeftError):
    """Nothing is left to give: no free address in a subnet, no free VNI."""


class UnavailableError(WeftError):
    """Something that is needed does not answer now (a daemon, Docker, a store)."""


class KernelError(WeftError):
    """The kernel refused an operation."""

    def __init__(self, operation: str, errno: int, hint: str = "") -> None:
        text = f"{operation}: {os.strerror(errno)}"
        super().__init__(f"{text}; {hint}" if hint else text)
        self.operation = operation
        self.errno = errno
