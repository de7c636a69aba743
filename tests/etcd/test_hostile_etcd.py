"""Whatever somebody writes into etcd, hosts go on: it is shown or left alone, and stops nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from hypothesis import HealthCheck, given, seed, settings

from tests.etcd.server import EtcdServer
from tests.mesh.stores import DEADLINE_S, EtcdCluster
from tests.property.hostile import bodies
from weft.engine.compiler import Compiler
from weft.engine.ebpf.compile import functions
from weft.errors import UnavailableError
from weft.etcd.client import every
from weft.model.ids import HostId, NetworkId, Vni
from weft.model.records import Host, Network
from weft.store.interface import Put

A, B, OTHER = "a" * 16, "b" * 16, "0123456789abcdef"
NETWORK = Network(id=NetworkId("mine"), name="foo", vni=Vni(5000))
KEYS = (
    b"x",
    b"//",
    b"-/network/",
    b"-/network/a\nb",
    b"-/network/\x1b[2J",
    b"-/network/\xff\xfe",
    b"\xff/network/x",
    b"-/hologram/x",
    b"-/mesh-incarnations/x",
    A.encode() + b"/network/x",
    A.encode() + b"/port/" + b"x" * 2000,
    b"etcd/host/etcd",
)


def spoiled() -> list[tuple[bytes, bytes]]:
    """Keys and values, after the prefix of all records."""
    made = [(key, value) for key in KEYS for value in (b"", b"\xff", b"{}", b"[" * 5000)]

    @seed(3)
    @settings(
        max_examples=300, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(bodies)
    def collect(found: tuple[str, bytes]) -> None:
        kind, body = found
        id = json.loads(body).get("id")
        if isinstance(id, str) and id and kind != "forgotten-host":
            for owner in ("-", OTHER):
                made.append((f"{owner}/{kind}/{id}".encode(errors="replace"), body))

    collect()
    return made


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_records_and_keys_of_any_content_stop_nobody(etcd: EtcdServer) -> None:
    cluster = EtcdCluster(etcd.url, A, B)
    await cluster.begin()
    a, b = cluster.in_etcd
    await a.store.write([Put(NETWORK), Put(Host(id=HostId(A), name="a", secret_id="secret"))])
    for key, value in spoiled():
        name = a.keys.records + key
        await cluster.client.call("/v3/kv/put", {"key": name, "value": value}, object)
    await a.store.write([Put(Network(id=NETWORK.id, name="bar", vni=NETWORK.vni))])
    await until(lambda: _name(b.store.get(Network, NETWORK.id)) == "bar")
    assert a.store.trouble is None and b.store.trouble is None
    assert len(a.store.quarantined) > 50
    assert all(each.id.isprintable() for each in a.store.quarantined.values())
    for member in (a, b):
        assert not Compiler(functions(HostId(member.host)), member.store).faults
    late = EtcdCluster(etcd.url, "c" * 16, prefix=cluster.prefix)
    await late.begin()
    assert _name(late.in_etcd[0].store.get(Network, NETWORK.id)) == "bar"
    await late.end()
    await cluster.end()


async def test_a_word_of_any_bytes_in_the_place_of_its_identity_stops_nobody(
    etcd: EtcdServer,
) -> None:
    cluster = EtcdCluster(etcd.url, A)
    name = cluster.in_etcd[0].keys.identity
    value = b"\xff\xfe" + b"x" * 5000
    await cluster.client.call("/v3/kv/put", {"key": name, "value": value}, object)
    await cluster.begin()
    (a,) = cluster.in_etcd
    await a.store.write([Put(NETWORK)])
    found, _ = await every(cluster.client.read(a.keys.records))
    assert len(found) == 1
    assert len(a.known.identity) <= 64
    await cluster.end()


async def test_a_fault_in_following_is_shown_and_tried_again(etcd: EtcdServer) -> None:
    cluster = EtcdCluster(etcd.url, A)
    (a,) = cluster.in_etcd
    catch_up, failures = a.follower.catch_up, [RecursionError("deep"), ValueError("wrong")]

    async def failing() -> None:
        if failures:
            raise failures.pop()
        await catch_up()

    a.follower.catch_up = failing  # type: ignore[method-assign]
    await cluster.begin()
    assert not failures
    try:
        await a.store.write([Put(NETWORK)])
    except UnavailableError as error:
        raise AssertionError("it is followed again") from error
    await cluster.end()


def _name(network: Network | None) -> str:
    return "" if network is None else network.name
