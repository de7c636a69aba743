"""Which addresses have another MAC than before, and how fast the ports of their network are told.

A neighbour that has the old MAC in its cache would go on using it. What is sent to a MAC that
nobody has is delivered all the same (``bpf/lib/stray.h``), but the old one may be somebody's still.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from weft.engine.ebpf.tables.addresses import AddressKey, AddressValue
from weft.kernel.announcement import frames

BURST = 1000
"""Frames that may be sent at once."""
FRAMES_PER_S = 1000.0
SPACING_S = 0.01
"""So that what waits is told in lots."""
REMEMBERED = 4096
"""Addresses that are gone, and whose MACs are remembered; the oldest is forgotten first."""

Send = Callable[[str, tuple[bytes, ...]], None]
Ports = Mapping[int, Iterable[str]]
"""VNI -> devices of the network's ports on this host."""


class _News(NamedTuple):
    mac: str
    is_router: bool
    ifname: str
    """The port that has the address. It must not hear of it: that would look like a duplicate."""


class Announcements:
    """What is still to be told. Time is passed in."""

    def __init__(self) -> None:
        self._gone: OrderedDict[AddressKey, str] = OrderedDict()
        self._news: dict[AddressKey, _News] = {}
        self._tokens = float(BURST)
        self._filled_s = 0.0

    def gone(self, key: AddressKey, mac: str) -> None:
        """The address is nobody's now. Its next owner may have another MAC."""
        self._news.pop(key, None)
        self._gone[key] = mac
        self._gone.move_to_end(key)
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def here(self, key: AddressKey, value: AddressValue, former: str | None) -> None:
        """The address has this value now. former: its MAC just before; None: it was nobody's."""
        remembered = self._gone.pop(key, None)
        known = former or remembered
        if known is not None and known != value.mac:
            self._news[key] = _News(value.mac, value.is_gateway, value.ifname)

    @property
    def is_pending(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._news)

    def due_in_s(self, now_s: float) -> float | None:
        """When to tell more; None: there is nothing."""
        if not self._news:
            return None
        self._refill(now_s)
        return 0.0 if self._tokens >= 1 else SPACING_S + (1 - self._tokens) / FRAMES_PER_S

    def tell(self, ports: Ports, send: Send, now_s: float) -> None:
        """As much as may be sent now. One address at a time, to all ports, so that the limit is
        overdrawn by one address at most, and no network is too large to be told."""
        self._refill(now_s)
        while self._news and self._tokens >= 1:
            key = next(iter(self._news))
            news = self._news.pop(key)
            sent = frames(key.address, news.mac, is_router=news.is_router)
            for ifname in ports.get(key.vni, ()):
                if ifname != news.ifname:
                    send(ifname, sent)
                    self._tokens -= len(sent)

    def _refill(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._filled_s)
        self._tokens = min(float(BURST), self._tokens + passed_s * FRAMES_PER_S)
        self._filled_s = now_s
