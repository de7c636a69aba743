"""Editions of maps: programs keep what they have looked up, and learn when that is over."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from weft.engine.ebpf.map_table import encode_u32
from weft.kernel.bpf import layouts
from weft.kernel.bpf.maps import Elements

OF_MACS = "macs_edition_v1"
OF_ROUTES = "routes_edition_v1"
_FIRST = encode_u32(0)


class Edition:
    """The number in a map by which programs know whether what they keep of others is over. It is
    odd while one of those changes, so that a weftd which ends meanwhile leaves nothing stale."""

    def __init__(self, open_map: Callable[[], Elements]) -> None:
        self._open_map = open_map
        self._number = secrets.randbits(31) << 1
        """None that a map of an earlier weftd has had, so far as chance goes."""

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change of what the edition is of."""
        self._tell(self._number + 1)
        try:
            yield
        finally:
            self.begin_another()

    def begin_another(self) -> None:
        """Whoever changed what it is of has told no program."""
        self._number = (self._number + 2) % 2**32
        self._tell(self._number)

    def _tell(self, number: int) -> None:
        errors = self._open_map().update({_FIRST: layouts.Edition(number).encode()})
        for error in errors.values():
            raise error
