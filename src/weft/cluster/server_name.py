"""Which secret a connection is about: the dialing end names it in the TLS server name.

The name holds hashes: of the secret and of the cluster's first one. It is only a hint, for the
certificate to show and for the reason when there is none; that a host belongs here is proved by
certificates alone.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from weakref import WeakKeyDictionary

from weft.cluster.certificates import Certificates
from weft.cluster.secret import Secrets
from weft.cluster.tls_errors import (
    FOREIGN,
    FOREIGN_ALERT,
    NO_WEFT,
    NOT_READY_ALERT,
    OTHER_SECRET,
    OTHER_SECRET_ALERT,
    RETIRED,
    RETIRED_ALERT,
    Fault,
)

_SUFFIX = "weft"


class Arrival:
    """What becomes known of a connection before its TLS is established."""

    def __init__(self, on_named: Callable[[], None]) -> None:
        self.on_named = on_named
        self.secret_id = ""
        self.fault: Fault | None = None


def server_name(secret_id: str, cluster_id: str) -> str:
    """What a client sends."""
    return f"{secret_id}.{cluster_id}.{_SUFFIX}"


class ServerNames:
    """The TLS context to accept with, which shows each client what it asks for."""

    def __init__(self, secrets: Secrets, certificates: Certificates) -> None:
        self._secrets = secrets
        self._certificates = certificates
        self._arrivals: WeakKeyDictionary[object, Arrival] = WeakKeyDictionary()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.num_tickets = 0
        context.sni_callback = self._choose
        self.context = context

    def expect(self, connection: ssl.SSLObject, on_named: Callable[[], None]) -> None:
        """on_named: told when the client names a secret of this cluster. Until `forget`."""
        self._arrivals[connection] = Arrival(on_named)

    def forget(self, connection: ssl.SSLObject) -> None:
        """It is a link, or over."""
        self._arrivals.pop(connection, None)

    def arrival(self, connection: ssl.SSLObject) -> Arrival:
        """What a client has said before its TLS was established, or failed."""
        return self._arrivals.get(connection) or Arrival(_nobody)

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext
    ) -> int | None:
        """See `ssl.SSLContext.sni_callback`: an alert, or None with the context in place."""
        came = self._arrivals.setdefault(connection, Arrival(_nobody))
        match (name or "").split("."):
            case [secret_id, cluster_id, str(suffix)] if suffix == _SUFFIX:
                came.secret_id = secret_id
            case _:
                came.fault = NO_WEFT
                return FOREIGN_ALERT
        if self._secrets.by_id(secret_id) is None:
            came.fault, alert = self._unknown(secret_id, cluster_id)
            return alert
        came.on_named()
        contexts = self._certificates.contexts(secret_id)
        if contexts is None:
            came.fault = Fault("it came before this host was ready", "it comes again", False)
            return NOT_READY_ALERT
        connection.context = contexts.server
        return None

    def _unknown(self, secret_id: str, cluster_id: str) -> tuple[Fault, int]:
        if self._secrets.is_retired(secret_id):
            return RETIRED, RETIRED_ALERT
        if cluster_id == self._secrets.cluster_id:
            return OTHER_SECRET, OTHER_SECRET_ALERT
        return FOREIGN, FOREIGN_ALERT


def _nobody() -> None:
    """Nobody asked to be told."""
