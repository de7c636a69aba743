"""The underlay: one bridge in a network namespace of its own, with a cable to each node.

The machine's own network namespace has no part in it. Cutting a host off disables its port of the
bridge: the cable stays plugged and the link up, but nothing passes, as behind a broken switch.
Links between two nodes are cut by dropping what the bridge would forward from one to the other.
"""

from __future__ import annotations

import json

from weft.errors import UnavailableError
from weft.lab.broken_links import BrokenLinks, Direction
from weft.lab.command import run
from weft.lab.layout import OUTSIDE, UNDERLAY, UNDERLAY_DEVICE, Layout, NodeLayout
from weft.lab.namespace import NamespaceFile
from weft.lab.node import Node

_BRIDGE = "underlay"
_FORWARDING, _DISABLED = 3, 0  # BR_STATE_* of linux/if_bridge.h


class Underlay:
    """The wire between the nodes of a lab."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._file = NamespaceFile("net", layout.run / UNDERLAY / "net")

    def make(self) -> None:
        """Make the bridge; nothing happens if it is there."""
        if self._file.is_there and _BRIDGE in self._devices():
            return
        self.remove()
        self._file.prepare()
        run(["unshare", self._file.option, "true"])
        self._ip(
            "link set lo up",
            # No snooping: without a querier it would swallow neighbour discovery.
            f"link add {_BRIDGE} type bridge mcast_snooping 0 forward_delay 0 stp_state 0",
            f"link set {_BRIDGE} addrgenmode none up",
        )

    def remove(self) -> None:
        """Let the bridge and all cables go."""
        self._file.remove()

    def plug(self, node: Node, mtu_bytes: int) -> None:
        """Lay a cable to a node and give the node its addresses; nothing happens if it has one.

        Everyone's way out is the outside.
        """
        cables = self._devices()
        if node.name in cables:
            if "UP" in cables[node.name]:
                return
            self._ip(f"link delete {node.name}")  # half made
        self._ip(
            f"link add {node.name} mtu {mtu_bytes} type veth"
            f" peer name {UNDERLAY_DEVICE} mtu {mtu_bytes} netns {node.net_file}",
            f"link set {node.name} master {_BRIDGE} addrgenmode none",
        )
        node.run(["ip", "-batch", "-"], text="\n".join(_own_side(node.layout)) + "\n")
        self._ip(f"link set {node.name} up")

    def cut(self, node: Node) -> None:
        """Let nothing pass to or from a node."""
        self._set_state(node, _DISABLED)

    def heal(self, node: Node) -> None:
        """Let frames pass again, on all links of a node."""
        self._set_state(node, _FORWARDING)
        links = self._broken_links
        links.remove([each for each in links.list() if each.touches(node.name)])

    def cut_link(self, node: Node, other: Node, *, is_one_way: bool = False) -> None:
        """Let nothing pass from one node to another nor, unless `is_one_way`, back."""
        self._broken_links.add(_directions(node, other)[: 1 if is_one_way else 2])

    def heal_link(self, node: Node, other: Node) -> None:
        """Let frames pass between two nodes again, both ways."""
        self._broken_links.remove(_directions(node, other))

    def broken_links(self, node: Node) -> list[Direction]:
        """The directions that are cut from or to a node."""
        return [each for each in self._broken_links.list() if each.touches(node.name)]

    def is_cut(self, node: Node) -> bool:
        """Whether the node was cut off."""
        text = run([*self._enter, "bridge", "-json", "link", "show", "dev", node.name])
        return any(link.get("state") == "disabled" for link in json.loads(text or "[]"))

    @property
    def _broken_links(self) -> BrokenLinks:
        return BrokenLinks(self._enter)

    @property
    def _enter(self) -> list[str]:
        return ["nsenter", self._file.option, "--"]

    def _set_state(self, node: Node, state: int) -> None:
        node.check_made()
        run([*self._enter, "bridge", "link", "set", "dev", node.name, "state", str(state)])

    def _devices(self) -> dict[str, list[str]]:
        """Names and flags."""
        text = run([*self._enter, "ip", "-json", "link", "show"])
        return {link["ifname"]: link["flags"] for link in json.loads(text)}

    def _ip(self, *lines: str) -> None:
        try:
            run([*self._enter, "ip", "-batch", "-"], text="\n".join(lines) + "\n")
        except UnavailableError as error:
            raise UnavailableError(f"underlay of lab {self._layout.name!r}: {error}") from error


def _directions(node: Node, other: Node) -> list[Direction]:
    node.check_made()
    other.check_made()
    return [Direction(node.name, other.name), Direction(other.name, node.name)]


def _own_side(layout: NodeLayout) -> list[str]:
    """What `ip` must do on the node itself."""
    lab, device = layout.lab, UNDERLAY_DEVICE
    lines = [
        f"address add {layout.address4}/{lab.prefix4.prefixlen} broadcast + dev {device}",
        f"address add {layout.address6}/{lab.prefix6.prefixlen} dev {device} nodad",
        f"link set {device} up",
    ]
    if layout.name != OUTSIDE:
        outside = lab.node(OUTSIDE)
        lines.append(f"route add default via {outside.address4} dev {device}")
        lines.append(f"route add ::/0 via {outside.address6} dev {device}")
    return lines
