"""weftd: wires the parts together and runs them until told to stop. Nobody imports it.

    settings -> store -> engine (sink) -> control -> dns, api, docker

Stopping, even by SIGKILL, leaves all that forwards in the kernel; the next start finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import weft
from weft import config, logs

# isort: split
import structlog

from weft.api.context import Context as ApiContext
from weft.api.server import ApiServer
from weft.cancellation import raise_if_cancelled
from weft.cluster.membership import Membership
from weft.cluster.opening import open_membership, open_secrets
from weft.cluster.secret import Secrets
from weft.config import Settings
from weft.control.context import Context, HostRoute
from weft.control.control import Control
from weft.control.upkeep.healing import Healer
from weft.control.upkeep.janitor import Janitor
from weft.control.upkeep.shared_space import SharedSpace
from weft.disk import own_directory
from weft.dns.service import DnsService
from weft.engine.ebpf.compile import functions
from weft.engine.ebpf.rows import WEFT0, WEFT1, WEFTWG, WEFTX
from weft.engine.ebpf.sink import Sink
from weft.engine.engine import Engine
from weft.errors import InvalidError, WeftError
from weft.frontends.docker.finder import DockerFinder
from weft.frontends.docker.service import DockerFrontend
from weft.host import memory
from weft.host.instance import only_instance
from weft.host.ports_by_device import PortsByDevice
from weft.host.targets import HostTargets, is_namespace_there
from weft.ipam.lease import LeaseTimes
from weft.kernel import underlay
from weft.kernel.events import ALL_DEVICES, KernelEvent, KernelEvents
from weft.kernel.group_wire import GroupWire
from weft.kernel.probe_wire import ProbeWire
from weft.kernel.tunnel_traffic import TunnelTraffic
from weft.kernel.underlay_events import UnderlayEvents
from weft.mesh.opening import Opened, open_mesh
from weft.metrics import Metrics
from weft.observers.host.encryption import Encryption
from weft.observers.host.mended_settings import MendedSettings
from weft.observers.host.prefixes import HostPrefixesRecord
from weft.observers.host.record import HostRecord
from weft.observers.multicast.snooper import Snooper
from weft.observers.paths.prober import Prober
from weft.printable import printable_lines
from weft.proxy.keeper import ProxyKeeper
from weft.store.beginning import Places

if TYPE_CHECKING:
    from weft.etcd.opening import EtcdOpened

MOST_LOGGED = 20
"""Of records that cannot be used: all of them are shown on demand."""
RESTART_S = 1.0
"""Before a part that failed starts again."""
_NETWORK = ("device", "address", "route", "routing rule", "lost")
"""Events of which others may hear: how this host is reached, and what it reaches."""
log = structlog.get_logger()


def main() -> None:
    """The process: settings from file and environment, log on standard error.

    Exit code 0, 1 when it could not run, 2 for arguments that it does not take.
    """
    if sys.argv[1:]:
        answer_arguments(sys.argv[1:])
    problems: list[BaseException] = []
    memory.limit_arenas()
    memory.grow()
    try:
        settings = config.load()
        logs.set_up(settings.log_level)
        os.umask(0o022)
        own_directory(Path(settings.state_dir), 0o700, "state-dir")
        with only_instance(settings.pid_file):
            asyncio.run(serve(settings))
    except* WeftError as errors:
        problems = leaves(errors)
    for problem in problems:
        print(f"weftd: {printable_lines(str(problem))}", file=sys.stderr)
    sys.exit(1 if problems else 0)


def answer_arguments(arguments: Sequence[str]) -> NoReturn:
    """weftd takes no settings as arguments, where every process of the host could read them."""
    match arguments:
        case ["--version"]:
            print(f"weftd {weft.__version__}")
        case ["-h" | "--help"]:
            print(
                "Usage: weftd\n\n"
                "The daemon of Weft, in the foreground. It takes its settings from the file in\n"
                "WEFT_CONFIG (/etc/weft/weft.toml) and from the environment; weft up --help\n"
                "lists them, and weft up starts it in the background."
            )
        case _:
            print(
                f"weftd: takes no arguments, got {arguments[0]}; see weftd --help", file=sys.stderr
            )
            sys.exit(2)
    sys.exit(0)


def leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    """The errors of a group, however deep."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


