"""`filters`: which program runs on which device.

A row holds when the device's hook runs the very program that is loaded now (by the kernel's id)
and the device is up: it is brought up only here, so no packet enters before its program does.

A hook that runs another program than the one loaded now (weftd has been upgraded) keeps it until
`replace_outdated`: the new program may read maps that are still to be filled.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable, Iterable, Mapping, Set

from weft.engine.ebpf.tables.filters import FILTERS, FilterKey, FilterValue
from weft.engine.plumbing.device_names import WEFTX
from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.drivers.devices import is_host_end
from weft.engine.rows import RowFailure, RowKey
from weft.errors import KernelError, NotFoundError
from weft.kernel.bpf.programs import Program
from weft.kernel.links import set_up
from weft.kernel.netlink import Request
from weft.kernel.tc import Filter, Hook, add_clsact, delete_filter, filters, replace_filter

Programs = Callable[[], Mapping[str, Program]]


class FilterDriver:
    """See `engine.rows.Driver`."""

    name = FILTERS.name

    def __init__(self, devices: Devices, programs: Programs) -> None:
        """`programs` gives the programs that are loaded now, by role."""
        self._devices = devices
        self._netlink = devices.netlink
        self._programs = programs
        self._wanted: dict[Hashable, Hashable] = {}
        self._outdated: set[Hook] = set()
        """Hooks that ran another program at the last look."""
        self._late: dict[Hashable, Hashable] = {}

    def reattach(self, ifnames: Set[str]) -> list[RowFailure]:
        """Attach again what devices of these names should run: they were made anew."""
        lost: dict[Hashable, Hashable] = {
            key: value
            for key, value in self._wanted.items()
            if isinstance(key, FilterKey) and key.ifname in ifnames
        }
        return self.write(lost, ())

    def attach_new(self) -> list[RowFailure]:
        """Programs were loaded anew: put them where their like is wanted, and runs."""
        return self.write(dict(self._wanted), ())

    def replace_outdated(self) -> list[RowFailure]:
        """All maps are filled: put the programs where others still run."""
        late, self._late = self._late, {}
        self._outdated.clear()
        return self._attach_all(late)

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. A program that is not the one loaded now reads back with its id."""
        self._wanted = dict(desired)
        wanted = {key for key in desired if isinstance(key, FilterKey)}
        wanted |= {FilterKey(link.name) for link in self._devices.all() if is_host_end(link)}
        hooks: dict[Hook, FilterKey] = {}
        for key in wanted:
            link = self._devices.find(key.ifname)
            if link is not None:
                hooks[Hook(link.ifindex, key.hook)] = key
        roles = {program.id: role for role, program in self._programs().items()}
        found: dict[Hashable, Hashable] = {}
        self._late, self._outdated = {}, set()
        for hook, attached in filters(self._netlink, list(hooks)).items():
            key = hooks[hook]
            if attached.program_id not in roles:
                self._outdated.add(hook)
            found[key] = FilterValue(self._describe(key.ifname, attached, roles))
        return found

    def _describe(self, ifname: str, attached: Filter, roles: Mapping[int, str]) -> str:
        link = self._devices.find(ifname)
        role = roles.get(attached.program_id, f"{attached.name} {attached.program_id}")
        return role if link is not None and link.is_up else f"{role} (down)"

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        gone = list(deletes)
        for key in gone:
            self._wanted.pop(key, None)
            self._late.pop(key, None)
        self._wanted.update(upserts)
        late = {key: value for key, value in upserts.items() if self._is_outdated(key)}
        self._late.update(late)
        now = {key: value for key, value in upserts.items() if key not in late}
        return [*self._detach(gone), *self._attach_all(now)]

    def _is_outdated(self, key: Hashable) -> bool:
        assert isinstance(key, FilterKey)
        link = self._devices.find(key.ifname)
        return link is not None and Hook(link.ifindex, key.hook) in self._outdated

    def _attach_all(self, upserts: Mapping[Hashable, Hashable]) -> list[RowFailure]:
        failures: list[RowFailure] = []
        attach: list[tuple[FilterKey, int, list[Request]]] = []
        for key, value in upserts.items():
            assert isinstance(key, FilterKey) and isinstance(value, FilterValue)
            try:
                attach.append(self._attach(key, value))
            except NotFoundError as error:
                failures.append(RowFailure(RowKey(self.name, key), str(error)))
        errors = self._run([(key, requests) for key, _, requests in attach])
        ready = [(key, ifindex) for key, ifindex, _ in attach if key not in errors]
        errors |= self._run([(key, [set_up(ifindex)]) for key, ifindex in ready])
        for key, _ in ready:
            link = self._devices.find(key.ifname)
            if link is not None and key not in errors:
                self._devices.note(link._replace(is_up=True))
        return failures + [RowFailure(RowKey(self.name, key), why) for key, why in errors.items()]

    def _run(self, work: list[tuple[FilterKey, list[Request]]]) -> dict[FilterKey, str]:
        """All requests in as few messages as may be; the first error of each key."""
        owners = [key for key, requests in work for _ in requests]
        answers = self._netlink.run([request for _, requests in work for request in requests])
        errors: dict[FilterKey, str] = {}
        for key, answer in zip(owners, answers):
            if answer.error is not None:
                errors.setdefault(key, _reason(key, answer.error))
        return errors

    def _attach(self, key: FilterKey, value: FilterValue) -> tuple[FilterKey, int, list[Request]]:
        program = self._programs().get(value.program)
        if program is None:
            raise NotFoundError(f"program {value.program}: not loaded")
        ifindex = self._devices.ifindex(key.ifname)
        attach = replace_filter(Hook(ifindex, key.hook), program.fd, value.program)
        return key, ifindex, [add_clsact(ifindex), attach]

    def _detach(self, deletes: Iterable[Hashable]) -> list[RowFailure]:
        """A device that goes takes its filter along, so one that is not there is no failure."""
        requests = []
        for key in deletes:
            assert isinstance(key, FilterKey)
            link = self._devices.find(key.ifname)
            if link is not None and not is_host_end(link):
                requests.append(delete_filter(Hook(link.ifindex, key.hook)))
        self._netlink.run(requests)
        return []


def _reason(key: FilterKey, error: KernelError) -> str:
    if key.ifname == WEFTX and error.errno == errno.EADDRINUSE:
        return (
            f"{error}; another VXLAN device holds its UDP port: remove that, or set overlay_port "
            "to another port on all hosts"
        )
    return str(error)
