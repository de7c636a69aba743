"""What a host knows of its cluster beside the records: the hosts that it was told to join, and
those that it met.

A file of its own, so that a host whose database is gone finds the others again, and so that
``weft up`` can tell, before weftd runs, whether the host belongs to a cluster already.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from weft.cluster.interface import Endpoint
from weft.cluster.private_file import PrivateFolder
from weft.cluster.secret import FOLDER
from weft.errors import InvalidError
from weft.model.codec import decode_file

log = structlog.get_logger()

FILE = "hosts.json"


class Met(msgspec.Struct, frozen=True, kw_only=True):
    """Another host of the cluster."""

    name: str
    endpoints: tuple[Endpoint, ...] = ()


class Acquaintances(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    join: str = ""
    """As it was written."""
    hosts: Mapping[str, Met] = {}
    """Other hosts of the cluster, by id."""


class Remembered:
    """The file, read once and written when it changes."""

    def __init__(self, state_dir: Path) -> None:
        """What cannot be read is as good as nothing: it is logged, and written anew."""
        self._folder = PrivateFolder(state_dir / FOLDER)
        self._known = _read(self._folder)

    @property
    def known(self) -> Acquaintances:
        """What the file says."""
        return self._known

    def update(self, *, join: str | None = None, hosts: Mapping[str, Met] | None = None) -> None:
        """Keep what is given; UnavailableError: it is not kept, and the next call tries again."""
        wanted = Acquaintances(
            join=self._known.join if join is None else join,
            hosts=self._known.hosts if hosts is None else dict(hosts),
        )
        if wanted != self._known:
            self._folder.write(FILE, msgspec.json.encode(wanted))
            self._known = wanted


def _read(folder: PrivateFolder) -> Acquaintances:
    data = folder.read(FILE)
    if data is None:
        return Acquaintances()
    try:
        return decode_file(data, Acquaintances, FILE)
    except InvalidError as error:
        log.warning("list of known hosts was unreadable, begun anew", reason=str(error))
        return Acquaintances()
