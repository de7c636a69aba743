"""Kernel settings (sysctls) that the host needs as a router between its networks and the outside.

What was there before is kept in the run directory, which is as short-lived as the settings
themselves, so that a purge can put it back.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from weft.engine.ebpf.rows import WEFT0
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


class Former(msgspec.Struct, frozen=True):
    """A setting before Weft changed it, and what Weft made of it."""

    name: str
    former: str
    changed: str


class HostSettings:
    """The settings of the calling thread's namespace."""

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / "sysctl.json"

    def ensure(self) -> None:
        """Make all settings as they must be; those of weft0 need the device to be there."""
        changed = [
            Former(name, former, value)
            for name, value in self._wanted().items()
            if (former := sysctl.ensure(name, value)) is not None and name not in _OWN
        ]
        if changed:
            known = {entry.name: entry for entry in self._read()}
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
