"""Kernel settings (sysctls) that the host needs as a router between its networks and the outside.

What was there before is kept in the run directory, which is as short-lived as the settings
themselves, so that a purge can put it back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from weft.engine.plumbing.device_names import WEFT0
from weft.errors import InvalidError
from weft.kernel import sysctl
from weft.model.codec import decode_file

_FORWARD4 = "net/ipv4/ip_forward"
_FORWARD6 = "net/ipv6/conf/all/forwarding"
_OWN = {
    f"net/ipv4/conf/{WEFT0}/forwarding": "1",  # where the default for new devices says 0
    f"net/ipv6/conf/{WEFT0}/forwarding": "1",
    f"net/ipv4/conf/{WEFT0}/route_localnet": "1",  # published ports at 127.0.0.1
    f"net/ipv4/conf/{WEFT0}/rp_filter": "2",  # strict would drop aliases where `all` says 1
    f"net/ipv4/conf/{WEFT0}/promote_secondaries": "1",
    f"net/ipv4/conf/{WEFT0}/accept_redirects": "0",
    f"net/ipv6/conf/{WEFT0}/disable_ipv6": "0",
    f"net/ipv6/conf/{WEFT0}/accept_ra": "0",
    f"net/ipv6/conf/{WEFT0}/accept_redirects": "0",
    f"net/ipv6/conf/{WEFT0}/accept_dad": "0",
}


_TOLD = {_FORWARD4, _FORWARD6, *_OWN}
"""Whoever changes one of these works against Weft, and is to be found."""

log = structlog.get_logger()


class Mended(NamedTuple):
    """A setting that somebody changed and that was put back."""

    name: str
    found: str
    wanted: str
    at_s: float
    """Wall clock, the last time."""
    times: int
    """How often, since weftd started."""


class Former(msgspec.Struct, frozen=True):
    """A setting before Weft changed it, and what Weft made of it."""

    name: str
    former: str
    changed: str


class HostSettings:
    """The settings of the calling thread's namespace."""

    def __init__(self, run_dir: Path, wall_s: Callable[[], float] = time.time) -> None:
        self._file = run_dir / "sysctl.json"
        self._wall_s = wall_s
        self._mended: dict[str, Mended] = {}
        self._ensured: dict[str, int] = {}
        """Settings that Weft has made, and of which weft0."""

    @property
    def mended(self) -> Sequence[Mended]:
        """What others changed since weftd started; for any thread."""
        return tuple(self._mended.copy().values())

    def ensure(self, weft0: int) -> None:
        """Make all settings as they must be; those of weft0 need the device to be there.

        weft0: its ifindex, for the settings of a new one are new.
        """
        known = {entry.name: entry for entry in self._read()}
        changed = []
        for name, value in self._wanted().items():
            former = sysctl.ensure(name, value)
            if former is not None:
                self._tell(name, former, value, known, weft0)
                if name not in _OWN:
                    changed.append(Former(name, former, value))
            if name in _TOLD:
                self._ensured[name] = weft0
        self._remember(changed, known)

    def _tell(
        self, name: str, found: str, wanted: str, known: dict[str, Former], weft0: int
    ) -> None:
        if name in _OWN:
            was_so = self._ensured.get(name) == weft0
        else:
            was_so = name in self._ensured or name in known
        if name not in _TOLD or not was_so:
            return
        before = self._mended.get(name)
        times = before.times + 1 if before is not None else 1
        self._mended[name] = Mended(name, found, wanted, self._wall_s(), times)
        log.warning(
            "a kernel setting was changed by others and is put back",
            setting=name.replace("/", "."),
            found=found,
            wanted=wanted,
            times=times,
        )

    def _remember(self, changed: Sequence[Former], known: dict[str, Former]) -> None:
        if not changed:
            return
        for entry in changed:
            before = known.get(entry.name)
            known[entry.name] = (
                Former(entry.name, before.former, entry.changed) if before else entry
            )
        self._write(list(known.values()))

    def restore(self) -> None:
        """Put back what Weft changed, unless somebody has changed it since."""
        for entry in reversed(self._read()):
            if sysctl.read(entry.name) == entry.changed:
                sysctl.write(entry.name, entry.former)
        with contextlib.suppress(FileNotFoundError):
            self._file.unlink()

    def _wanted(self) -> dict[str, str]:
        """In the order of writing: a device that takes its routes from router advertisements is
        told to go on doing so (2) before forwarding would make it stop."""
        wanted: dict[str, str] = {}
        if sysctl.read(_FORWARD6) == "0":
            for device in sysctl.devices("ipv6"):
                name = f"net/ipv6/conf/{device}/accept_ra"
                if device != WEFT0 and sysctl.read(name) == "1":
                    wanted[name] = "2"
        return wanted | {_FORWARD4: "1", _FORWARD6: "1"} | _OWN

    def _read(self) -> list[Former]:
        try:
            return decode_file(self._file.read_bytes(), list[Former], self._file.name)
        except (FileNotFoundError, InvalidError):
            return []

    def _write(self, entries: list[Former]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(entries))
        partial.replace(self._file)
