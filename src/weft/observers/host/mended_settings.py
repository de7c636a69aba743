"""Tells the administrator of settings that somebody keeps changing and weftd puts back.

A setting that weftd mends by itself is told of all the same: until it was mended, packets were
lost, and the program that changed it may do so again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from weft.control.notices import Notice, Notices
from weft.engine.plumbing.host_settings import Mended

KEEP_S = 600.0
"""A notice goes when the setting was left alone for so long."""
_SOURCE = "host settings"
_KIND = "setting"


class MendedSettings:
    """Keeps the notices in step with what was mended."""

    def __init__(self, notices: Notices, wall_s: Callable[[], float]) -> None:
        self._notices = notices
        self._wall_s = wall_s

    def tell(self, mended: Iterable[Mended]) -> None:
        """Called after every look at the kernel."""
        now_s = self._wall_s()
        for one in mended:
            name = one.name.replace("/", ".")
            if not 0 <= now_s - one.at_s < KEEP_S:
                self._notices.take_back(_SOURCE, name)
                continue
            clock = time.strftime("%H:%M:%S", time.localtime(one.at_s))
            times = f"{one.times} times, the last time at" if one.times > 1 else "at"
            reason = (
                f"somebody set it to {one.found}, {times} {clock}, and weftd set it back to "
                f"{one.wanted}; in between packets of networks were lost"
            )
            fix = (
                "find what sets it: a script, a VPN, a firewall, or a file of `sysctl --system` "
                f"(grep -r {name.rsplit('.', 1)[-1]} /etc/sysctl.conf /etc/sysctl.d)"
            )
            self._notices.put(_SOURCE, Notice(_KIND, name, name, reason, fix))
