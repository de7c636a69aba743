"""Resolvers that the host had, and that workloads may still ask.

A workload is given the host's resolvers when it starts, and keeps that list while the host's
changes (another Wi-Fi, a VPN, DHCP). Its queries must go on coming to Weft, or Weft's names are
gone until the workload starts again, and those of the outside too when the old resolver is out of
reach.

Weft does not know of every workload when it started, so a former resolver is kept until the host is
started again, which ends all workloads. The list is a file in the run directory, which lives as
long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from weft.model.addresses import IPAddress
from weft.model.codec import decode_hook, encode
from weft.readiness import ready

FILE = "resolvers.json"
MAX_FORMER = 32
"""More than a laptop meets in a day; the resolver that went first is dropped."""

log = structlog.get_logger()


class _Known(msgspec.Struct, frozen=True):
    present: tuple[IPAddress, ...] = ()
    former: tuple[IPAddress, ...] = ()


class FormerResolvers:
    """The list, kept in the run directory."""

    def __init__(self, run_dir: Path) -> None:
        """What cannot be read is as good as nothing: it is logged, and written anew."""
        self._file = run_dir / FILE
        self._known = self._read()

    @property
    def addresses(self) -> Sequence[IPAddress]:
        """Those that workloads may still ask, without the present ones; the last to go first."""
        return self._known.former

    def follow(self, present: Sequence[IPAddress]) -> None:
        """These are the host's resolvers now; those of the last call that are missing now become
        former ones.

        A file that cannot be written is logged: the list is then lost when weftd ends.
        """
        gone = [address for address in self._known.present if address not in present]
        older = [address for address in self._known.former if address not in present]
        former = tuple(dict.fromkeys([*gone, *older]))[:MAX_FORMER]
        known = _Known(tuple(present), former)
        if known == self._known:
            return
        self._known = known
        try:
            self._write()
        except OSError as error:
            log.warning(
                "former resolvers are not kept", file=str(self._file), reason=error.strerror
            )

    def _read(self) -> _Known:
        try:
            data = self._file.read_bytes()
            return msgspec.json.decode(data, type=ready(_Known), dec_hook=decode_hook)
        except FileNotFoundError:
            return _Known()
        except (OSError, ValueError) as error:
            log.warning("list of former resolvers was unreadable, begun anew", reason=str(error))
            return _Known()

    def _write(self) -> None:
        self._file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        try:
            partial.write_bytes(encode(self._known))
            partial.replace(self._file)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
