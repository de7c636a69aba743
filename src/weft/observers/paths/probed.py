"""A host that is probed: its path, the probes on it, and when the next thing is to be done."""

from __future__ import annotations

import math

from weft.observers.paths.interface import PathState
from weft.observers.paths.path import Path
from weft.observers.paths.targets import Target

LOOKS_S = (0.002, 0.008, 0.03, 0.1)
"""After a probe has left, when to look for its answer; then again and again."""


class Sent:
    """A probe that is or was under way."""

    def __init__(self, nonce: bytes, size: int, sent_ns: int) -> None:
        self.nonce = nonce
        self.size = size
        self.sent_ns = sent_ns


class Probed:
    """A path, and the probes on it."""

    def __init__(self, target: Target, now_s: float) -> None:
        self.target = target
        self.path = Path(target.ceiling, now_s)
        self.address = self.works_at = target.addresses[0]
        self.due_s = math.inf if target.is_apart else now_s
        self.silent_since_s = now_s
        """The last answer, or the last reason to hope for one."""
        self.pending: int | None = None
        """Slot of the probe whose answer is waited for."""
        self.pending_size = 0
        self.deadline_s = 0.0
        self.sent: dict[int, Sent] = {}
        """Probes that are not answered, by slot; the latest last."""
        self.slot = 0

    @property
    def is_found_out(self) -> bool:
        """Whether anything can be said."""
        return self.path.is_known or self.target.is_apart

    def state(self) -> PathState:
        """Of a broken path the address at which it worked, whichever is tried now."""
        path = self.path
        if self.target.is_apart:
            return PathState(self.address, True, 0)
        if not path.is_broken:
            self.works_at = self.address
        return PathState(self.works_at, bool(path.is_broken), path.mtu_bytes, path.rtt_s)

    def turn_to_next_address(self) -> None:
        """The path is broken at this one."""
        addresses = self.target.addresses
        at = addresses.index(self.address) if self.address in addresses else -1
        self.address = addresses[(at + 1) % len(addresses)]
        self.path.start_anew()

    def wake_s(self, now_s: float) -> float:
        """When to do the next thing: send, look for the answer, or give it up. On a broken path an
        answer has time until then."""
        if self.pending is None:
            return self.due_s
        sent = self.sent.get(self.pending)
        if sent is None or self.path.is_broken:
            return self.deadline_s
        sent_s = sent.sent_ns / 1e9
        elapsed_s = now_s - sent_s
        look_s = next((each for each in LOOKS_S if each > elapsed_s), elapsed_s + LOOKS_S[-1])
        return min(self.deadline_s, sent_s + look_s)
