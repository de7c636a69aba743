"""What tries a host's door in tests, and how it fares."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from tests.cluster.hosts import QUICK, Nursery, TestHost, running, until
from weft.cluster.certificates import Certificate, mint, tls_contexts
from weft.cluster.greeting import Hello
from weft.cluster.link import Pace
from weft.cluster.server_name import server_name
from weft.model.ids import HostId

DAY_S = 86400


@contextlib.asynccontextmanager
async def calm(cluster: Nursery, pace: Pace = QUICK) -> AsyncIterator[TestHost]:
    """A host with a link that nothing may disturb; afterwards it still takes new ones."""
    a, b, late = cluster.host(pace=pace), cluster.host(), cluster.host()
    async with running(a, b, late):
        a.want(b)
        await until(lambda: a.linked() == {b.id} and b.linked())
        yield a
        assert [each for each in a.heard.events if each[1] == b.id] == [("up", b.id)]
        a.transport.send(b.id, b"still here")
        await until(lambda: b.heard.messages == [(a.id, b"still here")])
        late.want(a)
        await until(lambda: late.linked() == {a.id})


async def reason(host: TestHost, text: str) -> None:
    await until(
        lambda: any(text in each for each in host.reasons()), f"no {text!r} in {host.reasons()}"
    )


async def tls(
    host: TestHost, context: ssl.SSLContext, name: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        *host.endpoint, ssl=context, server_hostname=name or "", ssl_handshake_timeout=5
    )


def name_of(host: TestHost) -> str:
    return server_name(host.secrets.current_id, host.secrets.cluster_id)


async def certificate_for(host: TestHost, host_id: str, **times: int) -> Certificate:
    now_s = int(time.time())
    return await mint(
        host.secrets.current,
        HostId(host_id),
        times.get("not_before_s", now_s - DAY_S),
        times.get("not_after_s", now_s + DAY_S),
    )


async def ended(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    """Whatever came until the other end closed."""
    reader, writer = streams
    read = b""
    try:
        with contextlib.suppress(OSError):
            async with asyncio.timeout(10):
                while data := await reader.read(65536):
                    read += data
    finally:
        writer.transport.abort()
    return read


class Stranger:
    """Holds a certificate of the cluster and says what it likes."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.streams = streams

    def send(self, data: bytes) -> None:
        self.streams[1].write(data)

    @classmethod
    async def to(cls, host: TestHost, host_id: str = "00000000000000aa") -> Stranger:
        contexts = tls_contexts(await certificate_for(host, host_id))
        return cls(await tls(host, contexts.client, name_of(host)))


def hello(host: TestHost, host_id: str = "00000000000000aa", **values: Any) -> Hello:
    said = Hello(
        protocol=1,
        oldest_protocol=1,
        host_id=host_id,
        name="stranger",
        version="9",
        cluster_id=host.secrets.cluster_id,
        is_cluster_certain=True,
        instance="stranger",
        boot_id="",
        secret_id=host.secrets.current_id,
        secret_serial=0,
    )
    return msgspec.structs.replace(said, **values)
