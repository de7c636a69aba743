"""Types that any thread may decode.

msgspec finds out what a struct is made of when it is first decoded, and ends the process when two
threads do so at once (seen with 0.22). So that is done here, by one of them; a type that is ready
is decoded by as many as like.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

T = TypeVar("T")
_LOCK = threading.Lock()
_READY: set[object] = set()


def ready(wanted: type[T]) -> type[T]:
    """The same type, which may be given to msgspec now."""
    if wanted not in _READY:
        with _LOCK:
            msgspec.json.Decoder(wanted)
            _READY.add(wanted)
    return wanted
