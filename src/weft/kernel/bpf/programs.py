"""The packet path as loaded into the kernel: programs and maps, pinned under one folder.

    <bpffs_dir>/maps/<name>        ports_v2, addresses_v1, …
    <bpffs_dir>/programs/<role>    from_port, from_host, from_wire, from_overlay, collect

A pinned program stays as it is while it was built from the same object file with the same
constants and uses the maps that are pinned; then a restart of weftd changes nothing. Otherwise the
objects are loaded anew on the pinned maps and the pins change hands; whoever attaches programs
sees another id and replaces the filters in place. A map that is missing, or whose layout is not
ours, is made anew, empty; one of another size gives its entries to the new one, and one of another
layout, under an earlier name, those that `handover` can convert.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from weft.errors import KernelError, UnavailableError
from weft.kernel.bpf import features, flow_table, layouts, syscall
from weft.kernel.bpf.bpffs import mount_bpffs, purge
from weft.kernel.bpf.flow_limits import FLOW_ENTRIES, FlowLimits
from weft.kernel.bpf.handover import CONVERTERS, Converter, Handover, steps_to
from weft.kernel.bpf.libbpf import Object, ObjectMap
from weft.kernel.bpf.maps import BpfMap

__all__ = ["OBJECTS", "ROLES", "DataPlane", "HostDevices", "Program", "mount_bpffs", "purge"]

ROLES = ("from_port", "from_host", "from_wire", "from_overlay", "collect")
"""One object file, and one program in it, each. The last is on no hook: weftd runs it."""
OBJECTS = Path(__file__).parent / "objects"

_CONSTANTS = ".rodata.weft"
_CLASSIFIER = 3
_VERSION = re.compile(r"_v\d+")


class HostDevices(NamedTuple):
    """Facts of this host that are constants in the programs; 0: there is no such device."""

    weft0_ifindex: int
    weft0_mac: str
    weft1_ifindex: int
    host_tag: int = 0
    """See `weft.model.ids.host_tag`."""
    overlay_port: int = 4789
    """UDP port of VXLAN."""
    weftx_ifindex: int = 0
    wireguard_ifindex: int = 0
    query_every_ns: int = 0
    """Between two DNS queries of a port, on average; 0: it may ask as it likes."""
    flows: FlowLimits = FlowLimits()
    flow_entries: int = FLOW_ENTRIES
    """Of each family: the size of the maps of flows, and no constant."""


class Program(NamedTuple):
    """A loaded program, open as long as the `DataPlane` is."""

    role: str
    fd: int
    id: int
    tag: str
    """The kernel's hash of the instructions, as `tc filter show` prints it."""
    is_new: bool
    """Loaded just now: filters that run another id must be replaced."""


