"""The snooper, as other parts read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Snooping(Protocol):
    """This host's part in multicast (`multicast.snooper.Snooper`)."""

    def statistics(self) -> Mapping[str, int]:
        """Counts since the start: `reports` that ports sent, of them `malformed`; `queries` sent;
        `refused`, joins for which there was no room."""
        ...
