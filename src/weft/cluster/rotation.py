"""Keeps certificates for the secrets that count, and hands a new secret from link to link.

A new secret travels over links alone, which the former secret has proved, and never in a record. A
host that takes it hands it on, so it reaches hosts that have no link to the host where it was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from weft.cluster.certificates import Certificates
from weft.cluster.greeting import Because, Handover
from weft.cluster.interface import RefusalOf
from weft.cluster.link import Link
from weft.cluster.link_table import LinkTable
from weft.cluster.secret import Secret, Secrets
from weft.errors import WeftError

LOOK_S = 60.0
"""Between two looks at whether certificates are fresh and links have confirmed."""
AHEAD_S = 10 * 365.25 * 86400.0
"""A clock may be so wrong where the token is rotated."""
SOON_S = 2.0
"""After something failed."""

log = structlog.get_logger()


class Rotation:
    """Of the secret and of the certificates made with it."""

    def __init__(
        self,
        secrets: Secrets,
        certificates: Certificates,
        links: LinkTable,
        refusal_of: RefusalOf,
        changed: Callable[[], None],
        wall_s: Callable[[], float],
    ) -> None:
        """changed: told when a link's other end has confirmed another secret."""
        self.ready = asyncio.Event()
        """There is a certificate."""
        self._secrets = secrets
        self._certificates = certificates
        self._links = links
        self._refusal_of = refusal_of
        self._changed = changed
        self._wall_s = wall_s
        self._due = asyncio.Event()
        secrets.changed.append(self._due.set)
        links.on_secret = self._take
        links.on_confirmed = self._confirmed
        links.on_up.append(self._on_up)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._due.clear()
            wait_s = LOOK_S
            try:
                await self._certificates.refresh(self._counting())
                self.ready.set()
            except WeftError as error:
                log.error("no certificate for links to other hosts", reason=str(error))
                wait_s = SOON_S
            self._tell()
            self._end_unproved()
            try:
                async with asyncio.timeout(wait_s):
                    await self._due.wait()
            except TimeoutError:
                continue

    def _counting(self) -> list[Secret]:
        secrets = (self._secrets.current, self._secrets.previous)
        return [secret for secret in secrets if secret is not None]

    def _tell(self) -> None:
        for link in self._links:
            link.confirm(self._secrets.current_id)
            if link.secret_id != self._secrets.current_id:
                self._hand_over(link)

    def _on_up(self, link: Link) -> None:
        hello = link.hello
        if hello.secret_id != self._secrets.current_id:
            self._hand_over(link)
        try:
            if hello.is_cluster_certain:
                self._secrets.adopt_cluster(hello.cluster_id)
            is_sound = hello.secret_serial <= self._latest_serial()
            if hello.secret_id == self._secrets.current_id and is_sound:
                same = Secret(self._secrets.current.value, hello.secret_serial)
                self._secrets.adopt(same, same.id)
        except WeftError as error:
            log.warning("what a host said of the cluster was not kept", reason=str(error))

    def _hand_over(self, link: Link) -> None:
        secrets = self._secrets
        if self._refusal_of(link.host_id) is not None:
            return
        link.hand_over(
            Handover(
                cluster_id=secrets.cluster_id,
                secret=secrets.current.value,
                serial=secrets.current.serial,
                predecessor_id="" if secrets.previous is None else secrets.previous.id,
            )
        )

    def _take(self, link: Link, handover: Handover) -> None:
        if self._refusal_of(link.host_id) is not None:
            return
        if handover.serial > self._latest_serial():
            log.warning("a token was not taken: its serial makes no sense", by=link.host_id)
            return
        secret = Secret(handover.secret, handover.serial)
        try:
            if self._secrets.adopt(secret, handover.predecessor_id):
                self._secrets.adopt_cluster(handover.cluster_id)
                log.info("the cluster's token was rotated", by=link.host_id, id=secret.id)
        except WeftError as error:
            log.error("the cluster's new token was not kept", reason=str(error))

    def _latest_serial(self) -> float:
        """Serials are times. Beyond this no later rotation could overtake them."""
        return max(self._wall_s(), self._secrets.current.serial) + AHEAD_S

    def _confirmed(self, link: Link) -> None:
        self._changed()

    def _end_unproved(self) -> None:
        """Links that prove nothing any more: neither the secret that they were made with counts,
        nor one that the other end has confirmed since."""
        for link in self._links:
            ids = (link.tls_secret_id, link.secret_id)
            if all(self._secrets.by_id(each) is None for each in ids):
                link.end(
                    Because.CLOSED,
                    "the cluster's token was rotated, and this host has not confirmed the new one",
                    "join again with the token that `weft token show` prints on another host",
                )
