"""This host's WireGuard keys: made here, kept here, and made anew when they are old."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from weft.cluster.private_file import PrivateFolder
from weft.cluster.x25519 import new_pair
from weft.errors import InvalidError, UnavailableError
from weft.kernel.wireguard.key_file import FILE, FOLDER, KeyPair, decode, path_of, text
from weft.model.ids import RandomBytes

log = structlog.get_logger()


class WireGuardKeys:
    """The pair in the file, which the engine reads as well."""

    def __init__(
        self, state_dir: Path, random_bytes: RandomBytes, wall_s: Callable[[], float]
    ) -> None:
        self._folder = PrivateFolder(state_dir / FOLDER)
        self._path = path_of(state_dir)
        self._random_bytes = random_bytes
        self._wall_s = wall_s

    def current(self) -> KeyPair:
        """The pair; made if there is none, or none that can be read."""
        data = self._folder.read(FILE)
        if data is not None:
            try:
                return decode(data, self._path)
            except InvalidError as error:
                log.warning("WireGuard keys unreadable, new ones made", reason=str(error))
        return self.renew()

    def renew(self) -> KeyPair:
        """Another pair, in the place of the one before; durable when this returns."""
        try:
            private, public = new_pair(self._random_bytes)
        except (OSError, subprocess.SubprocessError) as error:
            raise UnavailableError(f"WireGuard keys: not made: {error}") from error
        pair = KeyPair(private_key=private, public_key=text(public), made_s=self._wall_s())
        self._folder.write(FILE, msgspec.json.encode(pair))
        return pair
