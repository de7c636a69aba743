"""Networks that lose, delay and reorder what they carry: netem on the hosts' underlay devices."""

from __future__ import annotations

import subprocess

REASON = "this kernel has no netem (sch_netem); Debian's has, see make test-kernel"

LOSS = "loss 5%"
DELAY = "delay 100ms"
REORDERING = "delay 20ms reorder 25% 50%"
ALL = "delay 100ms 10ms loss 5% reorder 25% 50%"
KINDS = {"all of it": ALL, "5 % loss": LOSS, "100 ms": DELAY, "reordering": REORDERING}
"""What happens to the packets of each host on their way out, so twice to a round trip."""


def is_known_here() -> bool:
    """Whether this kernel can do it. Tried in a namespace that goes at once."""
    words = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "1%"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def on(device: str, kind: str) -> str:
    """A command that gives a device this weather, in place of what it had."""
    return f"tc qdisc replace dev {device} root netem limit 20000 {kind}"


def off(device: str) -> str:
    """A command that ends it."""
    return f"tc qdisc del dev {device} root"
