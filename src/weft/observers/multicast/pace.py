"""How often the groups of a port may be told to all hosts."""

from __future__ import annotations

from weft.model.ids import PortId

BURST = 20
EVERY_S = 1.0


class Pace:
    """`BURST` at once, then one in `EVERY_S`, for each port. Time is passed in."""

    def __init__(self) -> None:
        self._used_up_s: dict[PortId, float] = {}
        """Until when all that has been told would have taken, at the steady pace."""

    def ready_s(self, port: PortId, now_s: float) -> float:
        """When the port may be told about next."""
        return max(now_s, self._used_up_s.get(port, now_s) - (BURST - 1) * EVERY_S)

    def told(self, port: PortId, now_s: float) -> None:
        """It is told about now."""
        self._used_up_s[port] = max(now_s, self._used_up_s.get(port, now_s)) + EVERY_S

    def forget(self, now_s: float) -> None:
        """Let go of ports that may tell as much as ever."""
        self._used_up_s = {port: at for port, at in self._used_up_s.items() if at > now_s}
