"""How the traffic of a port reaches its workload: one struct a kind of device.

The kind is in the field ``kind``, so kinds can be added. A host that does not know one takes it for
`OtherDevice` (`model.codec`): the port is there and reached, and how is its own host's matter.
"""

from __future__ import annotations

from weft.model.records.base import Part
from weft.model.values import DeviceName, Inode, LongText, PortDevice


class Veth(Part, frozen=True, kw_only=True, tag_field="kind", tag="veth"):
    """A veth pair that Weft makes."""

    ifname: PortDevice
    """The host's end. Begins with ``weft``."""
    peer_ifname: DeviceName
    """The workload's end. With `netns` its final name; without, the name that it has until
    somebody else (dockerd, a CNI runtime) moves and renames it."""
    netns: LongText | None = None
    """Path of the workload's network namespace; Weft moves the peer there and gives it MAC,
    addresses and routes. None: the asker does so."""
    netns_inode: Inode | None = None
    """With `netns`: inode of the namespace that is meant, so that a path that has come to mean
    another one (a pid given again) is never plugged into."""
    is_default_route: bool = True
    """With `netns`: the subnet's gateways become default routes there, if there are none yet."""


class OtherDevice(Part, frozen=True, kw_only=True, tag_field="kind", tag="other"):
    """One of a kind that only a newer weft knows."""


Device = Veth | OtherDevice
KINDS = frozenset({"veth", "other"})
"""As `Device` says them."""
