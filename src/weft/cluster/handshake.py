"""From an authenticated connection to a link, the same at both ends.

Both say hello, and each looks whether it would have the link. Of two hosts the one with the greater
id decides: the other says that it is ready, and the deciding host takes the link or refuses it. So
two connections that were dialed at the same moment never both become the link, and neither end
drops a connection that works.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from weft.cluster import greeting
from weft.cluster.certificates import host_id_of
from weft.cluster.connection import Connection
from weft.cluster.frames import Kind
from weft.cluster.greeting import OLDEST_PROTOCOL, PROTOCOL, Because, Hello, Refusal
from weft.errors import InvalidError, UnavailableError
from weft.model.ids import HostId
from weft.printable import printable

QUIET = frozenset({Because.DUPLICATE, Because.UNWANTED, Because.OURSELVES, Because.LEAVING})
"""Nothing is wrong."""


class Refused(UnavailableError):
    """One end would not have the link."""

    def __init__(
        self, because: str, reason: str = "", fix: str = "", *, is_ours: bool = True
    ) -> None:
        """is_ours: this end refuses; otherwise the other one said so."""
        super().__init__(f"{reason or because}; {fix}" if fix else reason or because)
        self.because = because
        self.reason = reason
        self.fix = fix
        self.is_ours = is_ours
        self.host_id: HostId | None = None
        """The host that the refusal is about: the one at the other end or, when that one says that
        this host is a clone, this host. None: it was too early to know."""


class Judge(Protocol):
    """Says whether a host may link."""

    async def admit(self, hello: Hello, certified: HostId | None) -> None:
        """Refused: why not. May take its time to ask an earlier link whether it lives.

        certified: the host id in the other end's certificate.
        """
        ...

    def admit_now(self, hello: Hello) -> None:
        """The same, without asking, at the moment in which the other end has taken the link."""
        ...


async def greet(connection: Connection, me: Hello, judge: Judge, timeout_s: float) -> Hello:
    """The host to which the new link leads; the caller takes the connection over at once.

    Refused, UnavailableError, InvalidError: there is no link; the other end was told, and the
    connection is closed.
    """
    connection.send(Kind.HELLO, greeting.encode(me))
    try:
        async with asyncio.timeout(timeout_s):
            return await _agree(connection, me, judge)
    except TimeoutError:
        connection.close()
        raise UnavailableError(_unfinished(connection, timeout_s)) from None
    except InvalidError as error:
        _refuse(connection, Refused(Because.IDENTITY, str(error)))
        raise
    except Refused as refused:
        _refuse(connection, refused)
        raise
    except BaseException:
        connection.close()
        raise


def _unfinished(connection: Connection, timeout_s: float) -> str:
    if connection.has_said:
        return f"it did not finish its greeting in {timeout_s:g} s"
    # The end that dials has finished TLS 1.3 before the other one has looked at its certificate.
    return (
        f"nothing came in {timeout_s:g} s after this end of TLS was through: packets are lost on "
        "the way (MTU, firewall), or it hangs"
    )


def decides(one: str, other: str) -> bool:
    """Whether the first of two hosts is the one that takes the link."""
    return one > other


async def _agree(connection: Connection, me: Hello, judge: Judge) -> Hello:
    hello = greeting.decode(await _expect(connection, Kind.HELLO), Hello)
    try:
        _check_protocol(hello)
        certified = host_id_of(connection.tls.peer_certificate)
        await judge.admit(hello, certified)
        if decides(me.host_id, hello.host_id):
            await _expect(connection, Kind.READY)
            await judge.admit(hello, certified)
            connection.send(Kind.ACCEPT)
        else:
            connection.send(Kind.READY)
            await _expect(connection, Kind.ACCEPT)
            judge.admit_now(hello)
    except Refused as refused:
        is_told_clone = refused.because == Because.CLONE and not refused.is_ours
        refused.host_id = HostId(me.host_id if is_told_clone else hello.host_id)
        raise
    return hello


async def _expect(connection: Connection, kind: Kind) -> bytes:
    frame = await connection.next_frame()
    if frame.kind == Kind.REFUSE:
        said = greeting.decode(frame.payload, Refusal)
        raise Refused(
            said.because,
            printable(said.reason),
            printable(said.fix),
            is_ours=False,
        )
    if frame.kind != kind:
        raise InvalidError(f"frame of kind {frame.kind} where {kind.name.lower()} was due")
    return frame.payload


def _refuse(connection: Connection, refused: Refused) -> None:
    if refused.is_ours:
        said = Refusal(because=refused.because, reason=refused.reason, fix=refused.fix)
        connection.send(Kind.REFUSE, greeting.encode(said))
    connection.close()


def _check_protocol(hello: Hello) -> None:
    if hello.protocol < OLDEST_PROTOCOL or hello.oldest_protocol > PROTOCOL:
        raise Refused(
            Because.PROTOCOL,
            f"weft {printable(hello.version)} speaks versions {hello.oldest_protocol} to "
            f"{hello.protocol} of the links' protocol, this host {OLDEST_PROTOCOL} to {PROTOCOL}",
            "upgrade the older of the two",
        )
