"""This host's WireGuard keys as they are kept: one file that only root reads.

The private key goes from here into the device and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import msgspec

from weft.errors import InvalidError
from weft.kernel.wireguard.state import KEY_BYTES
from weft.model.codec import decode_file

FOLDER = "cluster"
FILE = "wireguard.json"


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A private key and what it makes public. Its `repr` shows the public one alone."""

    private_key: bytes
    public_key: str
    """Base64, as wg(8) shows it."""
    made_s: float
    """Wall clock, Unix time."""

    def __repr__(self) -> str:
        return f"KeyPair({self.public_key})"

    __str__ = __repr__


def path_of(state_dir: Path) -> Path:
    """Where the file is."""
    return state_dir / FOLDER / FILE


def decode(data: bytes, path: Path) -> KeyPair:
    """What the file holds. InvalidError: it is not readable as keys; the text shows nothing."""
    try:
        pair = decode_file(data, KeyPair, "keys")
        if len(pair.private_key) == KEY_BYTES and len(raw(pair.public_key)) == KEY_BYTES:
            return pair
    except InvalidError:
        pass
    raise InvalidError(
        f"WireGuard keys {path}: not readable; remove the file, and weftd makes new ones"
    )


def read(state_dir: Path) -> KeyPair | None:
    """The keys; None: there are none yet."""
    path = path_of(state_dir)
    try:
        return decode(path.read_bytes(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidError(f"WireGuard keys {path}: {error.strerror}") from error


def raw(key: str) -> bytes:
    """A key's bytes from base64. InvalidError: it is none."""
    try:
        return base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidError(f"WireGuard key {key[:50]!r}: not base64") from None


def text(key: bytes) -> str:
    """A key in base64."""
    return base64.b64encode(key).decode()
