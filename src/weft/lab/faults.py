"""Faults to try: a weftd that dies, a host that is cut off; and their ends."""

from __future__ import annotations

from weft.lab.lab import Lab, check_root


def kill(lab: Lab, name: str) -> bool:
    """SIGKILL a host's weftd. False: it did not run."""
    check_root()
    return lab.host(name).kill_weftd()


def start(lab: Lab, name: str) -> None:
    """Start what does not run on a host."""
    lab.start(name)


def cut(lab: Lab, name: str) -> None:
    """Let nothing pass between a host and the underlay; its link stays up."""
    check_root()
    lab.underlay.cut(lab.host(name))


def heal(lab: Lab, name: str) -> None:
    """End a cut."""
    check_root()
    lab.underlay.heal(lab.host(name))
