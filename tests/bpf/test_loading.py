"""What is pinned stays while it is right, and is made anew when it is not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.errors import KernelError, UnavailableError
from weft.kernel.bpf import layouts, programs, syscall
from weft.kernel.bpf.flow_limits import FLOW_ENTRIES
from weft.kernel.bpf.flow_table import MAPS
from weft.kernel.bpf.libbpf import Object
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.bpf.programs import ROLES, DataPlane, HostDevices

DEVICES = HostDevices(5, "0a:57:45:46:54:00", 6)
FLOW_MAPS = tuple(MAPS.values())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "weft"
    programs.mount_bpffs(place)
    yield place
    programs.purge(place)


def ids(plane: DataPlane) -> dict[str, int]:
    return {role: program.id for role, program in plane.programs.items()}


def test_the_verifier_is_far_from_giving_up(folder: Path, objects: Path) -> None:
    """Which takes a million steps; with all devices there, for without them it leaves much out."""
    devices = DEVICES._replace(host_tag=7, weftx_ifindex=8, wireguard_ifindex=9)
    with DataPlane.load(folder, devices, objects) as plane:
        verified = {
            role: syscall.program_info(program.fd).verified
            for role, program in plane.programs.items()
        }
    assert all(count < 120_000 for count in verified.values()), verified


def test_second_load_changes_nothing(folder: Path, objects: Path) -> None:
    with DataPlane.load(folder, DEVICES, objects) as first:
        assert all(program.is_new for program in first.programs.values())
        assert first.new_maps == first.maps.keys()
        first.maps["resolvers_v1"].update({bytes(16): bytes(8)})
        former = ids(first)
    with DataPlane.load(folder, DEVICES, objects) as second:
        assert ids(second) == former
        assert not any(program.is_new for program in second.programs.values())
        assert second.new_maps == set()
        assert second.maps["resolvers_v1"].read() == {bytes(16): bytes(8)}


def test_other_constants_load_anew_on_the_same_maps(folder: Path, objects: Path) -> None:
    with DataPlane.load(folder, DEVICES, objects) as first:
        maps = {name: each.info.id for name, each in first.maps.items()}
        former = ids(first)
    with DataPlane.load(folder, DEVICES._replace(weft0_ifindex=9), objects) as second:
        assert all(ids(second)[role] != former[role] for role in ROLES)
        assert {name: each.info.id for name, each in second.maps.items()} == maps
        pinned = syscall.get_pinned(folder / "programs" / "from_port")
        assert syscall.program_info(pinned).id == second.programs["from_port"].id


def test_another_build_loads_anew(folder: Path, objects: Path, tmp_path: Path) -> None:
    with DataPlane.load(folder, DEVICES, objects) as first:
        former = ids(first)
    copy = tmp_path / "objects"
    shutil.copytree(objects, copy)
    with (copy / "from_host.o").open("ab") as file:
        file.write(b"\0")
    with DataPlane.load(folder, DEVICES, copy) as second:
        assert ids(second)["from_port"] == former["from_port"]
        assert ids(second)["from_host"] != former["from_host"]


def test_missing_map_is_made_anew_and_programs_use_it(folder: Path, objects: Path) -> None:
    with DataPlane.load(folder, DEVICES, objects) as first:
        former = ids(first)
        first.maps["resolvers_v1"].update({bytes(16): bytes(8)})
    (folder / "maps" / "macs_v1").unlink()
    with DataPlane.load(folder, DEVICES, objects) as second:
        assert second.new_maps == {"macs_v1"}
        assert second.programs["from_port"].id != former["from_port"]
        used = syscall.program_info(second.programs["from_port"].fd).map_ids
        assert second.maps["macs_v1"].info.id in used
        assert second.maps["resolvers_v1"].read() == {bytes(16): bytes(8)}


def test_damaged_map_is_made_anew(folder: Path, objects: Path) -> None:
    """Of another layout, or no map at all."""
    with DataPlane.load(folder, DEVICES, objects) as first:
        for name in ("macs_v1", "ports_v2"):
            (folder / "maps" / name).unlink()
        syscall.pin(first.maps["networks_v1"].fd, folder / "maps" / "macs_v1")
        syscall.pin(first.programs["from_host"].fd, folder / "maps" / "ports_v2")
    with DataPlane.load(folder, DEVICES, objects) as second:
        assert second.new_maps == {"macs_v1", "ports_v2"}
        assert second.maps["macs_v1"].key_size == 12
        assert second.maps["ports_v2"].info.value_size == 64
    with DataPlane.load(folder, DEVICES, objects) as third:
        assert not any(program.is_new for program in third.programs.values())


def test_a_map_of_another_size_gives_its_entries_to_the_new_one(
    folder: Path, objects: Path
) -> None:
    resolvers = [bytes(15) + bytes([number]) for number in range(3)]
    with DataPlane.load(folder, DEVICES, objects) as first:
        info = first.maps["resolvers_v1"].info
        pin = folder / "maps" / "resolvers_v1"
        pin.unlink()
    sizes = ["key", str(info.key_size), "value", str(info.value_size), "entries", "16"]
    flags = ["name", "resolvers_v1", "flags", str(info.flags)]
    create = ["bpftool", "map", "create", str(pin), "type", "hash", *sizes, *flags]
    subprocess.run(create, check=True)
    with BpfMap.open(pin) as small:
        small.update(dict.fromkeys(resolvers, bytes(8)))
    with DataPlane.load(folder, DEVICES, objects) as second:
        assert second.new_maps == {"resolvers_v1"}
        assert second.maps["resolvers_v1"].info.max_entries == info.max_entries
        assert second.maps["resolvers_v1"].read() == dict.fromkeys(resolvers, bytes(8))
    with DataPlane.load(folder, DEVICES, objects) as third:
        assert third.new_maps == set()
        assert third.maps["resolvers_v1"].read() == dict.fromkeys(resolvers, bytes(8))


def test_missing_or_wrong_program_pin_is_mended(folder: Path, objects: Path) -> None:
    with DataPlane.load(folder, DEVICES, objects) as first:
        (folder / "programs" / "from_port").unlink()
        (folder / "programs" / "from_host").unlink()
        syscall.pin(first.maps["macs_v1"].fd, folder / "programs" / "from_host")
    with DataPlane.load(folder, DEVICES, objects) as second:
        new = {role for role, program in second.programs.items() if program.is_new}
        assert new == {"from_port", "from_host"}
        for role in ROLES:
            fd = syscall.get_pinned(folder / "programs" / role)
            assert syscall.program_info(fd).id == second.programs[role].id


def test_leftover_of_an_interrupted_load_is_no_obstacle(folder: Path, objects: Path) -> None:
    with DataPlane.load(folder, DEVICES, objects) as first:
        syscall.pin(first.programs["from_port"].fd, folder / "programs" / "from_port-new")
    with DataPlane.load(folder, DEVICES._replace(weft0_ifindex=9), objects):
        pass
    assert {each.name for each in (folder / "programs").iterdir()} == set(ROLES)


def test_purge_leaves_nothing(tmp_path: Path, objects: Path) -> None:
    place = tmp_path / "other"
    programs.mount_bpffs(place)
    DataPlane.load(place, DEVICES, objects).close()
    programs.purge(place)
    assert not place.exists()
    assert str(place) not in Path("/proc/self/mounts").read_text()
    programs.purge(place)


def test_purge_takes_the_empty_folders_that_tc_makes(tmp_path: Path) -> None:
    place = tmp_path / "other"
    programs.mount_bpffs(place)
    (place / "tc" / "globals").mkdir(parents=True)
    (place / "xdp").symlink_to(place / "tc")
    programs.purge(place)
    assert not place.exists()


def test_purge_leaves_what_others_pinned(tmp_path: Path, objects: Path) -> None:
    place = tmp_path / "other"
    programs.mount_bpffs(place)
    with DataPlane.load(place, DEVICES, objects) as plane:
        (place / "theirs").mkdir()
        syscall.pin(plane.programs["from_port"].fd, place / "theirs" / "program")
    programs.purge(place)
    assert [each.name for each in (place / "theirs").iterdir()] == ["program"]
    assert not (place / "programs").exists()
    (place / "theirs" / "program").unlink()
    programs.purge(place)
    assert not place.exists()


def test_nothing_stays_open(folder: Path, objects: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    DataPlane.load(folder, DEVICES, objects).close()
    before = open_files()
    for number in range(3):
        DataPlane.load(folder, DEVICES._replace(weft0_ifindex=number), objects).close()
    assert open_files() == before


def test_missing_object_says_how_to_build_it(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="build it with `make setup`"):
        DataPlane.load(folder, DEVICES, tmp_path)


def test_broken_object_is_a_kernel_error(folder: Path, tmp_path: Path) -> None:
    for role in ROLES:
        (tmp_path / f"{role}.o").write_bytes(b"no object")
    with pytest.raises(KernelError, match="open BPF object"):
        DataPlane.load(folder, DEVICES, tmp_path)


def test_refused_program_shows_the_verifiers_words(objects: Path, tmp_path: Path) -> None:
    """A jump over the end, put in the place of the last instruction."""
    raw = bytearray((objects / "from_host.o").read_bytes())
    exit_instruction = bytes([0x95, 0, 0, 0, 0, 0, 0, 0])
    raw[raw.index(exit_instruction)] = 0x9D
    broken = tmp_path / "from_host.o"
    broken.write_bytes(raw)
    with Object(broken) as source, pytest.raises(KernelError, match="load BPF object") as caught:
        source.load()
    assert "processed" in str(caught.value) or "opcode" in str(caught.value)


def test_other_layouts_are_refused(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = layouts.STRUCTS["port"]
    swapped = (members[1]._replace(offset=0), members[0]._replace(offset=4), *members[2:])
    monkeypatch.setitem(layouts.STRUCTS, "port", swapped)
    with Object(objects / "from_port.o") as source, pytest.raises(UnavailableError, match="port"):
        source.check_layouts()


def test_tables_of_flows_are_as_large_as_they_shall_be(folder: Path, objects: Path) -> None:
    """By the setting; another one takes over what the former had."""
    with Object(objects / "from_port.o") as source:
        declared = {source.maps[name].max_entries for name in FLOW_MAPS}
    assert declared == {FLOW_ENTRIES}
    for size in (4096, 1024, FLOW_ENTRIES):
        with DataPlane.load(folder, DEVICES._replace(flow_entries=size), objects) as plane:
            tables = [plane.maps[name] for name in FLOW_MAPS]
            assert [each.info.max_entries for each in tables] == [size, size]
            assert plane.maps["fragments_v1"].info.max_entries == 8192
            if size == 4096:
                key = bytes(plane.maps["flows4_v1"].key_size)
                value = bytes([1]) * plane.maps["flows4_v1"].value_size
                plane.maps["flows4_v1"].update({key: value})
            assert plane.maps["flows4_v1"].read() == {key: value}
            assert all(program.is_new for program in plane.programs.values())
    with DataPlane.load(folder, DEVICES, objects) as again:
        assert not any(program.is_new for program in again.programs.values())
