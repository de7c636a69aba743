"""Events from programs: in order, bounded, and none is lost in silence."""

from __future__ import annotations

import os
import select
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf.world import World
from weft.errors import KernelError
from weft.kernel.bpf import syscall
from weft.kernel.bpf.events import LOST, RING, Events
from weft.kernel.bpf.libbpf import Object

BPF = Path(__file__).parents[2] / "bpf"
TELLING = """
#include "maps.h"
#include "lib/event.h"
#include "lib/packet.h"

SEC("tc")
int telling(struct __sk_buff *skb)
{
	__u32 event[16] = { skb->mark };

	tell(event, sizeof(event));
	return TC_ACT_SHOT;
}

char program_license[] SEC("license") = "GPL";
"""
SIZE = 64
RECORD = SIZE + 8
"""With its head in the ring."""


class Teller:
    """A program that tells what mark a packet has."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def tell(self, mark: int) -> None:
        context = bytearray(192)
        struct.pack_into("<I", context, 8, mark)
        syscall.run_program(self._fd, bytes(64), bytes(context))


@pytest.fixture
def teller(world: World, tmp_path: Path) -> Iterator[Teller]:
    source, built = tmp_path / "telling.c", tmp_path / "telling.o"
    source.write_text(TELLING)
    clang = os.environ.get("CLANG", "clang")
    headers = ["-I", str(BPF), "-I", f"/usr/include/{os.uname().machine}-linux-gnu"]
    options = ["-target", "bpf", "-mcpu=v3", "-g", "-O2", *headers]
    subprocess.run([clang, *options, "-c", source, "-o", built], check=True)
    with Object(built) as opened:
        for name in (RING, LOST):
            opened.maps[name].reuse(world.plane.maps[name].fd)
        opened.load()
        fd = opened.duplicate_program_fd("telling")
    yield Teller(fd)
    os.close(fd)


@pytest.fixture
def events(world: World) -> Iterator[Events]:
    opened = Events(world.plane.maps)
    while opened.read():
        pass
    yield opened
    while opened.read():
        pass
    opened.close()


def marks(found: list[bytes]) -> list[int]:
    assert all(len(each) == SIZE for each in found)
    return [struct.unpack_from("<I", each)[0] for each in found]


def test_events_come_in_order_and_once(events: Events, teller: Teller) -> None:
    assert events.read() == []
    for mark in (1, 2, 3):
        teller.tell(mark)
    assert marks(events.read()) == [1, 2, 3]
    assert events.read() == []
    teller.tell(4)
    assert marks(events.read()) == [4]


def test_no_more_are_read_than_asked_for(events: Events, teller: Teller) -> None:
    for mark in range(5):
        teller.tell(mark)
    assert marks(events.read(2)) == [0, 1]
    assert marks(events.read(2)) == [2, 3]
    assert marks(events.read(2)) == [4]


def test_who_waits_is_woken(events: Events, teller: Teller) -> None:
    assert select.select([events], [], [], 0)[0] == []
    teller.tell(7)
    assert select.select([events], [], [], 10)[0] == [events]


def test_what_finds_no_room_is_counted(world: World, events: Events, teller: Teller) -> None:
    room = world.plane.maps[RING].info.max_entries // RECORD
    for mark in range(room + 10):
        teller.tell(mark)
    lost = events.lost()
    found: list[bytes] = []
    while more := events.read():
        found += more
    assert lost > 0 and len(found) + lost == room + 10
    assert marks(found) == list(range(len(found))), "the newest are lost"
    teller.tell(99)
    assert marks(events.read()) == [99]


def test_what_nobody_has_read_stays_for_the_next(
    world: World, events: Events, teller: Teller
) -> None:
    former = Events(world.plane.maps)
    teller.tell(5)
    former.close()
    assert former.fileno() == -1
    with pytest.raises(KernelError, match="read BPF ring"):
        former.read()
    assert marks(events.read()) == [5]
