"""Whoever holds a certificate of the cluster and does not keep to the protocol harms nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import pytest

from tests.cluster.hosts import Nursery, until
from tests.cluster.strangers import Stranger, calm, ended, hello, reason
from weft.cluster import greeting
from weft.cluster.frames import Kind, encode


async def test_a_host_that_says_another_id_than_its_certificate_is_refused(
    cluster: Nursery,
) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        said = hello(a, "00000000000000bb")
        stranger.send(encode(Kind.HELLO, greeting.encode(said)))
        await ended(stranger.streams)
        await reason(a, "its certificate is of 00000000000000aa")


@pytest.mark.parametrize(
    ("values", "because"),
    [
        ({"protocol": 7, "oldest_protocol": 5}, "speaks versions 5 to 7"),
        ({"protocol": 0, "oldest_protocol": 0}, "speaks versions 0 to 0"),
        ({"cluster_id": "f" * 16}, "of cluster ffffffffffffffff"),
    ],
)
async def test_a_hello_that_does_not_fit_is_refused(
    cluster: Nursery, values: dict[str, Any], because: str
) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        stranger.send(encode(Kind.HELLO, greeting.encode(hello(a, **values))))
        await ended(stranger.streams)
        await reason(a, because)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff\x01",
        b"\x00\x00\x10\x01\x01",
        encode(Kind.HELLO, b"nonsense"),
        encode(Kind.MESSAGE, b"too early"),
        os.urandom(2000) + b"\xff" * 2000,
    ],
)
async def test_nonsense_from_a_member_is_refused(cluster: Nursery, data: bytes) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        stranger.send(data)
        await ended(stranger.streams)
        await until(lambda: a.reasons())


async def test_a_member_that_says_nothing_after_its_hello_is_cut_off(cluster: Nursery) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        stranger.send(encode(Kind.HELLO, greeting.encode(hello(a))))
        await ended(stranger.streams)
        assert a.linked() == {"0000000000000002"}


async def test_a_member_that_sends_frames_without_end_before_the_link_is_held_back(
    cluster: Nursery,
) -> None:
    async with calm(cluster) as a:
        stranger = await Stranger.to(a)
        stranger.send(encode(Kind.HELLO, greeting.encode(hello(a, "00000000000000aa"))))
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                while True:
                    stranger.send(encode(Kind.PING, b"\0" * 4000))
                    await stranger.streams[1].drain()
        await ended(stranger.streams)
