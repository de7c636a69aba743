"""The cluster's secret as people carry it from host to host: ``weft1`` and 58 letters and digits.

Base32 in lower case of the 32 bytes and four of their hash, so that a token survives being read
aloud, and a slip is found before anything is sent anywhere. No error here quotes the token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from weft.errors import InvalidError

PREFIX = "weft1"
SECRET_BYTES = 32
_CHECKSUM_BYTES = 4
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
LENGTH = len(PREFIX) + -(-(SECRET_BYTES + _CHECKSUM_BYTES) * 8 // 5)
_FIX = "copy the whole token that `weft token show` prints on a host of the cluster"


def encode(secret: bytes) -> str:
    """The token of a secret."""
    text = base64.b32encode(secret + _checksum(secret)).decode()
    return PREFIX + text.rstrip("=").lower()


def decode(token: str) -> bytes:
    """The secret in a token; blanks around it and upper case do not matter."""
    text = token.strip().lower()
    if not text:
        raise InvalidError(f"token: empty; {_FIX}")
    if not text.startswith(PREFIX):
        raise InvalidError(f"token: must begin with {PREFIX}; {_FIX}")
    if len(text) != LENGTH:
        raise InvalidError(f"token: has {len(text)} characters, must have {LENGTH}; {_FIX}")
    for position, character in enumerate(text[len(PREFIX) :], len(PREFIX) + 1):
        if character not in _ALPHABET:
            raise InvalidError(f"token: character {position} is none of a-z and 2-7; {_FIX}")
    return _checked(text[len(PREFIX) :])


def _checked(text: str) -> bytes:
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error:
        raise InvalidError(f"token: damaged; {_FIX}") from None
    secret, checksum = data[:SECRET_BYTES], data[SECRET_BYTES:]
    # Some of the last character's bits belong to nothing; a token has one form alone.
    if checksum != _checksum(secret) or encode(secret) != PREFIX + text:
        raise InvalidError(f"token: a character is wrong (the checksum does not match); {_FIX}")
    return secret


def _checksum(secret: bytes) -> bytes:
    return hashlib.sha256(b"weft token" + secret).digest()[:_CHECKSUM_BYTES]
