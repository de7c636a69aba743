"""This host's certificates, one for each secret that counts, and the TLS contexts made of them.

A certificate is minted for this host's id, kept beside the secret for the next start, and renewed
while weftd runs. It begins well before now, for clocks of hosts are days apart at times.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from weft.cluster.private_file import PrivateFolder
from weft.cluster.secret import Secret
from weft.errors import InvalidError, UnavailableError
from weft.model.codec import decode_file
from weft.model.ids import HostId

DAY_S = 86400
EARLY_S = 7 * DAY_S
"""So far may another host's clock be behind."""
LIFETIME_S = 30 * DAY_S
RENEW_S = 15 * DAY_S
"""Before the end; so far may another host's clock be ahead."""
MINT_S = 30.0
_FILES = "certificate-*.json"


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A key of this host, and the certificates that vouch for it. Its `repr` shows no key."""

    host_id: HostId
    secret_id: str
    not_before_s: int
    not_after_s: int
    authority: str
    certificate: str
    key: str

    def is_fresh(self, wall_s: float) -> bool:
        """Whether it will do for a while; False also after the clock was set back."""
        return self.not_before_s + DAY_S <= wall_s <= self.not_after_s - RENEW_S

    def __repr__(self) -> str:
        return f"Certificate({self.host_id}, {self.secret_id})"


class TlsContexts(msgspec.Struct, frozen=True):
    """For accepting and for dialing; both ends show a certificate of the same authority."""

    secret_id: str
    server: ssl.SSLContext
    client: ssl.SSLContext


class Certificates:
    """Keeps a fresh certificate for each secret that counts."""

    def __init__(self, host_id: HostId, folder: PrivateFolder, wall_s: Callable[[], float]) -> None:
        self._host_id = host_id
        self._folder = folder
        self._wall_s = wall_s
        self._held: dict[str, Certificate] = {}
        self._contexts: dict[str, TlsContexts] = {}

    def contexts(self, secret_id: str) -> TlsContexts | None:
        """None: not minted yet, or the secret counts no longer."""
        return self._contexts.get(secret_id)

    async def refresh(self, secrets: list[Secret]) -> None:
        """Mint what is missing or no longer fresh, and drop certificates of other secrets.

        UnavailableError: a certificate could not be minted; those that there are stay in use.
        """
        ids = {secret.id for secret in secrets}
        for gone in self._contexts.keys() - ids:
            del self._contexts[gone], self._held[gone]
        for secret in secrets:
            held = self._held.get(secret.id)
            if held is None or not held.is_fresh(self._wall_s()):
                self._hold(self._kept(secret.id) or await self._mint(secret))
        for name in set(self._folder.names(_FILES)) - {_file(each) for each in ids}:
            with contextlib.suppress(UnavailableError):
                self._folder.remove(name)

    def _hold(self, certificate: Certificate) -> None:
        self._contexts[certificate.secret_id] = tls_contexts(certificate)
        self._held[certificate.secret_id] = certificate

    def _kept(self, secret_id: str) -> Certificate | None:
        """From an earlier start, if it still serves."""
        try:
            data = self._folder.read(_file(secret_id))
            kept = None if data is None else decode_file(data, Certificate, "certificate")
        except InvalidError:
            return None
        if kept is None or (kept.host_id, kept.secret_id) != (self._host_id, secret_id):
            return None
        return kept if kept.is_fresh(self._wall_s()) else None

    async def _mint(self, secret: Secret) -> Certificate:
        now_s = int(self._wall_s())
        certificate = await mint(secret, self._host_id, max(now_s - EARLY_S, 0), now_s + LIFETIME_S)
        with contextlib.suppress(UnavailableError):
            # A full disk costs another minting at the next start, nothing now.
            self._folder.write(_file(secret.id), msgspec.json.encode(certificate))
        return certificate


async def mint(
    secret: Secret,
    host_id: HostId,
    not_before_s: int,
    not_after_s: int,
    addresses: Sequence[str] | None = None,
) -> Certificate:
    """Have another process make a certificate: see minting.py.

    addresses: what it is for instead of the host; none: nobody, so long as its authority is right.
    """
    request = {
        "secret": secret.value.hex(),
        "secret_id": secret.id,
        "host_id": host_id,
        "not_before_s": not_before_s,
        "not_after_s": not_after_s,
        "addresses": None if addresses is None else list(addresses),
    }
    answer = msgspec.json.decode(await _run_minting(msgspec.json.encode(request)))
    return Certificate(
        host_id=host_id,
        secret_id=secret.id,
        not_before_s=not_before_s,
        not_after_s=not_after_s,
        authority=answer["authority"],
        certificate=answer["certificate"],
        key=answer["key"],
    )


async def _run_minting(request: bytes) -> bytes:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "weft.cluster.minting"),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
    except OSError as error:
        raise UnavailableError(f"minting a certificate: {error.strerror}") from error
    try:
        async with asyncio.timeout(MINT_S):
            answer, complaint = await process.communicate(request)
    except TimeoutError:
        raise UnavailableError(f"minting a certificate: not done in {MINT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = complaint.decode(errors="replace").splitlines() or ["killed"]
        raise UnavailableError(f"minting a certificate: {lines[-1]}")
    return answer


def tls_contexts(certificate: Certificate) -> TlsContexts:
    """Contexts of TLS 1.3 that trust the certificate's authority and no other."""
    server = _context(ssl.PROTOCOL_TLS_SERVER, certificate)
    server.num_tickets = 0
    return TlsContexts(
        certificate.secret_id, server, _context(ssl.PROTOCOL_TLS_CLIENT, certificate)
    )


def _context(protocol: int, certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificate.authority)
    with _in_memory(certificate.key + certificate.certificate) as path:
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path to the text for a library that reads only files."""
    fd = os.memfd_create("weft-certificate", os.MFD_CLOEXEC)
    try:
        os.write(fd, text.encode())
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def host_id_of(certificate: Mapping[str, object]) -> HostId | None:
    """The host for which the other end's certificate was minted; None: the certificate does not say
    it clearly."""
    match certificate.get("subjectAltName"):
        case (("DNS", str(name)),):
            return HostId(name)
    return None


def _file(secret_id: str) -> str:
    return f"certificate-{secret_id}.json"
