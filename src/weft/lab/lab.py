"""Hosts on one machine: up, status, down. Each may be repeated, and resumed after a crash."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from weft.errors import InvalidError, NotFoundError, UnavailableError
from weft.lab import processes
from weft.lab.command import run
from weft.lab.host import LabHost, Setting
from weft.lab.layout import (
    OUTSIDE,
    OUTSIDE_READY,
    RUN_ROOT,
    STATE_ROOT,
    Layout,
    host_names,
    host_number,
)
from weft.lab.mounts import is_mounted
from weft.lab.node import Node, remove_tree
from weft.lab.processes import ProcessRecord
from weft.lab.status import HostStatus, LabStatus, OutsideStatus
from weft.lab.underlay import Underlay
from weft.readiness import ready

Progress = Callable[[str], None]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a lab shall have; kept in its run directory."""

    boot: str
    """The kernel's boot id: after a reboot nothing of a lab's is left but files."""
    hosts: int
    has_docker: bool
    mtu_bytes: int
    settings: dict[str, Setting]


class Lab:
    """The lab of a name. All methods need root."""

    def __init__(self, name: str, progress: Progress = lambda _: None) -> None:
        self.layout = Layout(name)
        self.name = name
        self.underlay = Underlay(self.layout)
        self.outside = Node(self.layout.node(OUTSIDE))
        self._say = progress

    @property
    def is_made(self) -> bool:
        """Whether there is such a lab, whole or in part."""
        return self._wanted() is not None

    def hosts(self) -> list[LabHost]:
        """All hosts that the lab shall have."""
        wanted = self._wanted()
        if wanted is None:
            raise NotFoundError(f"lab {self.name!r} is not up; `weft lab up` makes it")
        return [self._host(name) for name in host_names(wanted.hosts)]

    def host(self, name: str) -> LabHost:
        """One host; NotFoundError when the lab has no such."""
        host_number(name)
        self.hosts()
        host = self._host(name)
        host.check_made()
        return host

    def node(self, name: str) -> Node:
        """A host or the outside."""
        if name != OUTSIDE:
            return self.host(name)
        self.hosts()
        self.outside.check_made()
        return self.outside

    def up(
        self,
        hosts: int | None = None,
        *,
        has_docker: bool = False,
        mtu_bytes: int = 1500,
        settings: Mapping[str, Setting] | None = None,
        has_weftd: bool = True,
        is_joined: bool = True,
    ) -> None:
        """Make what is not there, start what does not run, leave the rest alone.

        `hosts` None: as many as there are, else one. A lab never gets fewer; `mtu_bytes` and
        `settings` are for hosts that are made now. `has_weftd` False leaves weftd to the caller.
        `is_joined`: new hosts join the first one; else each is a cluster of its own.
        """
        check_root()
        with self._lock():
            self._forget_other_boot()
            old = self._wanted()
            wanted = Wanted(
                boot=_boot(),
                hosts=max(hosts or 1, old.hosts if old else 0),
                has_docker=has_docker or (old is not None and old.has_docker),
                mtu_bytes=old.mtu_bytes if old else mtu_bytes,
                settings={**(old.settings if old else {}), **(settings or {})},
            )
            host_names(wanted.hosts)
            self._wanted_file.write_bytes(msgspec.json.encode(wanted))
            self._make_outside(wanted)
            for name in host_names(wanted.hosts):
                self._start_host(self._host(name), wanted, has_weftd, is_joined=is_joined)

    def start(self, name: str) -> None:
        """Start what does not run on one host."""
        check_root()
        host = self.host(name)
        wanted = self._wanted()
        assert wanted is not None
        with self._lock():
            self._start_host(host, wanted, has_weftd=True, is_joined=True)

    def down(self) -> None:
        """End the lab and all that is in it. All failures are gathered; what can go, goes."""
        check_root()
        if not self.layout.run.exists() and not self.layout.state.exists():
            return
        with self._lock():
            failures: list[Exception] = []
            for step, what in self._teardown():
                self._say(what)
                try:
                    step()
                except UnavailableError as error:
                    failures.append(error)
                except OSError as error:
                    failures.append(UnavailableError(f"{what}: {error}"))
            if failures:
                raise ExceptionGroup(f"lab {self.name!r} is not all gone", failures)
            self._remove_directories()

    def status(self) -> LabStatus:
        """How everything is now."""
        check_root()
        hosts = [self._host_status(host) for host in self.hosts()]
        layout = self.outside.layout
        return LabStatus(
            name=self.name,
            outside=OutsideStatus(
                address=layout.address4,
                address6=layout.address6,
                state="running" if self._server.read() else "stopped",
                log=str(layout.logs / "outside.log"),
            ),
            hosts=hosts,
        )

    def _host_status(self, host: LabHost) -> HostStatus:
        process = host.weftd if host.is_made else None
        wanted = self._wanted()
        assert wanted is not None
        return HostStatus(
            name=host.name,
            address=host.layout.address4,
            address6=host.layout.address6,
            state="running" if process else "stopped",
            is_cut=host.is_made and self.underlay.is_cut(host),
            cuts=self.underlay.broken_links(host) if host.is_made else [],
            weftd_pid=process.pid if process else None,
            weftd_socket=str(host.api_socket),
            dockerd_pid=host.engine.pid,
            docker_socket=str(host.engine.socket) if wanted.has_docker else None,
            logs=[str(host.weftd_log), *([str(host.engine.log_file)] if wanted.has_docker else [])],
        )

    def _make_outside(self, wanted: Wanted) -> None:
        self._mount_run()
        self.underlay.make()
        self._make_node(self.outside, wanted)
        if self._server.read() is None:
            self._say("starting the outside: web server and resolver")
            self._start_server()

    def _start_host(
        self, host: LabHost, wanted: Wanted, has_weftd: bool, *, is_joined: bool
    ) -> None:
        self._make_node(host, wanted)
        host.configure(wanted.settings)
        first = self._host("h1")
        member = first if is_joined and host.name != first.name else None
        if has_weftd and host.start_weftd(member):
            self._say(f"{host.name}: weftd is up")
        if wanted.has_docker and host.start_docker():
            self._say(f"{host.name}: the Docker engine is up")
            host.engine.import_image()

    def _make_node(self, node: Node, wanted: Wanted) -> None:
        if not node.is_made:
            self._say(f"making {node.name} at {node.layout.address4}")
        node.make(self._etc(node))
        self.underlay.plug(node, wanted.mtu_bytes)

    def _etc(self, node: Node) -> dict[str, str]:
        """What a node sees in /etc."""
        outside = self.outside.layout
        return {
            "hostname": f"{node.name}\n",
            "hosts": f"127.0.0.1 localhost {node.name}\n::1 localhost\n",
            "resolv.conf": f"nameserver {outside.address4}\nnameserver {outside.address6}\n",
        }

    def _start_server(self) -> None:
        layout = self.outside.layout
        log = layout.logs / "outside.log"
        log.unlink(missing_ok=True)
        names = [
            word
            for number in range(1, 10)
            for host in [self.layout.node(f"h{number}")]
            for address in (host.address4, host.address6)
            for word in (f"{host.name}.example", str(address))
        ]
        command = [sys.executable, "-m", "weft.lab.outside"]
        addresses = [str(layout.address4), str(layout.address6)]
        process = processes.start(
            [*self.outside.enter, *command, *addresses, *names],
            self._server,
            log,
            self.outside.environment,
        )
        processes.wait_until(
            f"the outside answers (see {log})",
            lambda: OUTSIDE_READY in log.read_text().splitlines() or not process.is_running,
            timeout_s=120,
        )
        if not process.is_running:
            raise UnavailableError(f"the outside's server ended at once; see {log}")

    def _teardown(self) -> Iterator[tuple[Callable[[], None], str]]:
        names = sorted(entry.name for entry in self._entries() if entry.name.startswith("h"))
        for name in names:
            yield self._host(name).discard, f"stopping {name}"
        yield self.outside.remove, "stopping the outside"
        yield self.underlay.remove, "removing the underlay"

    def _entries(self) -> list[Path]:
        found = {}
        for root in (self.layout.run, self.layout.state):
            if root.exists():
                found.update({entry.name: entry for entry in root.iterdir() if entry.is_dir()})
        return list(found.values())

    def _remove_directories(self) -> None:
        while is_mounted(self.layout.run):
            run(["umount", "--lazy", str(self.layout.run)])  # our lock holds it open
        remove_tree(self.layout.state)
        remove_tree(self.layout.run)
        for root in (STATE_ROOT, RUN_ROOT):
            with suppress(OSError):  # another lab is there, or has just removed it
                root.rmdir()

    def _host(self, name: str) -> LabHost:
        return LabHost(self.layout.node(name))

    @property
    def _server(self) -> ProcessRecord:
        return ProcessRecord(self.outside.layout.directory / "server.json")

    @property
    def _wanted_file(self) -> Path:
        return self.layout.run / "lab.json"

    def _wanted(self) -> Wanted | None:
        try:
            wanted = msgspec.json.decode(self._wanted_file.read_bytes(), type=ready(Wanted))
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return wanted if wanted.boot == _boot() else None

    def _mount_run(self) -> None:
        """Namespace files need a mount that does not propagate (unshare(1), --mount)."""
        if not is_mounted(self.layout.run):
            run(["mount", "--bind", str(self.layout.run), str(self.layout.run)])
            run(["mount", "--make-private", str(self.layout.run)])

    def _forget_other_boot(self) -> None:
        """Where /run outlives a reboot, what is in it means nothing any more."""
        if self._wanted_file.exists() and self._wanted() is None:
            for entry in self.layout.run.iterdir():
                if entry.is_dir():
                    remove_tree(entry)
            self._wanted_file.unlink()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One command at a time may change a lab; the directory itself is what is locked."""
        while True:
            self.layout.run.mkdir(mode=0o711, parents=True, exist_ok=True)
            descriptor = os.open(self.layout.run, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fchmod(descriptor, 0o711)  # whoever can read it can lock it
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_nlink == 0:
                    continue  # who held the lock took the lab down
                yield
                return
            finally:
                os.close(descriptor)


def check_root() -> None:
    """InvalidError unless we may make namespaces."""
    if os.geteuid() != 0:
        raise InvalidError("the lab makes network namespaces: run this as root")


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
