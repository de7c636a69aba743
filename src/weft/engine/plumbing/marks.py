"""Marks of packets that the host's own stack looks at. In none of the marks of `layouts.Mark`."""

OWN_ROUTES_MARK = 0x0800_0000
"""Looked up in Weft's own routing table. One bit, beside whatever others have set."""
PROXY_MARK = 0x8000_0000 | OWN_ROUTES_MARK
"""Of packets of the process that proxies published ports, which alone sends them so: the host opens
connections to no network where it has no place."""