async def serve(settings: Settings) -> None:
    """Run until SIGTERM, SIGINT or a request to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    secrets = open_secrets(settings)
    async with opened_records(settings, secrets) as records:
        membership = open_membership(settings, records, secrets)
        await Daemon(settings, records, membership, stop.set).run_until(stop)


@contextlib.asynccontextmanager
async def opened_records(
    settings: Settings, secrets: Secrets
) -> AsyncIterator[Opened | EtcdOpened]:
    """The records, and who this host is."""
    records = await open_records(settings, secrets)
    try:
        health = records.health()
        if health.set_aside is not None:
            log.error("database was unreadable, set aside", path=str(health.set_aside))
        for bad in health.quarantined[:MOST_LOGGED]:
            log.warning("record quarantined", kind=bad.kind, id=bad.id, reason=bad.reason)
        if len(health.quarantined) > MOST_LOGGED:
            more = len(health.quarantined) - MOST_LOGGED
            log.warning("more records quarantined: weft status problems", count=more)
        yield records
    finally:
        await records.close()


async def open_records(settings: Settings, secrets: Secrets) -> Opened | EtcdOpened:
    """From where the settings say."""
    if settings.store != "mesh":
        from weft.etcd.opening import open_etcd

        return await open_etcd(
            settings,
            secrets,
            lambda: underlay.find(settings.underlay_device, settings.underlay_address).addresses,
            time.time,
            os.urandom,
        )
    if settings.etcd_database.exists():
        raise InvalidError(
            "--store mesh: the records of this host are in etcd; start it with the --store that "
            "it had. To give that up: weft leave, then weft up"
        )
    places = Places(settings.database, settings.host_id_file, settings.start_mark)
    return await open_mesh(places, time.time, os.urandom)


class Daemon:
    """All long-lived parts of one weftd."""

    def __init__(
        self,
        settings: Settings,
        records: Opened | EtcdOpened,
        membership: Membership,
        stop: Callable[[], None],
    ) -> None:
        started_s = time.time()
        store, host_id = records.store, records.host_id
        self._sink = sink = Sink(settings, host_id)
        self._settings = settings
        rows = functions(host_id, is_device=settings.encapsulation == "device")
        self._engine = Engine(store, rows, sink, reconcile_s=settings.reconcile_s)
        self._underlay_events = UnderlayEvents(sink.interest, self._engine.follow_soon)
        context = Context(
            store=store,
            settler=self._engine,
            settings=settings,
            host_id=host_id,
            wall_s=time.time,
            random_bytes=os.urandom,
            host_routes=host_routes,
            targets=HostTargets([DockerFinder(settings)] if settings.docker else []),
        )
        self._control = Control(context, membership, records)
        context.space = self._space = SharedSpace(
            context,
            time.monotonic,
            is_restored=records.is_put_back,
            times=LeaseTimes.of(settings.lease_s),
        )
        self._healer = Healer(context, time.monotonic)
        self._ports = PortsByDevice(store, host_id, sink.ifname)
        self._dns = DnsService(
            settings,
            store,
            host_id,
            self._ports.of_ifindex,
            time.monotonic,
            random.SystemRandom(),
        )
        self._is_database_lost = records.set_aside is not None
        self._membership = membership
        secrets = membership.secrets
        self._host_record = HostRecord(
            store,
            settings,
            host_id,
            self._dns.resolvers,
            lambda: secrets.current_id,
            self._dns.former_resolvers,
        )
        secrets.changed.append(self._host_record.look_again)
        self._host_prefixes = HostPrefixesRecord(store, host_id)
        self._encryption = Encryption(
            store,
            settings,
            host_id,
            self._engine,
            random_bytes=os.urandom,
            notices=self._control.notices,
        )
        self._janitor = Janitor(
            context, self._control.ports, self._control.addresses, is_namespace_there
        )
        self._snooper = Snooper(
            host_id=host_id, store=store, wire=GroupWire(WEFT0), port_of=self._ports.of_ifindex
        )
        self._api = ApiServer(
            ApiContext(
                settings=settings,
                control=self._control,
                engine=self._engine,
                dns=self._dns,
                started_s=started_s,
                stop=stop,
                encryption=self._encryption,
                metrics=Metrics(
                    self._control, self._engine, self._dns, started_s, self._snooper
                ).text,
                multicast=self._snooper,
            )
        )
        self._prober = Prober(
            host_id=host_id,
            store=store,
            wire=ProbeWire(Path(settings.bpffs_dir), settings.overlay_port),
            random_bytes=os.urandom,
            traffic=TunnelTraffic(Path(settings.bpffs_dir)),
        )
        membership.neighbourhood.paths = self._prober.states
        self._prober.on_change = membership.neighbourhood.look_again
        self._proxy = ProxyKeeper(store, host_id)
        self._kernel_events = KernelEvents(self._on_kernel_events)
        self._sweep_due = asyncio.Event()
        self._mended_settings = MendedSettings(self._control.notices, time.time)
        self._engine.on_reconciled = self._on_reconciled

    async def run_until(self, stop: asyncio.Event) -> None:
        """Run all parts; the first that fails ends the others and is raised."""
        await self._host_record.refresh()
        await self._host_prefixes.refresh()
        await self._encryption.prepare()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part, name=name) for name, part in self._parts().items()]
            await stop.wait()
            log.info("weftd stops; what forwards goes on")
            for task in running:
                task.cancel()

    def _parts(self) -> Mapping[str, Coroutine[None, None, None]]:
        parts = {
            "engine": self._run_engine(),
            "kernel events": kept("kernel events", self._kernel_events.run),
            "underlay events": kept("underlay events", self._underlay_events.run),
            "host record": kept("host record", self._host_record.run),
            "host prefixes": kept("host prefixes", self._host_prefixes.run),
            "prober": kept("prober", self._probe),
            "proxy": kept("proxy", self._proxy_ports),
            "multicast": kept("multicast", self._snoop),
            "membership": kept("membership", self._membership.run),
            "encryption": kept("encryption", self._encryption.run),
            "address blocks": kept("address blocks", self._space.run),
            "healer": kept("healer", self._healer.run),
            "janitor": kept("janitor", self._sweep),
            "dns": self._serve_names(),
            "api": self._api.run(),
            "ready": self._tell_ready(),
        }
        if self._settings.docker:
            parts["docker"] = kept("docker", self._serve_docker)
        return parts

    async def _run_engine(self) -> None:
        if self._is_database_lost:
            await self._membership.find_lost_records()
        await self._engine.run()

    async def _serve_names(self) -> None:
        await self._engine.ready.wait()
        self._dns.watch_resolvers(lambda resolvers: self._host_record.look_again())
        await self._dns.run()

    async def _probe(self) -> None:
        await self._engine.ready.wait()
        await self._prober.run()

    async def _proxy_ports(self) -> None:
        await self._engine.ready.wait()
        await self._proxy.run()

    async def _snoop(self) -> None:
        await self._engine.ready.wait()
        await self._snooper.run()

    async def _serve_docker(self) -> None:
        await self._engine.ready.wait()
        await DockerFrontend(self._settings, self._control).run()

    async def _sweep(self) -> None:
        while True:
            await self._sweep_due.wait()
            self._sweep_due.clear()
            try:
                await self._janitor.sweep()
            except WeftError as error:
                log.warning("sweep not finished", reason=str(error))

    async def _tell_ready(self) -> None:
        await self._engine.ready.wait()
        memory.settle()
        log.info("weftd is ready", host=self._settings.name, version=weft.__version__)
        notify_service_manager("READY=1")

    def _on_reconciled(self) -> None:
        self._mended_settings.tell(self._sink.mended_settings)
        self._sweep_due.set()

    def _on_kernel_events(self, events: Sequence[KernelEvent]) -> None:
        if any(event.is_damage and self._is_wanted(event) for event in events):
            self._engine.repair_soon()
        if any(
            event.subject in _NETWORK and not self._device_of(event).startswith("wef")
            for event in events
        ):
            self._host_record.look_again()
            self._host_prefixes.look_again()
            self._membership.network_changed()

    def _is_wanted(self, event: KernelEvent) -> bool:
        """Whether it is about something that shall be there: not what Weft itself just removed."""
        is_general = event.subject in ("rules", "routing rule", "lost")
        if is_general or event.ifindex == ALL_DEVICES:
            return True
        ifname = self._device_of(event)
        return ifname in (WEFT0, WEFT1, WEFTWG, WEFTX) or self._ports.of_ifname(ifname) is not None

    def _device_of(self, event: KernelEvent) -> str:
        """Empty: a device that weftd has not met, or that is gone."""
        return event.ifname or self._sink.ifname(event.ifindex) or ""


async def kept(name: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a part that the others can do without; a fault in it is logged and it starts again."""
    while True:
        try:
            # In a task of its own: Python before 3.12.8 leaves one whose TaskGroup failed behind
            # as if somebody had asked it to end.
            return await asyncio.create_task(run(), name=name)
        except Exception:
            log.exception("fault in weftd, this part starts again", part=name)
            raise_if_cancelled()
            await asyncio.sleep(RESTART_S)


def host_routes() -> list[HostRoute]:
    """Routes of this host that are not Weft's."""
    return [HostRoute(*route) for route in underlay.host_routes()]


def notify_service_manager(message: str) -> None:
    """Tell systemd, if it started us (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.sendto(message.encode(), "\0" + path[1:] if path.startswith("@") else path)


if __name__ == "__main__":
    main()
