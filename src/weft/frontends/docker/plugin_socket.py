"""Where Docker finds the plugin, and how it notices at once that weftd is gone.

dockerd waits 15 s for each call to a plugin whose socket refuses connections or is missing; with
some containers to restart it would start minutes late, and its API with it. So:

- the socket that weftd listens on lies in its run directory; ``weft.sock`` in Docker's plugin
  folder is a link to it by way of ``/proc/PID/fd/N``, which leads nowhere from the moment that the
  process dies, even by ``kill -9``;
- ``weft.json`` in Docker's folder of specifications, which it reads when there is no socket,
  names a certificate that does not exist: the only mistake after which Docker does not try again.
  The file's name is what the user then reads.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Self

import structlog

from weft.config import Settings
from weft.errors import UnavailableError
from weft.host.folders import make_folder

log = structlog.get_logger()

NAME = "weft"
ABSENT = "weftd is not running; start it with: weft up"
"""Part of the error that Docker keeps for a container it could not start for want of weftd."""
_SOCKET = "docker-plugin.sock"


class PluginSocket:
    """The listening socket and the two files; a context manager that takes all but the
    specification away again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._run_dir = Path(settings.run_dir)
        self._link = Path(settings.docker_plugin_dir) / f"{NAME}.sock"
        self._specification = specification_path(settings)
        self._folder = -1
        self._is_warned = False
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Self:
        try:
            self._listen()
            self.repair()
        except OSError as error:
            self.__exit__()
            raise UnavailableError(f"docker plugin socket {self._link}: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder >= 0:
            if self._is_ours():
                self._link.unlink()
            (self._run_dir / _SOCKET).unlink(missing_ok=True)
            os.close(self._folder)
            self._folder = -1
        self.listener.close()

    def repair(self) -> bool:
        """Make the two files where they are not as they should be. True: they were not."""
        changed = self._specify()
        if self._is_ours():
            return changed
        self._publish()
        return True

    def _specify(self) -> bool:
        """A file system that cannot be written costs only Docker's time while weftd is down."""
        if self._specification is None or self._is_warned:
            return False
        try:
            return self._write_specification(self._specification)
        except OSError as error:
            self._is_warned = True
            log.warning("docker will wait for an absent weftd", reason=str(error))
            return False

    def _write_specification(self, path: Path) -> bool:
        """True: it was not there, or not like this. Nothing is written where there is no Docker."""
        content = {
            "Name": NAME,
            "Addr": "https://weftd.invalid",
            "TLSConfig": {"InsecureSkipVerify": False, "CAFile": ABSENT},
        }
        text = json.dumps(content, indent=2) + "\n"
        has_docker = path.parent.parent.is_dir()
        if not has_docker or (path.exists() and path.read_text() == text):
            return False
        make_folder(path.parent, self._settings)
        new = path.with_name(f".{NAME}.{os.getpid()}")
        new.write_text(text)
        new.replace(path)
        return True

    def _listen(self) -> None:
        self._run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        path = self._run_dir / _SOCKET
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self.listener.bind(str(path))
        finally:
            os.umask(mask)
        self.listener.listen(128)
        self.listener.setblocking(False)
        self._folder = os.open(self._run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def _publish(self) -> None:
        make_folder(self._link.parent, self._settings)
        new = self._link.with_name(f".{NAME}.{os.getpid()}")
        new.unlink(missing_ok=True)
        new.symlink_to(self._target())
        new.replace(self._link)

    def _target(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._folder}/{_SOCKET}"

    def _is_ours(self) -> bool:
        return self._link.is_symlink() and str(self._link.readlink()) == self._target()


def specification_path(settings: Settings) -> Path | None:
    """weft.json, if the settings want it; ``weft down --purge`` removes it."""
    return Path(settings.docker_spec_dir) / f"{NAME}.json" if settings.docker_spec_dir else None