class DataPlane:
    """All programs and maps of one host, open. Made by `load`."""

    def __init__(self) -> None:
        self.programs: dict[str, Program] = {}
        """By role."""
        self.maps: dict[str, BpfMap] = {}
        """By name: ``ports_v2``, ``addresses_v1``, …"""
        self.new_maps: set[str] = set()
        """Maps that `load` had to make: empty, or with what fits of their former entries."""
        self._former: dict[str, BpfMap] = {}
        """Pinned until now, and of another size."""
        self._handovers: list[Handover] = []
        """From maps of other layouts that running programs may still write."""
        self._former_pins: dict[str, Path] = {}
        """Maps of Weft's that this weftd does not know, by name."""

    @classmethod
    def load(
        cls,
        bpffs_dir: Path,
        devices: HostDevices,
        objects: Path = OBJECTS,
        converters: Mapping[str, Converter] = CONVERTERS,
    ) -> Self:
        """Open what is pinned; load what is not, or is out of date. KernelError says why not.

        `bpffs_dir` is on a bpf file system (`mount_bpffs`). May be called again at any time, for
        instance when weft0 was made anew or a map was removed.
        """
        plane = cls()
        try:
            for folder in ("maps", "programs"):
                (bpffs_dir / folder).mkdir(parents=True, exist_ok=True)
            for role in ROLES:
                plane._load_role(bpffs_dir, role, objects / f"{role}.o", devices)
            plane._take_over(bpffs_dir / "maps", converters)
        except BaseException:
            plane.close()
            raise
        plane._close_former()
        return plane

    def inherit(self, former: DataPlane) -> None:
        """Fill maps that had to be made although `former`, loaded by the same weftd, has them
        open."""
        for name in self.new_maps & former.maps.keys():
            self.maps[name].update(former.maps[name].read())

    def forget_former(self) -> None:
        """No program that was loaded earlier runs any more: take over what they have written until
        now, and let go of maps that this weftd does not know."""
        for each in self._handovers:
            with contextlib.suppress(KernelError):  # what was taken over at the start has to do
                each.finish()
        self._close_handovers()
        for pin in self._former_pins.values():
            pin.unlink(missing_ok=True)
        self._former_pins.clear()

    def _take_over(self, pins: Path, converters: Mapping[str, Converter]) -> None:
        kinds = {_VERSION.sub("", name) for name in self.maps}
        self._former_pins = {
            pin.name: pin
            for pin in pins.iterdir()
            if pin.name not in self.maps and _VERSION.sub("", pin.name) in kinds
        }
        for name, each in self.maps.items():
            found = steps_to(name, converters, self._former_pins.__contains__)
            if found is None:
                continue
            former, steps = found
            with contextlib.suppress(KernelError):  # the pin is of another kind, or broken
                handover = Handover(BpfMap.open(self._former_pins[former]), each, steps)
                self._handovers.append(handover)
                handover.begin()

    def _close_handovers(self) -> None:
        for each in self._handovers:
            each.close()
        self._handovers.clear()

    def close(self) -> None:
        """Close all fds. What is pinned or attached goes on."""
        for program in self.programs.values():
            os.close(program.fd)
        for each in self.maps.values():
            each.close()
        self.programs.clear()
        self.maps.clear()
        self._close_former()
        self._close_handovers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_former(self) -> None:
        for each in self._former.values():
            each.close()
        self._former.clear()

    def _load_role(self, bpffs_dir: Path, role: str, file: Path, devices: HostDevices) -> None:
        pin = bpffs_dir / "programs" / role
        with Object(file) as source:
            source.check_layouts()
            declared = [each for each in source.maps.values() if not each.is_internal]
            for each in declared:
                if each.name in flow_table.MAPS.values():
                    each.resize(devices.flow_entries)
            for each in declared:
                self._open_map(bpffs_dir / "maps" / each.name, each)
            constants = _constants(file, devices)
            wanted = {self.maps[each.name].info.id for each in declared if each.name in self.maps}
            program = None
            if len(wanted) == len(declared):
                program = _open_current(pin, role, constants, wanted)
            if program is None:
                program = self._load_program(source, pin, role, constants)
            self.programs[role] = program

    def _open_map(self, pin: Path, declared: ObjectMap) -> None:
        """Open a pinned map, unless its layout or its size is another; then the pin goes."""
        if declared.name in self.maps or not pin.exists():
            return
        with contextlib.suppress(KernelError):  # some other kind of object, or a broken one
            found = BpfMap.open(pin)
            if not _is_same_layout(found, declared):
                found.close()
            elif found.info.max_entries != declared.max_entries:
                self._former[declared.name] = found
            else:
                self.maps[declared.name] = found
                return
        pin.unlink()

    def _load_program(
        self, source: Object, pin: Path, role: str, constants: layouts.Constants
    ) -> Program:
        for name, known in self.maps.items():
            if name in source.maps:
                source.maps[name].reuse(known.fd)
        if _CONSTANTS not in source.maps:
            raise UnavailableError(f"BPF object {source.path}: holds no section {_CONSTANTS}")
        source.maps[_CONSTANTS].set_initial(constants.encode())
        source.load()
        for name, each in source.maps.items():
            if not each.is_internal and name not in self.maps:
                self.maps[name] = BpfMap(each.duplicate_fd(), name)
                self.new_maps.add(name)
                if name in self._former:
                    self.maps[name].update(self._former[name].read())
                syscall.pin(self.maps[name].fd, pin.parent.parent / "maps" / name)
        fd = source.duplicate_program_fd(role)
        _repin(fd, pin)
        info = syscall.program_info(fd)
        return Program(role, fd, info.id, info.tag, True)


def _constants(file: Path, devices: HostDevices) -> layouts.Constants:
    constants = layouts.Constants(
        weft0_ifindex=devices.weft0_ifindex,
        weft1_ifindex=devices.weft1_ifindex,
        weft0_mac=bytes.fromhex(devices.weft0_mac.replace(":", "")),
        overlay_port=devices.overlay_port,
        host_tag=devices.host_tag,
        weftx_ifindex=devices.weftx_ifindex,
        wireguard_ifindex=devices.wireguard_ifindex,
        query_every_ns=devices.query_every_ns,
        has_decap_l3=features.has_decap_l3(),
        peer_resets_type=features.peer_resets_type(),
        jiffies_per_s=features.jiffies_per_s(),
        **devices.flows._asdict(),
    )
    digest = hashlib.sha256(file.read_bytes() + constants.encode()).digest()
    return constants._replace(build=digest[:16])


def _is_same_layout(found: BpfMap, declared: ObjectMap) -> bool:
    info = found.info
    return (
        info.type == declared.type
        and info.key_size == declared.key_size
        and info.value_size == declared.value_size
        and info.flags == declared.flags
    )


def _open_current(
    pin: Path, role: str, constants: layouts.Constants, wanted: set[int]
) -> Program | None:
    """The pinned program, when it is what loading would give."""
    try:
        fd = syscall.get_pinned(pin)
    except KernelError:
        return None
    with contextlib.suppress(KernelError):  # the pin may be of another kind
        info = syscall.program_info(fd)
        if info.type == _CLASSIFIER and _is_current(info, constants, wanted):
            return Program(role, fd, info.id, info.tag, False)
    os.close(fd)
    return None


def _is_current(info: syscall.ProgramInfo, constants: layouts.Constants, wanted: set[int]) -> bool:
    used = set()
    values = []
    for each in _open_maps(info.map_ids):
        if each.info.name == _CONSTANTS:
            values.append(each.lookup(bytes(4)))
        elif ".rodata" not in each.info.name:
            used.add(each.info.id)
    return values == [constants.encode()] and used <= wanted


def _open_maps(ids: tuple[int, ...]) -> Iterator[BpfMap]:
    for number in ids:
        with BpfMap(syscall.map_fd(number)) as each:
            yield each


def _repin(fd: int, pin: Path) -> None:
    """Put a program at `pin` instead of the one there; somebody who opens it sees one of both."""
    new = pin.with_name(f"{pin.name}-new")  # the file system refuses names with a dot
    new.unlink(missing_ok=True)
    syscall.pin(fd, new)
    new.rename(pin)
