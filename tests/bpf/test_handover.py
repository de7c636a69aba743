"""A map of another layout takes over what programs have written into the one before."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf.renaming import next_name, renamed
from weft.kernel.bpf import counters, programs, syscall
from weft.kernel.bpf.handover import Converter, Entry, steps_to
from weft.kernel.bpf.maps import BpfMap, cpu_count
from weft.kernel.bpf.programs import DataPlane, HostDevices

DEVICES = HostDevices(5, "0a:57:45:46:54:00", 6)
FLOWS = "dns_flows_v1"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "weft"
    programs.mount_bpffs(place)
    yield place
    programs.purge(place)


def key(number: int) -> bytes:
    return struct.pack("<Q", number)


def value(number: int) -> bytes:
    return bytes([number]) * 48


def turned(raw_key: bytes, raw_value: bytes) -> Entry | None:
    """The layout of another release. Entries whose key is 99 mean nothing there."""
    return None if raw_key == key(99) else (raw_key, raw_value[::-1])


def flows(plane: DataPlane, name: str = next_name(FLOWS)) -> dict[bytes, bytes]:
    return plane.maps[name].read()


def test_entries_are_converted_and_the_former_map_goes_at_the_end(
    folder: Path, objects: Path, tmp_path: Path
) -> None:
    with DataPlane.load(folder, DEVICES, objects) as plane:
        plane.maps[FLOWS].update({key(1): b"ab" * 24, key(99): value(99)})
    others = renamed(objects, tmp_path, [FLOWS])
    converters = {next_name(FLOWS): Converter(FLOWS, turned)}
    with DataPlane.load(folder, DEVICES, others, converters) as plane:
        assert plane.new_maps == {next_name(FLOWS)}
        assert flows(plane) == {key(1): b"ba" * 24}
        assert (folder / "maps" / FLOWS).exists()
        plane.forget_former()
        assert not (folder / "maps" / FLOWS).exists()
        assert (folder / "maps" / next_name(FLOWS)).exists()


def test_what_former_programs_write_meanwhile_is_taken_over_too(
    folder: Path, objects: Path, tmp_path: Path
) -> None:
    with DataPlane.load(folder, DEVICES, objects) as plane:
        plane.maps[FLOWS].update({key(number): value(number) for number in (1, 2, 3)})
    others = renamed(objects, tmp_path, [FLOWS])
    converters = {next_name(FLOWS): Converter(FLOWS, lambda *entry: entry)}
    with DataPlane.load(folder, DEVICES, others, converters) as plane:
        with BpfMap.open(folder / "maps" / FLOWS) as former:
            former.update({key(2): value(20), key(3): value(30), key(4): value(4)})
        plane.maps[next_name(FLOWS)].update({key(3): value(33)})  # by a new program
        plane.forget_former()
        wanted = {1: 1, 2: 20, 3: 33, 4: 4}
        assert flows(plane) == {key(each): value(now) for each, now in wanted.items()}


def test_an_upgrade_that_was_interrupted_goes_on(
    folder: Path, objects: Path, tmp_path: Path
) -> None:
    with DataPlane.load(folder, DEVICES, objects) as plane:
        plane.maps[FLOWS].update({key(1): value(1)})
    others = renamed(objects, tmp_path, [FLOWS])
    DataPlane.load(folder, DEVICES, others, {}).close()  # killed before it took anything over
    converters = {next_name(FLOWS): Converter(FLOWS, lambda *entry: entry)}
    with DataPlane.load(folder, DEVICES, others, converters) as plane:
        assert plane.new_maps == set()
        assert flows(plane) == {key(1): value(1)}
        plane.forget_former()
    assert not (folder / "maps" / FLOWS).exists()


def test_each_cpus_value_is_converted(folder: Path, objects: Path, tmp_path: Path) -> None:
    counters = "counters_v2"
    with DataPlane.load(folder, DEVICES, objects) as plane:
        each = [bytes([cpu + 1]) * plane.maps[counters].stride for cpu in range(cpu_count())]
        plane.maps[counters].update({bytes(4): b"".join(each)})
    others = renamed(objects, tmp_path, [counters])
    stride = len(each[0])
    first_half = Converter(
        counters, lambda key, value: (key, value[: stride // 2].ljust(stride, b"\0"))
    )
    with DataPlane.load(folder, DEVICES, others, {next_name(counters): first_half}) as plane:
        found = plane.maps[next_name(counters)].read()
        wanted = [one[: stride // 2].ljust(stride, b"\0") for one in each]
        assert found == {bytes(4): b"".join(wanted)}


def test_maps_of_others_and_of_no_known_kind_stay(
    folder: Path, objects: Path, tmp_path: Path
) -> None:
    with DataPlane.load(folder, DEVICES, objects) as plane:
        theirs = folder / "maps" / "theirs_v1"
        syscall.pin(plane.maps[FLOWS].fd, theirs)
    with DataPlane.load(folder, DEVICES, renamed(objects, tmp_path, [FLOWS])) as plane:
        plane.forget_former()
    assert theirs.exists()
    theirs.unlink()


def test_releases_between_are_stepped_through() -> None:
    one, two = Converter("flows_v1", turned), Converter("flows_v2", turned)
    converters = {"flows_v2": one, "flows_v3": two}
    assert steps_to("flows_v3", converters, {"flows_v1"}.__contains__) == ("flows_v1", [one, two])
    assert steps_to("flows_v3", converters, {"flows_v2"}.__contains__) == ("flows_v2", [two])
    assert steps_to("flows_v3", converters, set[str]().__contains__) is None
    assert steps_to("flows_v1", converters, {"flows_v2"}.__contains__) is None


def test_a_map_that_vanished_is_filled_from_the_one_that_is_still_open(
    folder: Path, objects: Path
) -> None:
    with DataPlane.load(folder, DEVICES, objects) as former:
        former.maps[FLOWS].update({key(1): value(1)})
        (folder / "maps" / FLOWS).unlink()
        with DataPlane.load(folder, DEVICES, objects) as plane:
            plane.inherit(former)
            assert flows(plane, FLOWS) == {key(1): value(1)}


def test_ports_that_were_there_are_counted_on(folder: Path, objects: Path) -> None:
    """From the release in which drops stood beside the counters."""
    (folder / "maps").mkdir()
    pin = folder / "maps" / "counters_v1"
    sizes = ["key", "4", "value", "224", "entries", "16", "name", "counters_v1", "flags", "1"]
    create = ["bpftool", "map", "create", str(pin), "type", "percpu_hash", *sizes]
    subprocess.run(create, check=True)
    ifindex = struct.pack("<I", 7)
    with BpfMap.open(pin) as former:
        former.update({ifindex: struct.pack("<28Q", *range(1, 29)) * cpu_count()})
        with DataPlane.load(folder, DEVICES, objects) as plane:
            assert counters.read(plane.maps)[7].tx_bytes == 4 * cpu_count()
            former.update({ifindex: struct.pack("<28Q", *range(2, 30)) * cpu_count()})
            plane.forget_former()
            assert counters.read(plane.maps)[7].tx_bytes == 5 * cpu_count()
    assert not pin.exists()
