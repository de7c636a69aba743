"""Key pairs of X25519 (RFC 7748), as WireGuard uses them."""

from __future__ import annotations

from typing import NamedTuple

from weft.model.ids import RandomBytes

KEY_BYTES = 32


class RawPair(NamedTuple):
    """32 bytes each."""

    private: bytes
    public: bytes


def new_pair(random_bytes: RandomBytes) -> RawPair:
    """A fresh pair, the private half clamped, as a WireGuard device gives it back."""
    # Imported when a key is made, which is once in a month: it takes weftd 10 MB.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    private = bytearray(random_bytes(KEY_BYTES))
    private[0] &= 248
    private[31] = private[31] & 127 | 64
    public = X25519PrivateKey.from_private_bytes(bytes(private)).public_key()
    return RawPair(bytes(private), public.public_bytes_raw())
