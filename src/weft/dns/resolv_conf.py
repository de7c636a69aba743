"""The host's resolvers, as ``/etc/resolv.conf`` lists them; see resolv.conf(5).

Two lists come out of it, since the host and its containers do not see the same:

- `servers`: the resolvers to ask for names that are not ours. Resolvers on loopback are fine, for
  weftd lives in the host's network namespace. Weft's own addresses are left out, or a host that
  uses Weft as its resolver would make it ask itself.
- `intercepted`: the resolvers that workloads ask; queries to them are rewritten to Weft. Container
  engines copy the host's list without the loopback addresses; where only systemd-resolved's stub is
  listed they take the list behind it, and where nothing is left Docker puts in public resolvers.
  What Docker's own settings name (`dns` in daemon.json) it takes instead, so they are in the list
  too. Weft's own addresses stay in it: a workload that asks them is known by its alias too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from weft.model.addresses import IPAddress, address_in_packets, ip_address

SYSTEMD_STUB = ip_address("127.0.0.53")
SYSTEMD_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")
DOCKER_DEFAULTS = tuple(
    ip_address(text)
    for text in ("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844")
)
LIBC_DEFAULT = ip_address("127.0.0.1")
"""What the C library asks when no resolver is listed."""
MAX_SERVERS = 8


def parse(text: str) -> tuple[IPAddress, ...]:
    """The ``nameserver`` addresses, each once; lines that are none are passed over as libc does."""
    found: dict[IPAddress, None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found[ip_address(words[1])] = None
            except ValueError:
                continue
    return tuple(found)[:MAX_SERVERS]


class ResolvConf:
    """The host's list of resolvers, read again when the file changes."""

    def __init__(
        self,
        path: Path,
        own: Collection[IPAddress],
        systemd_path: Path = SYSTEMD_RESOLV_CONF,
        docker_config: Path | None = None,
    ) -> None:
        self._paths = (path, systemd_path)
        self._docker_config = docker_config
        self._own = frozenset(own)
        self._seen: tuple[tuple[int, ...] | None, ...] | None = None
        self.servers: tuple[IPAddress, ...] = ()
        self.intercepted: tuple[IPAddress, ...] = ()
        self.refresh()

    def refresh(self) -> bool:
        """Look at the files; True when either list changed. A missing file lists nothing."""
        watched = (*self._paths, *([self._docker_config] if self._docker_config else ()))
        seen = tuple(_fingerprint(path) for path in watched)
        if seen == self._seen:
            return False
        self._seen = seen
        before = (self.servers, self.intercepted)
        listed, behind = (_read(path) for path in self._paths)
        listed = listed or (LIBC_DEFAULT,)
        self.servers = tuple(address for address in listed if address not in self._own)
        docker = docker_servers(self._docker_config) if self._docker_config else ()
        self.intercepted = _seen_by_containers(listed, behind, docker)
        return (self.servers, self.intercepted) != before


def docker_servers(config: Path) -> tuple[IPAddress, ...]:
    """The resolvers that Docker's settings name; none when they name none or cannot be read."""
    try:
        settings = json.loads(config.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ()
    listed = settings.get("dns") if isinstance(settings, dict) else None
    words: Sequence[object] = listed if isinstance(listed, list) else ()
    return parse("".join(f"nameserver {word}\n" for word in words))


def _seen_by_containers(
    listed: Collection[IPAddress],
    behind_systemd: Collection[IPAddress],
    docker: Collection[IPAddress],
) -> tuple[IPAddress, ...]:
    askable = [*_askable([*listed, *(behind_systemd if SYSTEMD_STUB in listed else ())])]
    return tuple(dict.fromkeys([*_askable(docker), *(askable or DOCKER_DEFAULTS)]))


def _askable(listed: Iterable[IPAddress]) -> Iterator[IPAddress]:
    """Those for which a query can leave a workload. IPv4's link-local addresses are routed like all
    others (clouds have resolvers there); IPv6's belong to one link of the host's."""
    for address in map(address_in_packets, listed):
        of_link = address.version == 6 and address.is_link_local
        if not (of_link or address.is_loopback or address.is_multicast or address.is_unspecified):
            yield address


def _fingerprint(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _read(path: Path) -> tuple[IPAddress, ...]:
    try:
        return parse(path.read_text(errors="replace"))
    except OSError:
        return ()
