"""A resolver at an address that belongs to one link, as routers announce themselves."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from pathlib import Path

import dns.message
import pytest

from tests.system.kernel.conftest import run
from tests.unit.dns import resolver
from tests.unit.dns.resolver import FakeResolver
from weft.dns import wire
from weft.dns.counters import Counters
from weft.dns.forward import Forwarder
from weft.dns.resolv_conf import ResolvConf

pytestmark = pytest.mark.root


@pytest.mark.parametrize("is_tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("scope", ["link7", "number"])
def test_a_resolver_on_a_link_is_asked_on_that_link(
    host_netns: str, tmp_path: Path, scope: str, is_tcp: bool
) -> None:
    for name in ("link6", "link7"):  # the same address on both: only the link tells them apart
        run(f"ip link add {name} type veth peer name {name}p; ip link set {name}p up")
        run(f"ip link set {name} addrgenmode none; ip link set {name} up")
        run(f"ip -6 addr add fe80::53/64 dev {name} nodad")
    number = socket.if_nametoindex("link7")
    listed = f"fe80::53%{number if scope == 'number' else scope}"
    (tmp_path / "resolv.conf").write_text(f"nameserver {listed}\n")
    servers = ResolvConf(tmp_path / "resolv.conf", [], tmp_path / "none").servers
    answerer = resolver.records(60, "A 192.0.2.1")
    fake = FakeResolver(resolver.truncated(answerer) if is_tcp else answerer)

    async def ask() -> wire.Answer | None:
        async with fake.serving("fe80::53%link7"):
            forwarder = Forwarder(
                lambda: servers, Counters(), time.monotonic, random.SystemRandom(), fake.port
            )
            running = asyncio.create_task(forwarder.run())
            await asyncio.sleep(0)
            message = dns.message.make_query("www.example", "A", use_edns=False)
            query = wire.parse(message.to_wire())
            assert query is not None
            try:
                return await forwarder.answer(query, "host")
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

    answer = asyncio.run(ask())
    assert answer is not None and answer.rcode == wire.NOERROR
    assert len(fake.tcp_queries if is_tcp else fake.udp_queries) == 1
