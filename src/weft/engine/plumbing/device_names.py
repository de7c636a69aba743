"""Names of the devices that Weft makes."""

from __future__ import annotations

import re

WEFT0 = "weft0"
"""The host's end of the pair that joins the host to its networks; Weft's addresses live there."""
WEFT1 = "weft1"
"""The inner end, on which `from_host` runs."""
WEFTX = "weftx"
"""The VXLAN device: encapsulates where BPF does not, and `from_overlay` runs on what it unpacks."""
WEFTWG = "weftwg"
"""The WireGuard device, where this host encrypts."""

PORT_DEVICE = re.compile(r"wef[tc][0-9a-f]{11}")
"""Both ends of a port's pair, as `control` names them."""
PORT_HOST_END = re.compile(r"weft[0-9a-f]{11}")
