"""The door: who may stand there, and what happens when there is no room for anybody."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from typing import Any

import pytest

from tests.cluster.hosts import until
from weft.cluster import door
from weft.cluster.door import Door
from weft.errors import UnavailableError


class Visitors:
    """Keeps everybody waiting until told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.crowd: list[str] = []
        self.familiar: set[str] = set()
        self.go = asyncio.Event()

    async def knock(self, came: socket.socket, address: str) -> None:
        with came:
            self.heard.append(address)
            await self.go.wait()

    def door(self, addresses: tuple[str, ...] = ("127.0.0.1",), of_one: int = 3) -> Door:
        return Door(addresses, 0, self.knock, self.crowd.append, self.familiar.__contains__, of_one)


@contextlib.asynccontextmanager
async def served(opened: Door, listening: socket.socket) -> Any:
    task = asyncio.create_task(opened.serve(listening))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        listening.close()


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5, (source, 0))


async def test_each_address_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    visitors = Visitors()
    opened = visitors.door()
    [listening] = opened.open()
    async with served(opened, listening):
        with contextlib.ExitStack() as stack:
            for source in ("127.0.0.1",) * 5 + ("127.0.0.2",):
                stack.enter_context(connect(opened.port, source))
            await until(lambda: len(visitors.heard) + len(visitors.crowd) == 6)
            assert visitors.heard == ["127.0.0.1"] * 3 + ["127.0.0.2"]
            assert visitors.crowd == ["127.0.0.1"] * 2
            visitors.go.set()
            await until(lambda: not opened._waiting)
            stack.enter_context(connect(opened.port))
            await until(lambda: len(visitors.heard) == 5)


async def test_strangers_take_no_place_of_a_host_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "MAX_WAITING", 2)
    visitors = Visitors()
    visitors.familiar.add("127.0.0.9")
    opened = visitors.door()
    [listening] = opened.open()
    async with served(opened, listening):
        with contextlib.ExitStack() as stack:
            for n in (1, 2, 3, 9):
                stack.enter_context(connect(opened.port, f"127.0.0.{n}"))
            await until(lambda: len(visitors.heard) + len(visitors.crowd) == 4)
            assert visitors.heard == ["127.0.0.1", "127.0.0.2", "127.0.0.9"]


class Tired(socket.socket):
    """Has no file descriptor left the first time."""

    failures = 1

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


async def test_without_file_descriptors_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(door, "RETRY_S", 0.05)
    visitors = Visitors()
    opened = visitors.door()
    [listening] = opened.open()
    async with served(opened, Tired(fileno=listening.detach())):
        with connect(opened.port):
            await until(lambda: visitors.heard)
    assert capsys.readouterr().out.count("no connection can be accepted") == 1


async def test_a_door_that_closes_forgets_nobody_who_stands_there() -> None:
    visitors = Visitors()
    opened = visitors.door()
    [listening] = opened.open()
    with connect(opened.port) as other:
        async with served(opened, listening):
            await asyncio.sleep(0)
        with contextlib.suppress(ConnectionResetError):  # it was not even let in
            assert other.recv(1) == b""


def test_one_port_on_all_addresses_and_a_taken_one_is_an_error() -> None:
    async def nobody(came: socket.socket, address: str) -> None:
        came.close()

    opened = Door(("127.0.0.1", "127.0.0.2"), 0, nobody, print, bool)
    sockets = opened.open()
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        again = Door(("127.0.0.1",), opened.port, nobody, print, bool)
        with pytest.raises(UnavailableError, match=f"TCP port {opened.port}: Address already"):
            again.open()
    finally:
        for each in sockets:
            each.close()
