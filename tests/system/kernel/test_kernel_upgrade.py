"""A release in which maps have other names takes over from the last one: not one packet is lost."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.bpf.renaming import families, next_name, renamed
from tests.system.kernel.conftest import PATIENCE, run
from tests.system.kernel.test_kernel_sink import (
    FOO,
    GUARDED,
    OTHER,
    ROUTED,
    Rows,
    port,
    rows_of,
    settle,
)
from tests.system.pings import Pings
from weft.config import Settings
from weft.engine.ebpf import sink as sink_module
from weft.engine.ebpf.drivers.filters import FilterDriver
from weft.engine.ebpf.sink import Sink
from weft.engine.ebpf.tables import MAPS
from weft.engine.rows import RowFailure
from weft.kernel import netns
from weft.kernel.bpf import counters, programs, tcx
from weft.kernel.bpf.libbpf import Object
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.bpf.programs import ROLES, DataPlane, HostDevices
from weft.kernel.tunnel_traffic import MAP, WAYS_MAP
from weft.model.addresses import ip_address, ip_network
from weft.model.ids import SubnetId
from weft.model.records import Subnet

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("addresses")]

FILLED = [MAP, WAYS_MAP, *(table.map_name for table in MAPS)]
"""Maps that weftd fills, all of which carry forwarding."""
SECOND = Subnet(
    id=SubnetId("4" * 16),
    cidr=ip_network("10.7.0.0/24"),
    network_id=FOO.id,
    gateway=ip_address("10.7.0.1"),
)


def every_map() -> list[str]:
    """Also those that programs write."""
    found: set[str] = set()
    for role in ROLES:
        with Object(programs.OBJECTS / f"{role}.o") as opened:
            found.update(name for name, each in opened.maps.items() if not each.is_internal)
    assert found > {*FILLED, counters.COUNTERS}
    return sorted(found)


class Renamed(dict[str, BpfMap]):
    """Maps by their next names, which are found by those that this weftd knows as well."""

    def __missing__(self, name: str) -> BpfMap:
        if name == next_name(name):
            raise KeyError(name)
        return self[next_name(name)]


class Releases:
    """Makes sinks of other releases."""

    def __init__(self, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._settings = settings
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._number = 0

    def begin(self, names: Iterable[str]) -> Sink:
        """One in which these maps have their next names, started beside what is there."""
        names = list(names)
        self._number += 1
        copy = renamed(programs.OBJECTS, self._folder / str(self._number), names)

        class OtherPlane(DataPlane):
            @classmethod
            def load(cls, bpffs_dir: Path, devices: HostDevices) -> DataPlane:  # type: ignore[override]
                plane = DataPlane.load(bpffs_dir, devices, copy)
                plane.maps = Renamed(plane.maps)
                return plane

        self._monkeypatch.setattr(sink_module, "DataPlane", OtherPlane)
        made = Sink(self._settings)
        made.start()
        return made


@pytest.fixture
def releases(
    sink: Sink, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Releases]:
    with monkeypatch.context() as patch:
        yield Releases(settings, tmp_path, patch)


@pytest.fixture
def workloads(new_netns: Callable[[], str]) -> list[str]:
    return [new_netns() for _ in range(3)]


@pytest.fixture
def desired(workloads: list[str]) -> Rows:
    """Something in every map: two neighbours, one of them with rules, one behind the gateway, one
    on another host, and a router."""
    group = (ip_address("239.1.1.1"),)
    return rows_of(
        SECOND,
        port(1, path=workloads[0], multicast_groups=group),
        port(2, path=workloads[1], groups=(GUARDED[0].id,)),
        *GUARDED,
        *ROUTED,
        port(3, path=workloads[2], addresses=(ip_address("10.7.0.4"),)),
        port(4, addresses=tuple(map(ip_address, ("10.5.0.5", "10.5.0.6"))), multicast_groups=group),
        OTHER,
        port(5, host_id=OTHER.id, multicast_groups=group),
    )


def pinging(path: str, targets: Sequence[str]) -> Pings:
    """Pings from a namespace to each address, which answers by now."""

    def start(*words: str, stdin: int) -> subprocess.Popen[str]:
        return subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, text=True)

    with netns.entered(path):
        for target in targets:
            run(f"ping -n -c 1 -W {5 * PATIENCE:g} {target}")
        return Pings(start, targets, 0.002 * PATIENCE)


def test_no_packet_is_lost_whichever_map_is_renamed(
    sink: Sink, releases: Releases, desired: Rows, workloads: list[str]
) -> None:
    """To a neighbour, through the gateway, and to the host and back; map after map, then back."""
    settle(sink, desired)
    pings = pinging(workloads[0], ("10.5.0.3", "fd05::3", "10.7.0.4", "192.0.2.10"))
    names: list[str] = []
    # One by one, but for an emulated machine, where each release takes long.
    steps = families(every_map()) if PATIENCE == 1 else [every_map()]
    for family in [*steps, None]:
        names = [*names, *family] if family else []
        release = releases.begin(names)
        settle(release, desired)
        release.stop()
    pings.end_whole(10)


def contents(bpffs: Path, names: Iterable[str]) -> dict[str, dict[bytes, bytes]]:
    found = {}
    for name in names:
        with BpfMap.open(bpffs / "maps" / name) as each:
            found[name] = each.read()
    return found


def running() -> tuple[str, list[int] | None]:
    """Programs on all clsact hooks, and on the underlay's device by tcx."""
    return run("bpftool net show"), tcx.attached(socket.if_nametoindex("up9"))


def test_programs_take_over_when_all_maps_are_full(
    sink: Sink,
    releases: Releases,
    desired: Rows,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settle(sink, desired)
    bpffs = Path(settings.bpffs_dir)
    before = contents(bpffs, FILLED)
    empty = {name for name, entries in before.items() if not entries}
    assert not empty
    former = running()
    seen: list[dict[str, dict[bytes, bytes]]] = []
    replace = FilterDriver.replace_outdated

    def replace_outdated(table: FilterDriver) -> list[RowFailure]:
        seen.append(contents(bpffs, map(next_name, FILLED)))
        if len(seen) == 1:
            assert running() == former
        return replace(table)

    monkeypatch.setattr(FilterDriver, "replace_outdated", replace_outdated)
    release = releases.begin(every_map())
    settle(release, desired)
    release.stop()
    assert running() != former
    assert seen[0] == {next_name(name): entries for name, entries in before.items()}
    pins = {pin.name for pin in (bpffs / "maps").iterdir()}
    assert pins == set(map(next_name, every_map()))


def test_an_upgrade_that_died_before_it_filled_the_maps_is_finished_by_the_next_start(
    sink: Sink, releases: Releases, desired: Rows, workloads: list[str]
) -> None:
    """The maps are there then, and not new, and still empty."""
    settle(sink, desired)
    pings = pinging(workloads[0], ("10.5.0.3", "10.7.0.4"))
    releases.begin(every_map()).stop()
    release = releases.begin(every_map())
    settle(release, desired)
    release.stop()
    pings.end_whole(10)


def test_a_map_that_loses_its_pin_loses_no_packet(
    sink: Sink, desired: Rows, settings: Settings, workloads: list[str]
) -> None:
    settle(sink, desired)
    pings = pinging(workloads[0], ("10.5.0.3", "10.7.0.4"))
    for name in ("macs_v1", "addresses_v1", "ports_v2"):
        (Path(settings.bpffs_dir) / "maps" / name).unlink()
        settle(sink, desired)
    pings.end_whole(10)
