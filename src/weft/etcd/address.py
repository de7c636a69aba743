"""What ``--store`` says: ``mesh``, ``etcd://HOST:PORT,HOST:PORT/PREFIX`` or ``etcd-managed``."""

from __future__ import annotations

import re
from typing import NamedTuple

from weft.cluster.endpoints import parse_endpoints
from weft.config import Settings
from weft.errors import InvalidError

MESH = "mesh"
MANAGED = "etcd-managed"
MANAGED_PREFIX = "/weft"
SCHEME = "etcd://"
CLIENT_PORT = 2379
DEFAULT_PREFIX = "weft"
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


class EtcdAddress(NamedTuple):
    """Where an etcd is, and where in it the records are."""

    urls: tuple[str, ...]
    """Of its members, each ``http://HOST:PORT`` or ``https://HOST:PORT``."""
    prefix: str
    """Of the keys; begins with a slash and ends without."""


def check(settings: Settings) -> None:
    """InvalidError: the settings name no store that there is."""
    if settings.store.startswith(SCHEME):
        external(settings)
    elif settings.store not in (MESH, MANAGED):
        raise InvalidError(
            f"--store {_harmless(settings.store)}: say mesh, etcd://HOST:PORT or etcd-managed"
        )
    elif _own_settings(settings):
        raise InvalidError(
            f"--{_own_settings(settings)[0].replace('_', '-')}: is for --store etcd://HOST:PORT"
        )


def external(settings: Settings) -> EtcdAddress:
    """The etcd that the settings name; InvalidError."""
    rest = settings.store.removeprefix(SCHEME)
    if "@" in rest:
        raise InvalidError(
            f"--store {_harmless(settings.store)}: a user and a password do not belong into it, "
            "where every process can read them; use --etcd-user NAME --etcd-password-file FILE"
        )
    hosts, _, prefix = rest.partition("/")
    prefix = prefix.strip("/") or DEFAULT_PREFIX
    if not _PREFIX.fullmatch(prefix):
        raise InvalidError(
            f"--store {settings.store}: prefix {prefix!r}: letters, digits, '.', '_', '-' and '/'"
        )
    try:
        endpoints = parse_endpoints(hosts, CLIENT_PORT)
    except InvalidError as error:
        raise InvalidError(f"--store {SCHEME}{str(error).removeprefix('join ')}") from error
    if not endpoints:
        raise InvalidError(f"--store {settings.store}: names no host; say etcd://HOST:PORT")
    for one, other in (("etcd_cert_file", "etcd_key_file"), ("etcd_key_file", "etcd_cert_file")):
        if getattr(settings, one) and not getattr(settings, other):
            raise InvalidError(f"--{_flag(one)}: needs --{_flag(other)} too")
    for one, other in (("etcd_user", "etcd_password_file"), ("etcd_password_file", "etcd_user")):
        if getattr(settings, one) and not getattr(settings, other):
            raise InvalidError(f"--{_flag(one)}: needs --{_flag(other)} too")
    scheme = "https" if is_encrypted(settings) else "http"
    return EtcdAddress(tuple(f"{scheme}://{each}" for each in endpoints), f"/{prefix}")


def is_encrypted(settings: Settings) -> bool:
    """Whether an external etcd is spoken to in TLS."""
    return bool(settings.etcd_ca_file or settings.etcd_cert_file)


def _own_settings(settings: Settings) -> list[str]:
    """Settings of an external etcd that are given."""
    return [
        name
        for name in settings.__struct_fields__
        if name.startswith("etcd_") and name != "etcd_port" and getattr(settings, name)
    ]


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _harmless(store: str) -> str:
    """Without what may be a password."""
    scheme, separator, rest = store.partition("://")
    return f"{scheme}{separator}…@{rest.rpartition('@')[2]}" if "@" in rest else store
