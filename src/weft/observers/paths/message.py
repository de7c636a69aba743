"""A probe as the programs of the other host know it: VXLAN, and a frame that names the asker."""

from __future__ import annotations

import struct

from weft.kernel.bpf.layouts import Overlay, ProbeMessage

_VXLAN = struct.Struct(">II")
_VNI_IS_VALID = 0x08000000
HEADER_BYTES = {4: 20 + 8, 6: 40 + 8}
"""IP and UDP."""


def request(tag: int, slot: int, nonce: bytes, size: int, version: int) -> bytes:
    """The UDP payload of a request whose IP packet has this size. `tag`: of the host that asks."""
    message = ProbeMessage(
        type_be=Overlay.OVERLAY_PROBE_TYPE.to_bytes(2, "big"),
        kind_be=Overlay.OVERLAY_PROBE_REQUEST.to_bytes(2, "big"),
        magic_be=Overlay.OVERLAY_PROBE_MAGIC.to_bytes(4, "big"),
        tag_be=tag.to_bytes(4, "big"),
        slot_be=slot.to_bytes(4, "big"),
        nonce=nonce,
    )
    head = _VXLAN.pack(_VNI_IS_VALID, Overlay.OVERLAY_PROBE_VNI << 8) + message.encode()
    return head + bytes(max(0, size - HEADER_BYTES[version] - len(head)))
