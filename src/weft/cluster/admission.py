"""Whether a host that has proved to be of the cluster may have a link now.

A second process under a host id that is linked is a clone if the first one still answers, and else
that host itself, started again. The first is never disturbed.
"""

from __future__ import annotations

from weft.cluster.greeting import Because, Hello
from weft.cluster.handshake import Refused, decides
from weft.cluster.interface import Identity, RefusalOf
from weft.cluster.link import Link, Pace
from weft.cluster.link_table import LinkTable
from weft.cluster.secret import Secrets
from weft.model.ids import HostId
from weft.printable import printable

CLONE_FIX = (
    "on the copy stop weftd, remove its state directory (/var/lib/weft) and let it join again, "
    "so that it is a host of its own"
)


class Admission:
    """Implements `handshake.Judge`."""

    def __init__(
        self,
        identity: Identity,
        secrets: Secrets,
        links: LinkTable,
        refusal_of: RefusalOf,
        pace: Pace,
    ) -> None:
        self._identity = identity
        self._secrets = secrets
        self._links = links
        self._refusal_of = refusal_of
        self._pace = pace

    async def admit(self, hello: Hello, certified: HostId | None) -> None:
        """See `Judge`."""
        if hello.host_id != certified:
            raise Refused(
                Because.IDENTITY,
                f"it says to be host {hello.host_id}, its certificate is of {certified}",
            )
        self._check(hello)
        while (link := self._links.get(hello.host_id)) is not None:
            if self._is_same(link, hello):
                if not decides(self._identity.host_id, hello.host_id):
                    return
                if await link.lives(self._pace.probe_s):
                    raise Refused(Because.DUPLICATE)
            elif await link.lives(self._pace.clone_probe_s):
                raise self._clone(hello, f"{printable(link.hello.name)} at {link.address}")

    def admit_now(self, hello: Hello) -> None:
        """See `Judge`."""
        self._check(hello)
        link = self._links.get(hello.host_id)
        if link is not None and not self._is_same(link, hello):
            raise self._clone(hello, f"{printable(link.hello.name)} at {link.address}")

    def _check(self, hello: Hello) -> None:
        if hello.host_id == self._identity.host_id:
            if hello.instance == self._identity.instance:
                raise Refused(Because.OURSELVES)
            raise self._clone(hello, f"{self._identity.name}, which answers here,")
        reason = self._refusal_of(HostId(hello.host_id))
        if reason is not None:
            raise Refused(Because.REMOVED, reason)
        if (
            hello.cluster_id != self._secrets.cluster_id
            and hello.is_cluster_certain
            and self._secrets.is_cluster_certain
        ):
            raise Refused(
                Because.FOREIGN,
                f"host {hello.host_id} is of cluster {hello.cluster_id}, "
                f"host {self._identity.host_id} of {self._secrets.cluster_id}",
                "on one of them leave the cluster (`weft leave`), then join the other's",
            )

    def _is_same(self, link: Link, hello: Hello) -> bool:
        return link.hello.instance == hello.instance

    def _clone(self, hello: Hello, first: str) -> Refused:
        return Refused(
            Because.CLONE,
            f"two live machines have the host id {hello.host_id}: {first} and "
            f"{printable(hello.name)}, which came later and is refused",
            CLONE_FIX,
        )
