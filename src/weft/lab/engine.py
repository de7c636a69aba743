"""A real dockerd of its own for a lab host: own data, own containerd, own /run, no registry.

A host of the lab is a network namespace and a mount namespace whose /run is private, so the
engine keeps Docker's usual paths inside (``/run/docker.sock``, ``/run/docker/plugins``) without
meeting the machine's own engine. `enter` is the command prefix that runs a command in there
(``nsenter --net=… --mount=…``); /etc/docker is covered by a folder of the host, so neither the
machine's daemon.json nor its key file plays a part.

containerd is a process of its own, as Debian's units have it, not dockerd's child: a dockerd that
is killed takes its child along, and the next one waits ten seconds for the remains.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from weft.errors import UnavailableError
from weft.lab import processes
from weft.lab.processes import ProcessId, ProcessRecord

IMAGE = "busybox"
SOCKET_IN_HOST = "/run/docker.sock"
_BUSYBOX = Path("/bin/busybox")
_CGROUPS = Path("/sys/fs/cgroup")
_POLL_S = 0.02
_ASKS_FROM_THE_HOST = 28
_CONTAINERD_TOML = """\
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper"]
"""


class DockerEngine:
    """Starts, stops and asks one dockerd. Safe to make again for an engine that runs already."""

    def __init__(self, name: str, directory: Path, enter: Sequence[str]) -> None:
        """`directory` holds the engine's data and may be seen by all; `name` names its cgroup."""
        self.name = name
        self.directory = directory
        self.enter = tuple(enter)
        self.socket = directory / "docker.sock"
        self.log_file = directory / "dockerd.log"
        self._dockerd = ProcessRecord(directory / "dockerd.json")
        self._containerd = ProcessRecord(directory / "containerd.json")
        self._containerd_socket = directory / "containerd.sock"
        self._cgroup = f"weft-{name}"

    @property
    def pid(self) -> int | None:
        """Process id of the dockerd that runs, else None."""
        process = self._dockerd.read()
        return process.pid if process is not None else None

    def is_ready(self) -> bool:
        """Whether the engine answers requests."""
        try:
            status, _ = self.request("GET", "/_ping", timeout_s=1)
        except UnavailableError:
            return False
        return status == 200

    def launch(self) -> None:
        """Start dockerd if it does not run, and do not wait for it."""
        if self.pid is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._pid_file.unlink(missing_ok=True)
        self._cover_configuration()
        self._launch_containerd()
        self._spawn(self._command(), self._dockerd)

    def start(self, timeout_s: float = 30.0) -> None:
        """Start dockerd if it does not run, and wait until it answers."""
        self.launch()
        if not _wait_for(lambda: self.is_ready() or self.pid is None, timeout_s):
            raise UnavailableError(
                f"docker engine {self.name}: no answer in {timeout_s:.0f} s; see {self.log_file}"
            )
        if self.pid is None:
            tail = self.log_file.read_text(errors="replace").splitlines()[-3:]
            raise UnavailableError(f"docker engine {self.name}: ended at once: " + " / ".join(tail))

    def stop(self, timeout_s: float = 30.0) -> None:
        """End dockerd as a service manager does; its containers stop with it."""
        process = self._dockerd.read()
        if process is not None:
            processes.stop([process], grace_s=timeout_s)

    def kill(self) -> None:
        """End dockerd without a word to it (``kill -9``); containers and containerd live on."""
        process = self._dockerd.read()
        if process is not None:
            processes.kill(process)

    def discard(self) -> None:
        """End dockerd, containerd and all containers, and remove their data and cgroups."""
        mount_namespace = self._mount_namespace()
        if self.is_ready():
            with suppress(UnavailableError):
                for container in self.containers():
                    self.request("DELETE", f"/containers/{container}?force=1&v=1")
        self.stop()
        self._kill_workloads()
        if mount_namespace is not None:
            processes.stop(_processes_in(mount_namespace, b"containerd"), grace_s=2.0)
        self._remove_cgroups()
        shutil.rmtree(self.directory, ignore_errors=True)

    def containers(self) -> list[str]:
        """Ids of all containers, running or not."""
        _, body = self.request("GET", "/containers/json?all=1")
        return [str(container["Id"]) for container in json.loads(body)]

    def import_image(self, name: str = IMAGE) -> None:
        """Make the image `name` from the machine's static busybox, unless it is there."""
        status, _ = self.request("GET", f"/images/{name}/json")
        if status == 200:
            return
        change = quote('CMD ["/bin/sh"]')
        path = f"/images/create?fromSrc=-&repo={name}&tag=latest&changes={change}"
        status, body = self.request("POST", path, busybox_root(), timeout_s=60)
        if status != 200 or b'"error"' in body:
            raise UnavailableError(f"docker image {name}: {body.decode(errors='replace').strip()}")

    def request(
        self, method: str, path: str, body: bytes | None = None, timeout_s: float = 20.0
    ) -> tuple[int, bytes]:
        """One HTTP request to the engine: status and body. UnavailableError: nobody answers."""
        connection = _UnixConnection(self.socket, timeout_s)
        try:
            connection.request(method, path, body, {"Content-Type": "application/x-tar"})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"docker engine {self.name}: {error}") from error
        finally:
            connection.close()

    def _launch_containerd(self) -> None:
        if _is_listening(self._containerd_socket):
            return
        configuration = self.directory / "containerd.toml"
        configuration.write_text(_CONTAINERD_TOML)
        command = [
            "containerd",
            f"--config={configuration}",
            f"--root={self.directory / 'containerd'}",
            "--state=/run/containerd",
            f"--address={self._containerd_socket}",
            "--log-level=warn",
        ]
        self._spawn(command, self._containerd)
        if not _wait_for(lambda: _is_listening(self._containerd_socket), 15.0):
            raise UnavailableError(
                f"docker engine {self.name}: containerd does not start; see {self.log_file}"
            )

    def _spawn(self, command: Sequence[str], record: ProcessRecord) -> None:
        """A daemon in the host that outlives this process."""
        processes.start([*self.enter, *command], record, self.log_file, os.environ)

    @property
    def _pid_file(self) -> Path:
        return self.directory / "dockerd.pid"

    def _command(self) -> list[str]:
        return [
            "dockerd",
            f"--data-root={self.directory / 'data'}",
            f"--host=unix://{SOCKET_IN_HOST}",
            f"--host=unix://{self.socket}",
            f"--containerd={self._containerd_socket}",
            f"--cgroup-parent=/{self._cgroup}",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--pidfile",
            str(self._pid_file),
            *(f"--dns={resolver}" for resolver in self._resolvers()),
        ]

    def _resolvers(self) -> list[str]:
        """Those of the host, for an engine since 28: of itself it asks them past the container's
        port, so that containers would not find Weft's names (see `weft doctor`)."""
        version = _output(["dockerd", "--version"]).removeprefix("Docker version ")
        major = version.partition(".")[0]
        if not major.isdigit() or int(major) < _ASKS_FROM_THE_HOST:
            return []
        lines = _output([*self.enter, "cat", "/etc/resolv.conf"]).splitlines()
        return [line.split()[1] for line in lines if line.startswith("nameserver ")]

    def _cover_configuration(self) -> None:
        """Put an empty folder of ours over /etc/docker in the host's mount namespace."""
        cover = self.directory / "etc"
        cover.mkdir(exist_ok=True)
        script = 'mkdir -p "$2" && { umount -q "$2" 2>/dev/null; mount --bind "$1" "$2"; }'
        done = subprocess.run(
            [*self.enter, "sh", "-c", script, "sh", str(cover), "/etc/docker"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise UnavailableError(f"docker engine {self.name}: {done.stderr.strip()}")

    def _mount_namespace(self) -> str | None:
        done = subprocess.run(
            [*self.enter, "readlink", "/proc/self/ns/mnt"], capture_output=True, text=True
        )
        return done.stdout.strip() or None if done.returncode == 0 else None

    def _cgroup_folders(self) -> Iterator[Path]:
        for root in (_CGROUPS, *_CGROUPS.glob("*/")):
            if (root / self._cgroup).is_dir():
                yield root / self._cgroup

    def _kill_workloads(self) -> None:
        """Kill what a dead engine left running, known by its cgroup."""
        for folder in self._cgroup_folders():
            for members in folder.rglob("cgroup.procs"):
                with suppress(OSError):
                    for line in members.read_text().split():
                        _kill(int(line))

    def _remove_cgroups(self) -> None:
        """A cgroup can go once its last process is reaped; one that cannot, stays."""
        for folder in list(self._cgroup_folders()):
            inner = sorted((path for path in folder.rglob("*/")), reverse=True)
            for path in [*inner, folder]:
                _wait_for(lambda path=path: _is_removed(path), 1.0)  # type: ignore[misc]


def busybox_root(busybox: Path = _BUSYBOX) -> bytes:
    """A tar of a root file system: one static busybox, a link for each of its applets."""
    applets = subprocess.run(
        [str(busybox), "--list"], capture_output=True, text=True, check=True
    ).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            _add_folder(tar, folder, mode)
        _add_folder(tar, "www", 0o755)
        _add_file(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        _add_file(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
        _add_file(tar, "etc/group", b"root:x:0:\n", 0o644)
        _add_file(tar, "www/index.html", b"hello from weft\n", 0o644)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
                tar.addfile(link)
    return buffer.getvalue()


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("docker", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _is_removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _processes_in(mount_namespace: str, name: bytes) -> list[ProcessId]:
    """Processes of programs whose name begins so and that live in a mount namespace."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            program = (folder / "cmdline").read_bytes().split(b"\0")[0].rpartition(b"/")[2]
            same = str((folder / "ns/mnt").readlink()) == mount_namespace
            process = ProcessId.of(int(folder.name))
            if same and program.startswith(name) and process is not None:
                found.append(process)
    return found
