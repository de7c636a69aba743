"""How weftd gets into an etcd that others run: TLS and a password, both from files."""

from __future__ import annotations

import ssl
from pathlib import Path

from weft.config import Settings
from weft.errors import InvalidError
from weft.etcd import address
from weft.etcd.client import Credentials, EtcdClient


def client_of(settings: Settings) -> EtcdClient:
    """For the etcd that the settings name. InvalidError: a file of theirs cannot be used."""
    urls = address.external(settings).urls
    credentials = None
    if settings.etcd_user:
        credentials = Credentials(settings.etcd_user, lambda: _password(settings))
        credentials.read_password()
    if not address.is_encrypted(settings):
        return EtcdClient(urls, credentials=credentials)
    _context(settings)
    return EtcdClient(urls, lambda: _context(settings), credentials)


def _context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.etcd_ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise _useless("etcd-ca-file", settings.etcd_ca_file, error) from error
    if settings.etcd_cert_file:
        try:
            context.load_cert_chain(settings.etcd_cert_file, settings.etcd_key_file)
        except (OSError, ssl.SSLError) as error:
            files = f"{settings.etcd_cert_file} with {settings.etcd_key_file}"
            raise _useless("etcd-cert-file", files, error) from error
    return context


def _password(settings: Settings) -> str:
    path = Path(settings.etcd_password_file)
    try:
        if path.stat().st_mode & 0o077:
            raise InvalidError(f"--etcd-password-file {path}: others can read it; chmod 600 {path}")
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _useless("etcd-password-file", str(path), error) from error


def _useless(flag: str, value: str, error: Exception) -> InvalidError:
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return InvalidError(f"--{flag} {value}: {reason}")
