"""What ``weft up`` does for a host that joins a cluster, before weftd runs: the token goes into a
file that only root reads, so that weftd has it neither in its arguments nor in its environment.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from weft.cluster import token as tokens
from weft.cluster.endpoints import parse_endpoints
from weft.cluster.interface import Endpoint
from weft.cluster.remembered import Acquaintances, Remembered
from weft.cluster.secret import Secret, Secrets
from weft.config import Settings
from weft.errors import ConflictError, InvalidError
from weft.model.records import Cluster
from weft.store.sqlite_journal import drop_unshared

TOKEN_VARIABLE = "WEFT_JOIN_TOKEN"
STANDARD_INPUT = "-"
MAX_TOKEN_BYTES = 4096


class Plan(NamedTuple):
    """What joining asks for."""

    token: str | None
    """To be written; None: the one that is there will do, or weftd makes one."""
    is_first: bool
    """Whether this host is to join a cluster of which it has met no other one with this token."""


def read_token(
    token: str | None, token_file: Path | None, environment: Mapping[str, str]
) -> str | None:
    """From the option, the file, standard input or the environment; None: none is given."""
    if token is not None and token_file is not None:
        raise InvalidError("--token and --token-file: give one of them")
    if token == STANDARD_INPUT:
        return sys.stdin.read(MAX_TOKEN_BYTES)
    if token_file is not None:
        try:
            with token_file.open() as file:
                return file.read(MAX_TOKEN_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"--token-file {token_file}: {error}") from error
    return token if token is not None else environment.get(TOKEN_VARIABLE)


def plan(settings: Settings, token: str | None) -> Plan:
    """What is to be done; changes nothing.

    InvalidError: no token, or none at all. ConflictError: this host belongs to another cluster.
    """
    join = parse_endpoints(settings.join, settings.mesh_port)
    state_dir = Path(settings.state_dir)
    secrets = Secrets.open(state_dir)
    known = Remembered(state_dir).known
    is_first = bool(join) and not known.hosts
    if token is None:
        if join and (secrets is None or _is_own(secrets, known)):
            raise InvalidError(
                f"--join {settings.join}: the cluster's token is needed, by --token, --token-file "
                f"or {TOKEN_VARIABLE}; weft token show prints it on a host of the cluster"
            )
        return Plan(None, is_first)
    secret = Secret(tokens.decode(token))
    if secrets is None:
        return Plan(token, bool(join))
    if secrets.by_id(secret.id) is not None:
        return Plan(None, is_first)
    if secrets.is_retired(secret.id):
        raise InvalidError(
            "token: was replaced by a newer one; weft token show prints that on a host of the "
            "cluster"
        )
    if known.hosts and not _are_of(known, join):
        names = ", ".join(sorted(one.name for one in known.hosts.values())[:5])
        raise ConflictError(
            f"token: is another cluster's, and this host belongs to one already (with {names}). "
            "To change over: weft leave, then this again. If the token of its own cluster was "
            "replaced while this host was away, name one of those hosts in --join"
        )
    return Plan(token, bool(join))


def write(settings: Settings, wanted: Plan) -> None:
    """Put the token where weftd looks; durable when it returns.

    A host that was alone brings its networks along, and not its settings for all hosts: a newcomer
    must not turn encryption off.
    """
    if wanted.token is not None:
        Secrets.join(Path(settings.state_dir), wanted.token)
    if wanted.is_first:
        drop_unshared(settings.database, Cluster.KIND)


def _is_own(secrets: Secrets, known: Acquaintances) -> bool:
    """Whether this host began the cluster that it is in, and is alone in it."""
    return secrets.is_cluster_certain and not known.hosts and not known.join


def _are_of(known: Acquaintances, join: tuple[Endpoint, ...]) -> bool:
    """Whether all whom to join are hosts that this one has met in its cluster."""
    met = {each for host in known.hosts.values() for each in host.endpoints}
    return bool(join) and met.issuperset(join)


def join_line(
    address: str | None, port: int, usual_port: int, token: str, store: Sequence[str] = ()
) -> str:
    """What to run on another host. store: words of `store_words`."""
    endpoint = "ADDRESS"
    if address is not None:
        endpoint = address if port == usual_port else str(Endpoint(address, port))
    return " ".join(["weft", "up", *store, "--join", endpoint, "--token", token])


def store_words(settings: Settings) -> list[str]:
    """What another host must be told of where the records are; nothing: they are in the mesh."""
    usual = Settings()
    words = []
    for name in ("store", *(each for each in settings.__struct_fields__ if each[:5] == "etcd_")):
        value = getattr(settings, name)
        if value != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", shlex.quote(str(value))]
    return words
