"""Encryption is turned on and off for the cluster, where all of it can follow."""

from __future__ import annotations

import random
from ipaddress import IPv4Address
from itertools import chain

import pytest
from msgspec.structs import replace

from tests.surroundings import AtOnce, NothingRuns, WholeSpace, control_alone
from weft.config import Settings
from weft.control.context import Context
from weft.control.control import Control
from weft.errors import ConflictError, UnavailableError
from weft.model.addresses import ip_network
from weft.model.choices import EncryptionStage
from weft.model.ids import HostId
from weft.model.records import Cluster, Host, HostKeys, Record
from weft.store.memory import MemoryStore

ME = HostId("a" * 16)
EXEMPT = ip_network("192.0.2.0/24")


def host(letter: str, number: int, end: HostKeys | None) -> list[Record]:
    id = HostId(letter * 16)
    address = IPv4Address(f"192.0.2.{number}")
    keys = [] if end is None else [replace(end, id=id, host_id=id)]
    return [Host(id=id, name=f"h{number}", underlay=(address,)), *keys]


def end(stage: EncryptionStage = EncryptionStage.OFF, follows: str = "") -> HostKeys:
    return HostKeys(
        id=ME,
        host_id=ME,
        public_key="key",
        port=1,
        stage=stage,
        in_force=stage,
        follows=follows,
    )


def control_of(*hosts: list[Record], cluster: Cluster | None = None) -> Control:
    records = [*chain.from_iterable(hosts), *([cluster] if cluster is not None else [])]
    return control_alone(
        Context(
            store=MemoryStore(records),
            settler=AtOnce(),
            settings=Settings(name="h1"),
            host_id=ME,
            wall_s=lambda: 0.0,
            random_bytes=random.Random(1).randbytes,
            host_routes=tuple,
            targets=NothingRuns(),
            space=WholeSpace,
        )
    )


async def test_it_is_written_once_for_all_with_an_id_of_its_own() -> None:
    control = control_of(host("a", 1, end()), host("b", 2, end()))

    made = await control.encryption.set(True)
    again = await control.encryption.set(True)

    assert made.is_encrypted and made.encryption_id
    assert again == made == control.view.get(Cluster, "cluster")
    off = await control.encryption.set(False)
    assert not off.is_encrypted and off.encryption_id != made.encryption_id


async def test_a_host_that_cannot_encrypt_is_named_and_nothing_is_written() -> None:
    control = control_of(host("a", 1, end()), host("b", 2, None))

    with pytest.raises(ConflictError, match=r"host h2 cannot encrypt.*wireguard-go"):
        await control.encryption.set(True)

    assert control.view.get(Cluster, "cluster") is None


async def test_a_host_that_cannot_encrypt_may_be_exempt() -> None:
    control = control_of(host("a", 1, end()), host("b", 2, None))

    assert (await control.encryption.set(True, [EXEMPT])).plain_underlays == (EXEMPT,)


async def test_exceptions_change_only_when_the_last_change_is_through() -> None:
    now = Cluster(is_encrypted=True, encryption_id="x")
    late = control_of(host("a", 1, end()), host("b", 2, end()), cluster=now)

    with pytest.raises(UnavailableError, match="not through"):
        await late.encryption.set(True, [EXEMPT])

    there = end(EncryptionStage.REFUSES, "x")
    settled = control_of(host("a", 1, there), host("b", 2, there), cluster=now)
    made = await settled.encryption.set(True, [EXEMPT])
    assert made.former_plain_underlays == ()
    assert made.plain_underlays == (EXEMPT,)


async def test_it_can_be_turned_off_again_in_the_middle() -> None:
    now = Cluster(is_encrypted=True, encryption_id="x")
    control = control_of(host("a", 1, end()), host("b", 2, end()), cluster=now)

    assert not (await control.encryption.set(False)).is_encrypted
