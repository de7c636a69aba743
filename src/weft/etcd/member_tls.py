"""Certificates of the etcd that Weft runs: of the same authority as the links between hosts.

A member shows one for its addresses, for that is what etcd looks at; weftd shows one that names
nobody, which etcd takes from everywhere. etcd reads files, so there are files, which only root
reads.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from weft.cluster.certificates import EARLY_S, LIFETIME_S, RENEW_S, mint
from weft.cluster.private_file import PrivateFolder
from weft.cluster.secret import Secret, Secrets
from weft.errors import InvalidError, UnavailableError
from weft.model.codec import decode_file
from weft.model.ids import HostId

AUTHORITY = "ca.pem"
MEMBER = "member.pem"
MEMBER_KEY = "member.key"
CLIENT = "client.pem"
_NOTE = "note.json"


class _Note(msgspec.Struct, frozen=True):
    """What the files are."""

    secret_id: str
    addresses: tuple[str, ...]
    not_before_s: int
    not_after_s: int
    authorities: Mapping[str, str]
    """Of each secret that counts."""


class MemberTls:
    """Keeps the files fresh."""

    def __init__(
        self, folder: Path, host_id: HostId, secrets: Secrets, wall_s: Callable[[], float]
    ) -> None:
        self._folder = PrivateFolder(folder)
        self._host_id = host_id
        self._secrets = secrets
        self._wall_s = wall_s

    def path(self, name: str) -> str:
        """Of a file."""
        return str(self._folder.path / name)

    def context(self) -> ssl.SSLContext:
        """For weftd as a client. InvalidError: the files are not there."""
        try:
            context = ssl.create_default_context(cafile=self.path(AUTHORITY))
            context.load_cert_chain(self.path(CLIENT))
        except (OSError, ssl.SSLError) as error:
            raise InvalidError(f"{self._folder.path}: {error}") from error
        return context

    async def refresh(self, addresses: Sequence[str]) -> bool:
        """Make what is missing or no longer right; whether anything was. UnavailableError."""
        note, wall_s = self._note(), self._wall_s()
        ids = {one.id for one in self._counting}
        if (
            note is not None
            and (note.secret_id, set(note.authorities)) == (self._secrets.current_id, ids)
            and note.addresses == tuple(addresses)
            and note.not_before_s <= wall_s <= note.not_after_s - RENEW_S
        ):
            return False
        begin_s, end_s = max(int(wall_s) - EARLY_S, 0), int(wall_s) + LIFETIME_S
        authorities = {}
        for secret in reversed(self._counting):
            member = await mint(secret, self._host_id, begin_s, end_s, addresses)
            authorities[secret.id] = member.authority
        client = await mint(self._secrets.current, self._host_id, begin_s, end_s, ())
        self._write(AUTHORITY, "".join(authorities.values()))
        self._write(MEMBER_KEY, member.key)
        self._write(MEMBER, member.certificate)
        self._write(CLIENT, client.key + client.certificate)
        made = _Note(self._secrets.current_id, tuple(addresses), begin_s, end_s, authorities)
        self._folder.write(_NOTE, msgspec.json.encode(made))
        return True

    @property
    def _counting(self) -> list[Secret]:
        found = (self._secrets.current, self._secrets.previous)
        return [secret for secret in found if secret is not None]

    def _note(self) -> _Note | None:
        with contextlib.suppress(InvalidError, UnavailableError):
            data = self._folder.read(_NOTE)
            return None if data is None else decode_file(data, _Note, _NOTE)
        return None

    def _write(self, name: str, text: str) -> None:
        self._folder.write(name, text.encode())
