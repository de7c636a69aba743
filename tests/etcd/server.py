"""An etcd of a test's own, on loopback, in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.free_ports import free_ports

START_S = 20.0


class EtcdServer:
    """One member that is the whole cluster. It can be stopped, started again and wiped."""

    def __init__(self, *options: str, is_encrypted: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="weft-etcd-"))
        self.port, self.peer_port = free_ports(2)
        self.url = f"http{'s' * is_encrypted}://127.0.0.1:{self.port}"
        self._options: Sequence[str] = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        peer = f"http://127.0.0.1:{self.peer_port}"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("etcd", "--data-dir", str(self.folder / "data"), "--log-level", "error"),
                    *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                    *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                    *("--initial-cluster", f"default={peer}"),
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline_s = time.monotonic() + START_S
        while not self._is_listening():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline_s, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It accepts and never answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def copy(self, name: str) -> Path:
        """Its data, while it does not run."""
        to = self.folder / name
        shutil.copytree(self.folder / "data", to)
        return to

    def put_back(self, copy: Path | None) -> None:
        """Earlier data, or none, while it does not run."""
        shutil.rmtree(self.folder / "data")
        if copy is not None:
            shutil.copytree(copy, self.folder / "data")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _is_listening(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False
