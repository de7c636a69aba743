"""Settings: one TOML file, environment variables and flags under the same names.

``underlay_device = "eth1"`` in the file, ``WEFT_UNDERLAY_DEVICE=eth1`` and
``weft up --underlay-device eth1`` say the same; a flag beats the environment, which beats the
file. An unknown key is an error that offers the nearest known one.
"""

from __future__ import annotations

import difflib
import os
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec

from weft.errors import InvalidError
from weft.model.addresses import IPAddress, IPNetwork, ip_network
from weft.model.codec import convert
from weft.model.reserved import why_reserved

DEFAULT_FILE = Path("/etc/weft/weft.toml")
ENVIRONMENT_PREFIX = "WEFT_"
_SOCKET_PATH_BYTES = 107
"""The longest that Linux takes."""
_NOT_SETTINGS = frozenset({"WEFT_CONFIG", "WEFT_JOIN_TOKEN"})


FlowSeconds = Annotated[int, msgspec.Meta(ge=1, le=7 * 86400)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one weftd is set up. The docstring of a field is its line in ``weft up --help``."""

    name: str = msgspec.field(default_factory=socket.gethostname)
    """Name of this host in the cluster."""
    run_dir: str = "/run/weft"
    """Sockets and the pid file; empty after a reboot."""
    state_dir: str = "/var/lib/weft"
    """The record database."""
    bpffs_dir: str = "/sys/fs/bpf/weft"
    """Folder for pinned programs and maps, on a bpf file system."""
    underlay_device: str = ""
    """Device towards other hosts; empty: that of the default route."""
    underlay_address: IPAddress | None = None
    """Address for other hosts; empty: the device's first."""
    mesh_port: int = 6783
    """TCP port on which other hosts reach weftd."""
    join: str = ""
    """Hosts of the cluster to join, by ADDRESS or ADDRESS:PORT, comma between; remembered."""
    store: str = "mesh"
    """Where the cluster's records are, the same on all hosts: mesh, on every host; in an etcd, as
    etcd://HOST:PORT,HOST:PORT/PREFIX; or etcd-managed, an etcd that the first three hosts run."""
    etcd_ca_file: str = ""
    """Certificates that an etcd's must be signed by; given, it is spoken to in TLS."""
    etcd_cert_file: str = ""
    """Certificate to show to an etcd."""
    etcd_key_file: str = ""
    """Key of that certificate."""
    etcd_port: int = 6785
    """TCP port of the etcd that weftd runs; its members reach each other at the next one."""
    etcd_user: str = ""
    """Name to log in to an etcd with."""
    etcd_password_file: str = ""
    """File that holds the password of that name, and that only root reads."""
    overlay_port: int = 4789
    """UDP port of the traffic between hosts (VXLAN); the same on all of them."""
    encapsulation: str = "push"
    """push: by the BPF programs, the fastest; device: by the kernel's VXLAN device, for network
    cards that offload tunnels only there."""
    encrypt: bool = False
    """Begin a new cluster with its traffic encrypted; later it is weft encrypt that decides."""
    wireguard_port: int = 6783
    """UDP port of the encrypted traffic (WireGuard)."""
    wireguard_key_s: float = 30 * 86400.0
    """Seconds until this host makes itself new WireGuard keys; 0: only weft encrypt rotate does."""
    mtu_bytes: int = 0
    """MTU of the networks; 0: the underlay device's, less 50 for the encapsulation (70 on IPv6)."""
    address_pool: IPNetwork = msgspec.field(default_factory=lambda: ip_network("10.32.0.0/12"))
    """Subnets that nobody named are cut from here."""
    address_pool6: IPNetwork = msgspec.field(
        default_factory=lambda: ip_network("fd77:6566:7410::/44")
    )
    """The same for IPv6."""
    pool_prefix_length: int = 24
    """Size of a subnet cut from the pool."""
    rest_s: float = 60.0
    """Seconds that a released address rests before it is given again."""
    lease_s: Annotated[float, msgspec.Meta(ge=10.0, le=7 * 86400.0)] = 120.0
    """Seconds without a way to a host, 10 at least, until others take back its free addresses and
    who asks for one of its ports' by name may have it."""
    domain: str = "weft.internal"
    """DNS domain of all names."""
    dns_order: str = "random"
    """Order of a name's addresses: random, or local for those on the asker's host first."""
    dns_queries_per_s: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 5000
    """DNS queries a second that one port may send; more are dropped."""
    resolv_conf: str = "/etc/resolv.conf"
    """Where the host's resolvers are listed."""
    docker: bool = True
    """Serve Docker's plugin protocol and follow its events."""
    docker_socket: str = "/var/run/docker.sock"
    """The Docker engine's socket."""
    docker_config: str = "/etc/docker/daemon.json"
    """Docker's own settings; read for the resolvers that it gives to containers (dns)."""
    docker_plugin_dir: str = "/run/docker/plugins"
    """Where Docker looks for plugins; weft.sock is made here."""
    docker_spec_dir: str = "/etc/docker/plugins"
    """Where Docker looks when that socket is not there; weft.json here makes it fail at once
    instead of waiting 15 s for each call while weftd is down. Empty: none is made."""
    metrics: str = ""
    """ADDRESS:PORT for Prometheus over TCP; empty: only GET /metrics on the API socket."""
    reconcile_s: float = 30.0
    """Seconds between two looks at whether the kernel still holds what it should; up to ten times
    as many on a host with thousands of ports, where a look takes long."""
    flow_tcp_new_s: FlowSeconds = 60
    """Seconds without a packet for which a TCP connection that nobody has answered is remembered;
    this and the next ones are about connections of ports that have rules."""
    flow_tcp_established_s: FlowSeconds = 21600
    """The same of one that stands."""
    flow_tcp_closing_s: FlowSeconds = 240
    """The same of one that one end has closed."""
    flow_tcp_closed_s: FlowSeconds = 10
    """The same of one that both ends have closed, or that was reset."""
    flow_udp_new_s: FlowSeconds = 60
    """The same of UDP, and all else that has ports, as long as nothing has come back."""
    flow_udp_established_s: FlowSeconds = 300
    """The same once something has."""
    flow_icmp_s: FlowSeconds = 60
    """The same of ping."""
    flow_other_s: FlowSeconds = 600
    """The same of other protocols."""
    flow_denied_s: Annotated[int, msgspec.Meta(ge=1, le=60)] = 1
    """Seconds after which the rules are asked again about what they have denied."""
    flows_per_port: Annotated[int, msgspec.Meta(ge=2, le=1_000_000)] = 65536
    """Entries of connections, two for each, that may be taken by what one port begins, or what
    other hosts begin with it."""
    flow_entries: Annotated[int, msgspec.Meta(ge=1024, le=16_777_216)] = 131072
    """Entries of connections, two for each, that this host remembers of each family; read when
    weftd starts."""
    flow_log: str = ""
    """File to which connections are written that rules log (log 10/s), a line of JSON each; empty:
    they are in weftd's own log."""
    log_level: str = "info"
    """debug, info, warning or error."""

    @property
    def api_socket(self) -> Path:
        """Where the CLI reaches weftd."""
        return Path(self.run_dir) / "weftd.sock"

    @property
    def pid_file(self) -> Path:
        """Process id of weftd."""
        return Path(self.run_dir) / "weftd.pid"

    @property
    def database(self) -> Path:
        """The record database."""
        return Path(self.state_dir) / "weft.db"

    @property
    def etcd_database(self) -> Path:
        """The same, of a host whose records are in etcd: as they were known last."""
        return Path(self.state_dir) / "etcd.db"

    @property
    def host_id_file(self) -> Path:
        """Who this host is among the others."""
        return Path(self.state_dir) / "host-id"

    @property
    def start_mark(self) -> Path:
        """Says which start of weftd was the last of this boot."""
        return Path(self.run_dir) / "start"


def load(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Settings:
    """Settings from file, environment and flags (None values are not given).

    `file` None: the path in WEFT_CONFIG, else `DEFAULT_FILE` if it exists. InvalidError names the
    source and the key.
    """
    values: dict[str, Any] = {}
    values.update(_from_file(file, environment))
    values.update(_from_environment(environment))
    values.update({key: value for key, value in (flags or {}).items() if value is not None})
    settings = convert(values, Settings)
    _check_run_dir(settings)
    _check_pools(settings)
    return settings


def _from_file(file: Path | None, environment: Mapping[str, str]) -> dict[str, Any]:
    named = file or (Path(environment["WEFT_CONFIG"]) if "WEFT_CONFIG" in environment else None)
    path = named or DEFAULT_FILE
    if named is None and not path.exists():
        return {}
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidError(f"settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"settings file {path}: {error}") from error
    for key in values:
        _check_known(key, f"settings file {path}")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    types = get_type_hints(Settings)
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in _NOT_SETTINGS:
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        _check_known(key, f"environment variable {variable}")
        values[key] = _parse(text, types[key], variable)
    return values


def _parse(text: str, wanted: Any, variable: str) -> Any:
    if wanted is bool:
        if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
            raise InvalidError(f"environment variable {variable}={text}: say true or false")
        return text.lower() in ("1", "true", "yes")
    if wanted in (int, float):
        try:
            return wanted(text)
        except ValueError:
            raise InvalidError(f"environment variable {variable}={text}: not a number") from None
    return text or None if wanted not in (str,) else text


def _check_run_dir(settings: Settings) -> None:
    length = len(os.fsencode(settings.api_socket))
    if length > _SOCKET_PATH_BYTES:
        raise InvalidError(
            f"run_dir {settings.run_dir}: the path of a socket in it has {length} bytes, and Linux "
            f"takes {_SOCKET_PATH_BYTES}; choose a shorter one"
        )


def _check_pools(settings: Settings) -> None:
    for key in ("address_pool", "address_pool6"):
        pool: IPNetwork = getattr(settings, key)
        reason = why_reserved(pool)
        if reason is not None:
            raise InvalidError(f"{key} {pool}: {reason}; choose another")


def _check_known(key: str, source: str) -> None:
    known = Settings.__struct_fields__
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        raise InvalidError(f"{source}: unknown key {key!r}; {hint}")
