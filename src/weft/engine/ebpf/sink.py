"""The ebpf engine's sink: makes the rows of all tables true on this host, and reads them back.

Everything here runs in one thread, in the network namespace in which `start` was called. What
forwards lives in the kernel: pinned programs and maps, devices, filters, routes, one nftables
table. A sink that goes away takes none of it along; one that starts finds it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path

import structlog

from weft.config import Settings
from weft.engine.ebpf.drivers.filters import FilterDriver
from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.drivers.nftables import NftDriver
from weft.engine.ebpf.drivers.overlay_devices import OverlayDeviceDriver
from weft.engine.ebpf.drivers.peers import PeerDriver
from weft.engine.ebpf.drivers.ports import PortDriver
from weft.engine.ebpf.drivers.tunnels import TunnelDriver
from weft.engine.ebpf.drivers.wires import WireDriver, let_go
from weft.engine.ebpf.enforcement import Enforcement
from weft.engine.ebpf.flow_settings import flow_limits
from weft.engine.ebpf.gone_devices import GoneDevices
from weft.engine.ebpf.next_hops import NextHops
from weft.engine.ebpf.ruleset.chains import HostPorts
from weft.engine.ebpf.tables import MAPS, TABLES
from weft.engine.ebpf.tables.filters import FILTERS
from weft.engine.ebpf.tables.peers import OWN_MAP, PEERS
from weft.engine.ebpf.ways import Ways
from weft.engine.plumbing.device_names import PORT_DEVICE, WEFT0, WEFTWG, WEFTX
from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.drivers.devices import DeviceDriver, delete_devices
from weft.engine.plumbing.drivers.host_addresses import HostAddressDriver
from weft.engine.plumbing.drivers.host_routes import HostRouteDriver
from weft.engine.plumbing.drivers.query_routes import QueryRouteDriver
from weft.engine.plumbing.drivers.rules import RuleDriver, remove_rules
from weft.engine.plumbing.drivers.wireguard import WireGuardDriver
from weft.engine.plumbing.drivers.wireguard_peers import WireGuardPeerDriver
from weft.engine.plumbing.foreign_chains import open_ports
from weft.engine.plumbing.host_door import ensure_loopback, ensure_pair
from weft.engine.plumbing.host_settings import HostSettings, Mended
from weft.engine.plumbing.tables.host_routes import OWN_ROUTES, OWN_TABLE
from weft.engine.plumbing.tables.wireguard import WIREGUARD
from weft.engine.rows import Driver, RowFailure, RowKey
from weft.engine.steps import Step, additions, leavings, removals
from weft.errors import KernelError, WeftError
from weft.kernel import underlay
from weft.kernel.bpf import counters, programs
from weft.kernel.bpf.counters import PortCounters
from weft.kernel.bpf.maps import BpfMap
from weft.kernel.bpf.programs import DataPlane, HostDevices, Program
from weft.kernel.links import Link
from weft.kernel.netlink import Netlink
from weft.kernel.tunnel_traffic import MAP as TUNNEL_MAP
from weft.kernel.tunnel_traffic import WAYS_MAP
from weft.kernel.underlay_events import Interest
from weft.kernel.wireguard import device as wireguard
from weft.model.ids import HostId, host_tag
from weft.semantics.overhead import network_mtu_bytes

log = structlog.get_logger()

_SECOND_NS = 1_000_000_000
_LAST_READ_BY_PROGRAMS = [table for table in TABLES if table.is_read_by_programs][-1]
Tables = Mapping[str, Mapping[Hashable, Hashable]]


class Sink:
    """See `engine.sink.Sink`."""

    def __init__(self, settings: Settings, host_id: HostId | None = None) -> None:
        """host_id: whose tag the programs tell to others; None: to purge, or for a host alone."""
        self._settings = settings
        self._tag = host_tag(host_id) if host_id is not None else 0
        self._bpffs_dir = Path(settings.bpffs_dir)
        self._run_dir = Path(settings.run_dir)
        self._host_settings = HostSettings(Path(settings.run_dir))
        self._devices: Devices | None = None
        self._gone = GoneDevices()
        self._plane: DataPlane | None = None
        self._nftables: NftDriver | None = None
        self._routes: Sequence[HostRouteDriver] = ()
        self._drivers: dict[str, Driver] = {}

    def start(self) -> None:
        """Prepare what all rows need. Nothing happens when it is there."""
        if not self._drivers:
            self._open()
        self._ensure_base()

    def _open(self) -> None:
        devices = self._devices = Devices(Netlink())
        ways = Ways()
        self._enforcement = Enforcement(self._map, devices, ways)
        names = self._enforcement.names
        self._nftables = NftDriver(open_ports(self._settings), HostPorts.of(self._settings))
        self._routes = (
            HostRouteDriver(devices),
            HostRouteDriver(devices, OWN_ROUTES, OWN_TABLE),
        )
        self._port_devices = DeviceDriver(devices)
        self._filters = FilterDriver(devices, self._programs)
        self._next_hops = NextHops(devices.netlink)
        self._tunnels = TunnelDriver(
            self._next_hops, ways, self._opener(TUNNEL_MAP), self._opener(WAYS_MAP)
        )
        self._overlay = OverlayDeviceDriver(devices, self._settings.overlay_port)
        state_dir = Path(self._settings.state_dir)
        self._wireguard = WireGuardDriver(devices, self._run_dir, state_dir, self._tell_programs)
        self._wireguard_peers = WireGuardPeerDriver(devices, self._run_dir, state_dir)
        self._wires = WireDriver(devices, self._programs, self._bpffs_dir)
        self._addresses = self._enforcement.addresses
        special: list[Driver] = [
            self._tunnels,
            self._overlay,
            self._wires,
            self._port_devices,
            self._filters,
            PortDriver(self._maps, devices, names, self._enforcement.port_changing),
            PeerDriver(self._opener(PEERS.map_name), self._opener(OWN_MAP), self._tag, names),
            *self._enforcement.drivers,
            HostAddressDriver(devices),
            *self._routes,
            RuleDriver(devices),
            QueryRouteDriver(devices),
            self._nftables,
            self._wireguard,
            self._wireguard_peers,
        ]
        plain = (MapDriver(table, self._opener(table.map_name), names) for table in MAPS)
        self._drivers = {driver.name: driver for driver in (*plain, *special)}
        assert self._drivers.keys() == {table.name for table in TABLES}

    def _ensure_base(self, *, is_encrypted: bool = False) -> None:
        """weft0, weft1, weftx and, if wanted, weftwg, the host's settings, and programs that know
        these devices."""
        assert self._devices is not None
        try:
            mtu_bytes = self.network_mtu_bytes()
            for driver in self._routes:
                driver.mtu_bytes = mtu_bytes
        except WeftError:
            # An underlay that is away for a while must not keep the rest from being mended.
            if not all(driver.mtu_bytes for driver in self._routes):
                raise
        pair = ensure_pair(self._devices)
        self._host_settings.ensure(pair.weft0_ifindex)
        ensure_loopback(self._devices, pair.weft0_ifindex)
        facts = HostDevices(
            pair.weft0_ifindex,
            pair.weft0_mac,
            pair.weft1_ifindex,
            weftx_ifindex=self._overlay.ensure(),
            wireguard_ifindex=self._wireguard.ensure(is_encrypted),
            host_tag=self._tag,
            overlay_port=self._settings.overlay_port,
            query_every_ns=_SECOND_NS // self._settings.dns_queries_per_s,
            flows=flow_limits(self._settings),
            flow_entries=self._settings.flow_entries,
        )
        programs.mount_bpffs(self._bpffs_dir)
        former, self._plane = self._plane, DataPlane.load(self._bpffs_dir, facts)
        if former is not None:
            self._plane.inherit(former)
            former.close()
        counters.begin(self._plane.maps, [pair.weft1_ifindex])

    def _tell_programs(self) -> None:
        """weftwg is new between two looks, and the programs must know it."""
        self._ensure_base(is_encrypted=True)
        self._filters.attach_new()
        self._wires.attach_new()

    def network_mtu_bytes(self) -> int:
        """The MTU for networks that name none, by the settings and the underlay as it is now."""
        wanted = self._settings
        if wanted.mtu_bytes:
            return wanted.mtu_bytes
        found = underlay.find(wanted.underlay_device, wanted.underlay_address)
        return network_mtu_bytes(found.mtu_bytes, found.addresses)

    def actual(self, desired: Tables) -> dict[str, dict[Hashable, Hashable]]:
        """The rows that are there; what they rest on (weft0, programs, maps) is mended first."""
        self._ensure_base(is_encrypted=bool(desired.get(WIREGUARD.name)))
        assert self._devices is not None
        self._devices.refresh()
        self._gone.forget(self._maps(), self._devices)
        self._enforcement.begin_look()
        found = {each.name: self._read(each.name, desired.get(each.name, {})) for each in TABLES}
        self._enforcement.end_look()
        return found

    def _read(self, name: str, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        try:
            return self._drivers[name].read(desired)
        except (WeftError, OSError):
            raise
        except Exception:
            # A fault of weftd itself, by one row's doing: the rest must still come about.
            log.exception("fault in weftd: table not read", table=name)
            return {}

    def _write(self, step: Step) -> list[RowFailure]:
        name, upserts, deletes = step.table.name, step.upserts, step.deletes
        if not upserts and not deletes:
            return []
        driver = self._drivers[name]
        try:
            return driver.write(upserts, deletes)
        except (WeftError, OSError) as error:
            # The kernel refused it as a whole: the other tables must still come about.
            return [RowFailure(RowKey(name, key), str(error)) for key in (*upserts, *deletes)]
        except Exception:
            log.exception("fault in weftd: table not written, its rows are tried one by one")
        parts: list[tuple[Hashable, Mapping[Hashable, Hashable], tuple[Hashable, ...]]] = [
            *((key, {}, (key,)) for key in deletes),
            *((key, {key: value}, ()) for key, value in upserts.items()),
        ]
        failures: list[RowFailure] = []
        for key, upsert, gone in parts:
            try:
                failures += driver.write(upsert, gone)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                failures.append(RowFailure(RowKey(name, key), reason))
        return failures

    def apply(
        self, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]
    ) -> list[RowFailure]:
        """Make the changes; see `engine.steps`."""
        failures: list[RowFailure] = []
        for step in removals(TABLES, deletes):
            failures += self._write(step)
        for step in additions(TABLES, upserts, deletes):
            self._enforcement.before(step, upserts, deletes)
            failures += self._write(step)
            table = step.table
            if table is WIREGUARD and step.upserts:
                # A new device: by it tunnels now go, and it holds an address of this host's.
                failures += [*self._tunnels.follow(), *self._wires.follow()]
            if table is FILTERS:
                remade = self._port_devices.take_remade()
                failures += self._filters.reattach(remade) if remade else []
                self._port_devices.await_ready()
            if table is _LAST_READ_BY_PROGRAMS:
                failures += self._replace_programs()
        for step in leavings(TABLES, deletes):
            failures += self._write(step)
        self._enforcement.finish()
        self._addresses.announce()
        return failures

    def _replace_programs(self) -> list[RowFailure]:
        """Programs loaded anew take over where others run; then nothing needs the former maps."""
        assert self._plane is not None
        failures = [*self._filters.replace_outdated(), *self._wires.replace_outdated()]
        if not failures:
            self._plane.forget_former()
        return failures

    def follow(self) -> list[RowFailure]:
        """Routes or neighbours changed: find the next hops of tunnels again. Handshakes of
        WireGuard that were left to others begin when it is time, and so does what neighbours are
        told and had to wait."""
        self._addresses.announce()
        self._enforcement.tidy()
        return [*self._tunnels.follow(), *self._wireguard_peers.follow()]

    @property
    def follow_in_s(self) -> float | None:
        """See `engine.sink.Sink.follow_in_s`."""
        if not self._drivers:
            return None
        due_s = (
            self._wireguard_peers.follow_in_s,
            self._addresses.announce_in_s,
            self._enforcement.tidy_in_s,
        )
        return min((each for each in due_s if each is not None), default=None)

    @property
    def mended_settings(self) -> Sequence[Mended]:
        """Settings of the kernel that others changed; for any thread."""
        return self._host_settings.mended

    def interest(self) -> Interest:
        """Which of the kernel's news `follow` wants; for any thread."""
        return self._next_hops.interest if self._drivers else Interest()

    def counters(self) -> dict[str, PortCounters]:
        """Traffic by ifname of the host's end."""
        devices = self._devices
        assert devices is not None
        found = counters.read(self._maps())
        return {devices.name(each): found[each] for each in found if devices.is_there(each)}

    def ifname(self, ifindex: int) -> str | None:
        """Name of a device as of the last look; for any thread. None: there is none."""
        devices = self._devices
        name = devices.name(ifindex) if devices is not None else "#"
        return None if name.startswith("#") else name

    def stop(self) -> None:
        """Give back file descriptors; what forwards goes on."""
        if self._plane is not None:
            self._plane.close()
            self._plane = None
        if self._nftables is not None:
            self._nftables.close()
            self._nftables = None
        if self._drivers:
            self._addresses.close()
        if self._devices is not None:
            self._devices.netlink.close()
            self._devices = None
        self._drivers = {}

    def purge(self) -> None:
        """Remove all that Weft made on this host and nothing else. Gathers what cannot be."""
        problems: list[Exception] = []
        for step in (self._purge_devices, self._purge_rules, self._purge_programs):
            try:
                step()
            except (WeftError, OSError) as error:
                problems.append(error)
        with contextlib.suppress(WeftError):
            self._host_settings.restore()
        if problems:
            raise ExceptionGroup("purge: not all of it could be removed", problems)

    def _purge_devices(self) -> None:
        with Netlink() as netlink:
            NextHops(netlink).give_back()
            remove_rules(netlink)
            wireguard.remove(netlink, WEFTWG, self._run_dir)
            devices = Devices(netlink)
            devices.refresh()
            let_go(devices)
            names = [link.name for link in devices.all() if _is_own(link)]
            for name, why in delete_devices(netlink, names).items():
                raise KernelError(f"delete device {name}", 16, why)

    def _purge_rules(self) -> None:
        driver = NftDriver(open_ports(self._settings))
        try:
            driver.purge()
        finally:
            driver.close()

    def _purge_programs(self) -> None:
        self.stop()
        programs.purge(self._bpffs_dir)

    def _programs(self) -> Mapping[str, Program]:
        assert self._plane is not None
        return self._plane.programs

    def _maps(self) -> Mapping[str, BpfMap]:
        assert self._plane is not None
        return self._plane.maps

    def _map(self, name: str) -> BpfMap:
        return self._maps()[name]

    def _opener(self, name: str) -> Callable[[], BpfMap]:
        return lambda: self._maps()[name]


def _is_own(link: Link) -> bool:
    if link.kind == "vxlan":
        return link.name == WEFTX
    return link.kind == "veth" and (
        link.name == WEFT0 or PORT_DEVICE.fullmatch(link.name) is not None
    )
