"""Certificates from a secret: what a process that ends at once does for weftd.

Every host derives the same certificate authority: HKDF (RFC 5869) of the secret gives an Ed25519
key, whose signatures depend on nothing else, so the authority's own certificate is the same to the
byte. With it a host signs a certificate for a key of its own. The request comes on standard input
and the answer leaves on standard output, for arguments and environments can be read by others.

Runs by itself (`python -m weft.cluster.minting`), because importing cryptography would cost weftd
11 MB for good. Imports nothing of weft.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import sys
from typing import NotRequired, TypedDict

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BEGIN = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
"""RFC 5280, 4.1.2.5: no end is meant. A secret ends by rotation."""


class Request(TypedDict):
    """What to mint."""

    secret: str
    """Hexadecimal."""
    secret_id: str
    host_id: str
    not_before_s: int
    not_after_s: int
    addresses: NotRequired[list[str] | None]
    """What the certificate is for, in place of the host's id."""


class Minted(TypedDict):
    """The answer, PEM."""

    authority: str
    certificate: str
    key: str


def mint(request: Request) -> Minted:
    """A certificate for a new key, and the authority that signed it."""
    authority_key = Ed25519PrivateKey.from_private_bytes(
        HKDF(hashes.SHA256(), 32, salt=None, info=b"weft certificate authority 1").derive(
            bytes.fromhex(request["secret"])
        )
    )
    authority = _authority(authority_key, request["secret_id"])
    key = Ed25519PrivateKey.generate()
    certificate = _host_certificate(authority, authority_key, key, request)
    return Minted(
        authority=authority.public_bytes(serialization.Encoding.PEM).decode(),
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


def _authority(key: Ed25519PrivateKey, secret_id: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"weft {secret_id}")])
    public = key.public_key()
    builder = _certificate(name, name, _BEGIN, _END).public_key(public).serial_number(1)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, None)
    )


def _host_certificate(
    authority: x509.Certificate,
    authority_key: Ed25519PrivateKey,
    key: Ed25519PrivateKey,
    request: Request,
) -> x509.Certificate:
    host_id = request["host_id"]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_id)])
    begin = datetime.datetime.fromtimestamp(request["not_before_s"], datetime.UTC)
    end = datetime.datetime.fromtimestamp(request["not_after_s"], datetime.UTC)
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    public = key.public_key()
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = _certificate(authority.subject, name, max(begin, _BEGIN), end).public_key(public)
    subjects = _subjects(request)
    if subjects:
        builder = builder.add_extension(x509.SubjectAlternativeName(subjects), critical=False)
    return (
        builder.serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(signer, critical=False)
        .sign(authority_key, None)
    )


def _subjects(request: Request) -> list[x509.GeneralName]:
    addresses = request.get("addresses")
    if addresses is None:
        return [x509.DNSName(request["host_id"])]
    return [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]


def _certificate(
    issuer: x509.Name, subject: x509.Name, begin: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer, subject_name=subject, not_valid_before=begin, not_valid_after=end
    )


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


if __name__ == "__main__":
    json.dump(mint(json.load(sys.stdin)), sys.stdout)
