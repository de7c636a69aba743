"""What went wrong with a connection, in words for an administrator, and what mends it.

TLS says it in numbers, and each end knows another half: the end that verifies a certificate knows
its fault, and the other end gets an alert.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import NamedTuple

from weft.cluster.connection import Silence
from weft.errors import InvalidError, UnavailableError

CLOCK_FIX = "set the clocks of both hosts (install chrony or systemd-timesyncd)"
REJOIN_FIX = (
    "on that host run `weft up --join ADDRESS --token TOKEN` with the line that `weft token show` "
    "prints here"
)
REJOIN_HERE_FIX = (
    "run `weft token show` on that host, and here `weft up --join ADDRESS --token TOKEN` with it"
)
PORT_FIX = "is weftd running there, and does a firewall let its TCP port in?"
STRANGER_FIX = "nothing, unless it should be a host of this cluster"

FOREIGN_ALERT = ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
OTHER_SECRET_ALERT = ssl.AlertDescription.ALERT_DESCRIPTION_ACCESS_DENIED
RETIRED_ALERT = ssl.AlertDescription.ALERT_DESCRIPTION_CERTIFICATE_REVOKED
NOT_READY_ALERT = ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR

_EXPIRED = 10
_NOT_YET_VALID = 9
"""X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID (OpenSSL, x509_vfy.h)."""


class Fault(NamedTuple):
    """Why there is no link."""

    reason: str
    fix: str
    needs_hands: bool = True
    """False: it may pass by itself."""
    is_other_secret: bool = False
    """The other end does not take the secret that was shown; it might take another."""


FOREIGN = Fault(
    "it is of another cluster: its token is not this one's", REJOIN_FIX, is_other_secret=True
)
RETIRED = Fault("it shows a token that was rotated", REJOIN_FIX)
OTHER_SECRET = Fault(
    "it is of this cluster, but has another token: the token was rotated while one of the two "
    "hosts was away",
    f"if it has the older one, {REJOIN_FIX}; else the same the other way round",
)
NO_WEFT = Fault("it speaks TLS but is no weftd", STRANGER_FIX)

_ALERTS = {
    "TLSV1_UNRECOGNIZED_NAME": Fault(
        "the host there is of another cluster: its token is not this one's",
        REJOIN_HERE_FIX,
        is_other_secret=True,
    ),
    "TLSV1_ALERT_ACCESS_DENIED": Fault(
        "the host there is of this cluster, but has another token: the token was rotated while "
        "one of the two was away",
        f"if this host has the older one, {REJOIN_HERE_FIX}; else the same the other way round",
        is_other_secret=True,
    ),
    "SSLV3_ALERT_CERTIFICATE_REVOKED": Fault(
        "the cluster's token was rotated while this host was away",
        REJOIN_HERE_FIX,
    ),
    "TLSV1_ALERT_INTERNAL_ERROR": Fault(
        "the host there is not ready yet",
        "it is tried again",
        needs_hands=False,
        is_other_secret=True,
    ),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": Fault(
        "to it this host's certificate has expired: the clocks differ by weeks", CLOCK_FIX
    ),
    "SSLV3_ALERT_BAD_CERTIFICATE": Fault("it does not take this host's certificate", CLOCK_FIX),
    "TLSV1_ALERT_UNKNOWN_CA": Fault(
        "it does not take this host's certificate: it has another token", REJOIN_FIX
    ),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Fault("it shows no certificate", STRANGER_FIX),
}
_NO_TLS = Fault("what it sends is not TLS 1.3: it is no weftd", STRANGER_FIX)
_NOT_TLS = {
    "",
    "BAD_PACKET_LENGTH",
    "BAD_RECORD_TYPE",
    "DATA_LENGTH_TOO_LONG",
    "ENCRYPTED_LENGTH_TOO_LONG",
    "HTTPS_PROXY_REQUEST",
    "HTTP_REQUEST",
    "LENGTH_MISMATCH",
    "LENGTH_TOO_SHORT",
    "NO_PROTOCOLS_AVAILABLE",
    "PACKET_LENGTH_TOO_LONG",
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "UNEXPECTED_MESSAGE",
    "UNEXPECTED_RECORD",
    "UNKNOWN_PROTOCOL",
    "UNSUPPORTED_PROTOCOL",
    "VERSION_TOO_LOW",
    "WRONG_SSL_VERSION",
    "WRONG_VERSION_NUMBER",
}
"""OpenSSL's reasons where the other end does not speak TLS 1.3 at all."""
_DAMAGED = {"DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "DIGEST_CHECK_FAILED", "BAD_SIGNATURE"}
_EITHER = "RECORD_LAYER_FAILURE"
"""All that OpenSSL 3.2 and later say of a record that does not decrypt and of one that is none."""
_BETWEEN_FIX = (
    "look for what stands between the two hosts and touches their packets: a proxy, a firewall "
    "that looks into TLS"
)


def explain(error: BaseException) -> Fault:
    """The fault behind an error of connecting, of TLS or of the greeting."""
    match error:
        case ssl.SSLCertVerificationError():
            return _of_certificate(error.verify_code)
        case ssl.SSLError():
            return _of_tls(getattr(error, "reason", None) or "")
        case TimeoutError():
            return Fault("no answer", PORT_FIX, needs_hands=False)
        case socket.gaierror():
            return Fault(f"its name does not resolve: {error.strerror}", "name its IP address")
        case ConnectionRefusedError():
            return Fault("nothing listens there", PORT_FIX, needs_hands=False)
        case Silence() if error.has_begun:
            return Fault(
                "its TLS stopped halfway: packets are lost on the way, or it is no weftd",
                "check the MTU of the way between the two, and firewalls",
            )
        case Silence():
            return Fault("it was silent where TLS was due: it is no weftd", STRANGER_FIX)
        case ConnectionError():
            return Fault("it closed the connection", PORT_FIX, needs_hands=False)
        case OSError():
            return _of_network(error)
        case InvalidError():
            return Fault(f"it sends what is no greeting: {error}", "run the same weft on all hosts")
        case UnavailableError() if error.__cause__ is not None:
            return explain(error.__cause__)
    return Fault(str(error) or type(error).__name__, PORT_FIX, needs_hands=False)


def _of_tls(reason: str) -> Fault:
    """reason: OpenSSL's word for it."""
    if reason in _ALERTS:
        return _ALERTS[reason]
    if reason in _NOT_TLS:
        return _NO_TLS
    if reason in _DAMAGED:
        return Fault("what it sent was changed on the way, or is sent again", _BETWEEN_FIX)
    if reason == _EITHER:
        return Fault("what it sent is not TLS 1.3, or was changed on the way", _BETWEEN_FIX)
    words = reason.lower().replace("_", " ")
    who = "it refuses TLS" if "ALERT" in reason else "TLS with it failed"
    return Fault(f"{who}: {words}", _BETWEEN_FIX)


def _of_certificate(verify_code: int) -> Fault:
    if verify_code == _EXPIRED:
        return Fault("its certificate has expired, or a clock is wrong by weeks", CLOCK_FIX)
    if verify_code == _NOT_YET_VALID:
        return Fault(
            "its certificate is not valid yet: a clock is wrong by more than a week", CLOCK_FIX
        )
    return Fault("its certificate is not signed with this cluster's token", REJOIN_FIX)


def _of_network(error: OSError) -> Fault:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return Fault(f"{reason}: there is no way to it", "check routes and cables", False)
    return Fault(reason, PORT_FIX, needs_hands=False)
