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
from weft.cluster.door import Door, Guest
from weft.errors import UnavailableError
from weft.model.ids import HostId


class Visitors:
    """Keeps everybody waiting until told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.crowd: list[str] = []
        self.familiar: set[str] = set()
        self.here: list[Guest] = []
        self.go = asyncio.Event()

    async def knock(self, came: socket.socket, guest: Guest) -> None:
        with came:
            self.heard.append(guest.address)
            self.here.append(guest)
            try:
                await self.go.wait()
            finally:
                self.here.remove(guest)

    def door(self, addresses: tuple[str, ...] = ("127.0.0.1",), of_one: int = 3) -> Door:
        return Door(addresses, 0, self.knock, self.crowd.append, self.familiar.__contains__, of_one)

    async def until_heard(self, count: int) -> None:
        await until(lambda: len(self.heard) == count)

    def waiting(self) -> list[str]:
        return [guest.address for guest in self.here]


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


async def test_of_one_address_the_oldest_makes_room_for_the_newest() -> None:
    visitors = Visitors()
    opened = visitors.door()
    [listening] = opened.open()
    async with served(opened, listening):
        with contextlib.ExitStack() as stack:
            other = stack.enter_context(connect(opened.port, "127.0.0.2"))
            await until(lambda: visitors.here)
            first = [stack.enter_context(connect(opened.port)) for _ in range(2)]
            await until(lambda: len(visitors.here) == 3)
            for count in range(4, 7):
                stack.enter_context(connect(opened.port))
                await visitors.until_heard(count)
            await until(lambda: len(visitors.here) == 4)
            assert visitors.waiting() == ["127.0.0.2"] + ["127.0.0.1"] * 3
            assert visitors.crowd == ["127.0.0.1"] * 2
            assert [each.recv(1) for each in first] == [b"", b""]
            visitors.go.set()
            await until(lambda: not opened.waiting_count)
            assert other.recv(1) == b""
            stack.enter_context(connect(opened.port))
            await until(lambda: len(visitors.heard) == 7)


async def test_whoever_proves_more_is_pushed_out_by_nobody_who_proves_less() -> None:
    visitors = Visitors()
    opened = visitors.door(of_one=3)
    [listening] = opened.open()
    async with served(opened, listening):
        with contextlib.ExitStack() as stack:
            for count in range(1, 5):
                stack.enter_context(connect(opened.port))
                await visitors.until_heard(count)
                guest = visitors.here[-1]
                if count > 1:
                    guest.named()
                if count > 3:
                    guest.proved(HostId("a"))
            proving = list(visitors.here)
            for count in range(5, 15):
                stack.enter_context(connect(opened.port))
                await visitors.until_heard(count)
            await until(lambda: len(visitors.here) == 6)
            assert visitors.here[:3] == proving[1:]


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
            for count, n in enumerate((1, 9, 2, 3), 1):
                stack.enter_context(connect(opened.port, f"127.0.0.{n}"))
                await visitors.until_heard(count)
            await until(lambda: len(visitors.here) == 2)
            assert visitors.waiting() == ["127.0.0.9", "127.0.0.3"]


async def test_who_knocks_without_end_leaves_time_for_other_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "PAUSE_S", 3600.0)
    visitors = Visitors()
    opened = visitors.door(of_one=door.BATCH * 2)
    [listening] = opened.open()
    with contextlib.ExitStack() as stack:
        for _ in range(door.BATCH + 5):
            stack.enter_context(connect(opened.port))
        async with served(opened, listening):
            await until(lambda: len(visitors.here) == door.BATCH)
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(visitors.heard) == door.BATCH


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
    async def nobody(came: socket.socket, guest: Guest) -> None:
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
