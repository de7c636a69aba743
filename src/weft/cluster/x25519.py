"""Key pairs of X25519 (RFC 7748), as WireGuard uses them.

The public half is computed by a process that ends at once (`python -m weft.cluster.x25519`), for
importing cryptography would cost weftd 11 MB for good. The private half goes there on standard
input: arguments can be read by others.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

KEY_BYTES = 32
PATIENCE_S = 30.0


class RawPair(NamedTuple):
    """32 bytes each."""

    private: bytes
    public: bytes


def new_pair(random_bytes: Callable[[int], bytes]) -> RawPair:
    """A fresh pair, the private half clamped, as a WireGuard device gives it back.

    Blocks for a tenth of a second. OSError, subprocess.SubprocessError: no process can be started.
    """
    private = bytearray(random_bytes(KEY_BYTES))
    private[0] &= 248
    private[31] = private[31] & 127 | 64
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=private.hex(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return RawPair(bytes(private), bytes.fromhex(done.stdout))


def public_of(private: bytes) -> bytes:
    """The other half."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


if __name__ == "__main__":
    sys.stdout.write(public_of(bytes.fromhex(sys.stdin.read())).hex())
