"""`wires`: `from_wire` on the devices that hold this host's addresses on the underlay.

On tcx, where the kernel has it: the pinned link says that the hook is Weft's, and other programs
on the device go on. Else on clsact, as on ports. A device on which an earlier program runs keeps it
until `replace_outdated`, as ports do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path

from weft.engine.ebpf.tables.wires import WIRES, WireValue
from weft.engine.plumbing.devices import Devices
from weft.engine.rows import RowFailure, RowKey
from weft.errors import NotFoundError, WeftError
from weft.kernel.addresses import addresses
from weft.kernel.bpf import tcx
from weft.kernel.bpf.programs import Program
from weft.kernel.netlink import Netlink
from weft.kernel.tc import (
    Hook,
    add_clsact,
    delete_clsact,
    delete_filter,
    filters,
    has_filters,
    replace_filter,
)
from weft.model.addresses import IPAddress

PROGRAM = "from_wire"
_LOOPBACK = "lo"


class WireDriver:
    """See `engine.rows.Driver`."""

    name = WIRES.name

    def __init__(
        self,
        devices: Devices,
        programs: Callable[[], Mapping[str, Program]],
        bpffs_dir: Path,
    ) -> None:
        """`programs` gives the programs that are loaded now, by role."""
        self._devices = devices
        self._programs = programs
        self._pins = bpffs_dir / "links"
        self._outdated: set[str] = set()
        """Devices that ran an earlier program at the last look."""
        self._late: dict[str, Hashable] = {}
        """Of them those that are to run the present one, and the row that says so."""
        self._wanted: set[Hashable] = set()
        """Addresses whose devices are to run the program."""

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. Devices that hold none of the desired addresses any more read back by
        their name, so that they are let go."""
        self._wanted = set(desired)
        holders = self._holders()
        held = self._held()
        self._late = {}
        self._outdated = {ifname for ifname in held if self._is_earlier(ifname)}
        found: dict[Hashable, Hashable] = {}
        used = set()
        for address in desired:
            ifname = holders.get(address)
            if ifname is not None:
                used.add(ifname)
                if ifname == _LOOPBACK or self._runs(ifname):
                    found[address] = WireValue(PROGRAM)
        found.update({ifname: WireValue(PROGRAM) for ifname in held - used})
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`. An address that goes leaves its device to the next look, for another
        may need it."""
        for ifname in deletes:
            self._wanted.discard(ifname)
            if isinstance(ifname, str):
                self._detach(ifname)
        self._wanted.update(upserts)
        return self._attach_all(upserts)

    def follow(self) -> list[RowFailure]:
        """Addresses have come to be on other devices than at the last look."""
        return self._attach_all(self._wanted)

    def _attach_all(self, wanted: Iterable[Hashable]) -> list[RowFailure]:
        failures: list[RowFailure] = []
        wanted = list(wanted)
        holders = self._holders() if wanted else {}
        for address in wanted:
            try:
                if address not in holders:
                    raise NotFoundError(f"address {address}: no device of this host holds it")
                ifname = holders[address]
                if ifname in self._outdated:
                    self._late[ifname] = address
                else:
                    self._attach(ifname)
            except (WeftError, OSError) as error:
                failures.append(RowFailure(RowKey(self.name, address), str(error)))
        return failures

    def attach_new(self) -> None:
        """Programs were loaded anew: put this one where the former one runs."""
        for ifname in self._held() - self._outdated:
            if self._devices.find(ifname) is not None:
                self._attach(ifname)

    def replace_outdated(self) -> list[RowFailure]:
        """All maps are filled: put the program where an earlier one still runs."""
        late, self._late = self._late, {}
        self._outdated.clear()
        failures = []
        for ifname, address in late.items():
            try:
                self._attach(ifname)
            except (WeftError, OSError) as error:
                failures.append(RowFailure(RowKey(self.name, address), str(error)))
        return failures

    def _holders(self) -> dict[Hashable, str]:
        """Address -> the device that holds it."""
        netlink = self._devices.netlink
        held: dict[IPAddress, int] = {}
        for entry in addresses(netlink):
            held.setdefault(entry.address, entry.ifindex)
        return {address: self._devices.name(ifindex) for address, ifindex in held.items()}

    def _runs(self, ifname: str) -> bool:
        program = self._programs().get(PROGRAM)
        if program is None:
            return False
        ifindex = self._devices.ifindex(ifname)
        running = tcx.attached(ifindex)
        if running is None:
            found = filters(self._devices.netlink, [Hook(ifindex)])
            running = [each.program_id for each in found.values()]
        return program.id in running

    def _is_earlier(self, ifname: str) -> bool:
        return self._devices.find(ifname) is not None and not self._runs(ifname)

    def _attach(self, ifname: str) -> None:
        program = self._programs().get(PROGRAM)
        if program is None:
            raise NotFoundError(f"program {PROGRAM}: not loaded")
        ifindex = self._devices.ifindex(ifname)
        if ifname == _LOOPBACK or self._runs(ifname):
            return
        if tcx.attached(ifindex) is None:
            netlink = self._devices.netlink
            netlink.do(add_clsact(ifindex), replace_filter(Hook(ifindex), program.fd, PROGRAM))
        else:
            tcx.attach(program.fd, ifindex, self._pin(ifindex))

    def _held(self) -> set[str]:
        """Devices on which the program is, or was."""
        pins = self._pins.glob(f"{PROGRAM}-*") if self._pins.exists() else ()
        names = {self._devices.name(int(pin.name.rpartition("-")[2])) for pin in pins}
        return names | {name for name, _ in clsact_wires(self._devices)}

    def _detach(self, ifname: str) -> None:
        try:
            tcx.detach(self._pin(self._devices.ifindex(ifname)))
        except NotFoundError:
            return  # it went since the last look, and took the program along
        let_go(self._devices, only=ifname)

    def _pin(self, ifindex: int) -> Path:
        return self._pins / f"{PROGRAM}-{ifindex}"


def clsact_wires(devices: Devices) -> list[tuple[str, int]]:
    """(name, ifindex) of devices with the program on clsact."""
    hooks = {Hook(link.ifindex): link.name for link in devices.all() if not _is_port(link.name)}
    found = filters(devices.netlink, list(hooks))
    return [(hooks[hook], hook.ifindex) for hook, each in found.items() if each.name == PROGRAM]


def let_go(devices: Devices, only: str = "") -> None:
    """Take the program off clsact hooks, and hooks away on which nothing is left."""
    netlink: Netlink = devices.netlink
    for name, ifindex in clsact_wires(devices):
        if only in ("", name):
            netlink.run([delete_filter(Hook(ifindex))])
            if not has_filters(netlink, ifindex):
                netlink.run([delete_clsact(ifindex)])


def _is_port(ifname: str) -> bool:
    return ifname.startswith(("weft", "wefc"))
