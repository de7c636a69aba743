"""`overlay_devices`: weftx, the kernel's VXLAN device, with everything taken from tunnel keys.

It is always there: network cards offload tunnels whose port such a device holds, and it takes what
BPF leaves to the kernel, in both directions. The programs know its ifindex, so it is made before
they are loaded; where it cannot be made, they do without it, and the row says why.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from errno import ENODEV

from weft.engine.ebpf.tables.overlay_devices import OVERLAY_DEVICES, OverlayDeviceValue
from weft.engine.plumbing.device_names import WEFTX
from weft.engine.plumbing.devices import Devices
from weft.engine.rows import RowFailure, RowKey
from weft.errors import KernelError
from weft.kernel import sysctl
from weft.kernel.links import (
    Link,
    create_vxlan,
    delete_link,
    forbid_link_local,
    set_alias,
    set_mtu,
)

_MTU_BYTES = 65000
"""No limit: what fits is said for each tunnel."""


class OverlayDeviceDriver:
    """See `engine.rows.Driver`."""

    name = OVERLAY_DEVICES.name

    def __init__(self, devices: Devices, port: int) -> None:
        self._devices = devices
        self._port = port
        self._reason = ""

    def ensure(self) -> int:
        """Make the device unless it is there as it must be; its ifindex, or 0.

        It comes up with its program (see `drivers.filters`).
        """
        try:
            link, self._reason = self._ensure(), ""
        except KernelError as error:
            self._reason = str(error)
            return 0
        return link.ifindex

    def _ensure(self) -> Link:
        netlink = self._devices.netlink
        link = self._devices.look_up(WEFTX)
        if link is not None and not self._is_ours(link):
            netlink.do(delete_link(WEFTX))
            link = None
        if link is None:
            netlink.do(create_vxlan(WEFTX, self._port, _MTU_BYTES))
            netlink.do(forbid_link_local(WEFTX), set_alias(WEFTX, self._alias()))
            link = self._devices.look_up(WEFTX)
            if link is None:
                raise KernelError(f"make device {WEFTX}", ENODEV, "it has gone again at once")
        if link.mtu_bytes != _MTU_BYTES:
            netlink.do(set_mtu(link.ifindex, _MTU_BYTES))
        if sysctl.read(f"net/ipv6/conf/{WEFTX}/disable_ipv6") == "0":
            sysctl.write(f"net/ipv6/conf/{WEFTX}/disable_ipv6", "1")
        return link

    def _alias(self) -> str:
        return f"weft overlay on port {self._port}"

    def _is_ours(self, link: Link) -> bool:
        return link.kind == "vxlan" and link.alias == self._alias()

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`."""
        link = self._devices.find(WEFTX)
        if link is None or not self._is_ours(link):
            return {}
        return {WEFTX: OverlayDeviceValue()}

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. `ensure` makes the device, before each look; here is said why not."""
        return [RowFailure(RowKey(self.name, key), self._reason) for key in upserts]
