"""Links between two nodes of a lab that lose all frames, in one direction or both.

A set of (from, to) pairs in the firewall of the bridge; the pairs are all the state there is, so
what is cut can be read back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from weft.lab.command import run

_TABLE = "bridge cuts"
_MAKE = f"""\
add table {_TABLE}
add set {_TABLE} pairs {{ type ifname . ifname; }}
add chain {_TABLE} forward {{ type filter hook forward priority 0; }}
flush chain {_TABLE} forward
add rule {_TABLE} forward iifname . oifname @pairs drop
"""


class Direction(msgspec.Struct, frozen=True):
    """Frames from one node to another."""

    source: str
    destination: str

    def touches(self, node: str) -> bool:
        """Whether it begins or ends there."""
        return node in (self.source, self.destination)


class BrokenLinks:
    """Of the bridge in one network namespace; `enter` is the command that leads there."""

    def __init__(self, enter: Sequence[str]) -> None:
        self._enter = list(enter)

    def add(self, directions: Sequence[Direction]) -> None:
        """Drop all frames of these directions from now on."""
        self._run(_MAKE + f"add element {_TABLE} pairs {{ {_elements(directions)} }}\n")

    def remove(self, directions: Sequence[Direction]) -> None:
        """Let frames pass again; directions that are not cut are left alone."""
        cut = [each for each in directions if each in self.list()]
        if cut:
            self._run(f"delete element {_TABLE} pairs {{ {_elements(cut)} }}\n")

    def list(self) -> list[Direction]:
        """What is cut now."""
        objects = json.loads(run([*self._enter, "nft", "--json", "list", "sets", "bridge"]))
        return [
            Direction(*element["concat"])
            for item in objects["nftables"]
            if item.get("set", {}).get("name") == "pairs"
            for element in item["set"].get("elem", [])
        ]

    def _run(self, commands: str) -> None:
        run([*self._enter, "nft", "--file", "-"], text=commands)


def _elements(directions: Sequence[Direction]) -> str:
    return ", ".join(f'"{each.source}" . "{each.destination}"' for each in directions)
