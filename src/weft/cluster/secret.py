"""The cluster's secret on this host: one file that only root reads.

A host that has the secret is a member. A rotation makes a new one; until every host has confirmed
it, the one before counts as well. A secret has an id (a hash) to speak about it, and a serial, by
which the newer of two is known: Unix time when it was made, or more, so that a secret made by a
host that knows no other is newer all the same.

The cluster's id comes from its first secret and outlives rotations. A host that joined with a token
cannot know whether that is the first; its id of the cluster is a guess until a host that knows the
id tells it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from weft.cluster import token
from weft.cluster.private_file import PrivateFolder
from weft.errors import ConflictError, InvalidError
from weft.model.codec import decode_file
from weft.model.ids import RandomBytes

FOLDER = "cluster"
FILE = "secret.json"
MAX_RETIRED = 64
_ID_DIGITS = 16


class Secret(msgspec.Struct, frozen=True):
    """One secret. Its `repr` shows the id alone."""

    value: bytes
    serial: int = 0
    """0: not known, it came as a token."""

    def __post_init__(self) -> None:
        if len(self.value) != token.SECRET_BYTES:
            raise ValueError(f"a secret has {token.SECRET_BYTES} bytes")

    @property
    def id(self) -> str:
        """What it is called; tells nothing about its value."""
        return _digest("weft secret", self.value)

    @property
    def order(self) -> tuple[int, str]:
        """The newer of two has the greater one; the same on all hosts."""
        return self.serial, self.id

    def __repr__(self) -> str:
        return f"Secret({self.id})"

    __str__ = __repr__


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds."""

    cluster_id: str
    is_cluster_certain: bool
    current: Secret
    previous: Secret | None = None
    retired: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"_Kept({self.cluster_id}, {self.current})"


class Secrets:
    """The secrets that count on this host. One process writes them: weftd, or weft up before it."""

    def __init__(self, folder: PrivateFolder, kept: _Kept) -> None:
        """Use `open`, `found` or `join`."""
        self.changed: list[Callable[[], None]] = []
        """Called after each change."""
        self.folder = folder
        self._kept = kept

    @classmethod
    def open(cls, state_dir: Path) -> Secrets | None:
        """What the file says; None: there is none. InvalidError: it cannot be read."""
        folder = PrivateFolder(state_dir / FOLDER)
        data = folder.read(FILE)
        if data is None:
            return None
        try:
            return cls(folder, decode_file(data, _Kept, FILE))
        except InvalidError:
            raise InvalidError(
                f"cluster secret {folder.path / FILE}: not readable as one; join again with "
                "`weft up --join ADDRESS --token TOKEN` as another host of the cluster prints it"
            ) from None

    @classmethod
    def found(cls, state_dir: Path, random_bytes: RandomBytes, wall_s: float) -> Secrets:
        """Begin a cluster: a new secret, written before this returns."""
        secret = Secret(random_bytes(token.SECRET_BYTES), int(wall_s))
        return cls._begin(state_dir, secret, is_cluster_certain=True)

    @classmethod
    def join(cls, state_dir: Path, text: str) -> Secrets:
        """Take the token of a cluster, written before this returns; another one is replaced."""
        secret = Secret(token.decode(text))
        try:
            there = cls.open(state_dir)
        except InvalidError:
            there = None
        if there is not None and there.current.id == secret.id:
            return there
        return cls._begin(state_dir, secret, is_cluster_certain=False)

    @classmethod
    def _begin(cls, state_dir: Path, secret: Secret, is_cluster_certain: bool) -> Secrets:
        kept = _Kept(
            cluster_id=_digest("weft cluster", secret.value),
            is_cluster_certain=is_cluster_certain,
            current=secret,
        )
        secrets = cls(PrivateFolder(state_dir / FOLDER), kept)
        secrets._keep(kept)
        return secrets

    @property
    def cluster_id(self) -> str:
        """Names the cluster, to people too."""
        return self._kept.cluster_id

    @property
    def is_cluster_certain(self) -> bool:
        """False: joined with a token, and not linked yet to a host that knows the id."""
        return self._kept.is_cluster_certain

    @property
    def current(self) -> Secret:
        """The newest."""
        return self._kept.current

    @property
    def previous(self) -> Secret | None:
        """The former secret, while a rotation is under way."""
        return self._kept.previous

    @property
    def current_id(self) -> str:
        """What each host publishes of the secret that it has confirmed."""
        return self._kept.current.id

    def token(self) -> str:
        """For `weft token show`; goes nowhere but to its standard output."""
        return token.encode(self._kept.current.value)

    def by_id(self, id: str) -> Secret | None:
        """A secret that counts."""
        for secret in (self._kept.current, self._kept.previous):
            if secret is not None and secret.id == id:
                return secret
        return None

    def is_retired(self, id: str) -> bool:
        """Whether it counted once, as far as is remembered."""
        return id in self._kept.retired

    def rotate(self, random_bytes: RandomBytes, wall_s: float) -> None:
        """Make a new secret; links hand it on. ConflictError: a rotation is under way."""
        if self._kept.previous is not None:
            raise ConflictError(
                "token rotation: the one before is not finished, some host has not confirmed it; "
                "`weft status hosts` tells which: bring it back, or `weft forget` it"
            )
        serial = max(self._kept.current.serial + 1, int(wall_s))
        self.adopt(Secret(random_bytes(token.SECRET_BYTES), serial), self.current_id)

    def adopt(self, secret: Secret, predecessor_id: str) -> bool:
        """Take a secret that this host made or was handed; False: it is not newer.

        Of two rotations at once, in two parts of the network, the later counts; hosts of both parts
        still have the secret before them in common.
        """
        kept = self._kept
        if secret.order <= kept.current.order:
            return False
        if secret.id == kept.current.id:
            self._keep(msgspec.structs.replace(kept, current=secret))
            return True
        previous, gone = kept.current, kept.previous
        if kept.previous is not None and kept.previous.id == predecessor_id:
            previous, gone = kept.previous, kept.current
        retired = kept.retired if gone is None else (*kept.retired, gone.id)[-MAX_RETIRED:]
        self._keep(
            msgspec.structs.replace(kept, current=secret, previous=previous, retired=retired)
        )
        return True

    def adopt_cluster(self, cluster_id: str) -> None:
        """A host that knows it has told the cluster's id."""
        if cluster_id != self._kept.cluster_id or not self._kept.is_cluster_certain:
            kept = msgspec.structs.replace(
                self._kept, cluster_id=cluster_id, is_cluster_certain=True
            )
            self._keep(kept)

    def retire_previous(self) -> None:
        """Refuse the secret before from now on: every host has confirmed the current one."""
        kept = self._kept
        if kept.previous is not None:
            retired = (*kept.retired, kept.previous.id)[-MAX_RETIRED:]
            self._keep(msgspec.structs.replace(kept, previous=None, retired=retired))

    def _keep(self, kept: _Kept) -> None:
        self.folder.write(FILE, msgspec.json.encode(kept))
        self._kept = kept
        for action in tuple(self.changed):
            action()


def _digest(label: str, value: bytes) -> str:
    return hashlib.sha256(label.encode() + b"\0" + value).hexdigest()[:_ID_DIGITS]
