"""Faults to try: a weftd that dies, a host that is cut off; and their ends."""

from __future__ import annotations

from weft.errors import InvalidError
from weft.lab.lab import Lab, check_root


def kill(lab: Lab, name: str) -> bool:
    """SIGKILL a host's weftd. False: it did not run."""
    check_root()
    return lab.host(name).kill_weftd()


def start(lab: Lab, name: str) -> None:
    """Start what does not run on a host."""
    lab.start(name)


def cut(lab: Lab, name: str, other: str | None = None, *, is_one_way: bool = False) -> None:
    """Let nothing pass between a host and the underlay, or only between it and one `other` node;
    its link stays up.

    is_one_way: what the other sends still arrives.
    """
    check_root()
    if other is None:
        if is_one_way:
            raise InvalidError("cut: one way only between two hosts; name the other one")
        lab.underlay.cut(lab.host(name))
    elif other == name:
        raise InvalidError(f"cut {name} {other}: a host has no link to itself")
    else:
        lab.underlay.cut_link(lab.host(name), lab.node(other), is_one_way=is_one_way)


def heal(lab: Lab, name: str, other: str | None = None) -> None:
    """End all cuts of a host, or those between it and one `other` node."""
    check_root()
    if other is None:
        lab.underlay.heal(lab.host(name))
    else:
        lab.underlay.heal_link(lab.host(name), lab.node(other))
