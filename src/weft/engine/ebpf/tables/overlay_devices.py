"""`overlay_devices`: ``weftx`` -> the VXLAN device, on the UDP port of the settings."""

from __future__ import annotations

from typing import NamedTuple

from weft.engine.table import Rank, Table


class OverlayDeviceValue(NamedTuple):
    """The name says it all."""


OVERLAY_DEVICES: Table[str, OverlayDeviceValue] = Table("overlay_devices", Rank.DEVICES)
