"""The ``-o`` options that Weft knows, and what Docker adds to a network's options by itself."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

import msgspec

from weft.control.port_owners import GROUPS
from weft.control.references import check_mac, check_network_name, check_tenant_name
from weft.control.specs import MulticastWord
from weft.errors import InvalidError
from weft.frontends.docker.protocol import ENABLE_IPV6, GENERIC, INTERNAL, Options
from weft.model.addresses import IPAddress, IPNetwork, ip_address, ip_network
from weft.model.records import AddressRange, AllowedAddress
from weft.model.records.networks import MAX_RANGES
from weft.model.records.tenants import DEFAULT_TENANT_NAME

DOCKER_PREFIX = "com.docker.network."
_DOCKER_MTU = "com.docker.network.driver.mtu"
NETWORK_KEYS = (
    "network",
    "id",
    "name",
    "mtu",
    "exclude",
    "force",
    "multicast",
    "tenant",
    "weft.tenant",
    "router",
    "weft.router",
    "judge-dns",
    "weft.judge-dns",
    "admit-host",
    "weft.admit-host",
)
ADMIT_HOST = "weft.admit-host"
"""The same of a container's place on a network, which is no label for the same reason as
`ALLOW_ADDRESS`."""
ALLOW_ADDRESS = "weft.allow-address"
"""Option of a container's place on a network. It is no label, for images have labels, and their
makers must not say which addresses containers may use."""
_ENDPOINT_PREFIX = "weft."
MAX_ALLOWED = 64
POOL_KEYS = ("exclude", "network")
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no", "")


class NetworkOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a Docker network is to be made."""

    join: str = ""
    """The Weft network (name or id) that the Docker network shall be; empty: a new one."""
    name: str = ""
    """Name of the new one; empty: Docker's, once it is known."""
    tenant: str = DEFAULT_TENANT_NAME
    """Whose the network is."""
    router: str = ""
    """The router to connect it to; empty: none."""
    mtu_bytes: int | None = None
    excludes: tuple[AddressRange, ...] = ()
    is_forced: bool = False
    is_internal: bool = False
    is_ipv6: bool = False
    multicast: MulticastWord | None = None
    """None: any will do."""
    judges_dns: bool | None = None
    admits_host: bool | None = None


def parse_network_options(options: Mapping[str, object] | None) -> NetworkOptions:
    """From the Options of CreateNetwork; InvalidError for what nobody knows."""
    given = options or {}
    generic = given.get(GENERIC) or {}
    if not isinstance(generic, Mapping):
        raise InvalidError(f"option {GENERIC}: must be a map, is {generic!r}")
    values = {str(key): str(value) for key, value in generic.items()}
    check_known(values, NETWORK_KEYS, "-o")
    mtu = values.get("mtu") or values.get(_DOCKER_MTU) or ""
    join = _one_of(values, "network", "id")
    tenant = _one_of(values, "tenant", "weft.tenant")
    if tenant:
        check_tenant_name(tenant)
        join = f"{tenant}/{join}" if join and "/" not in join else join
    router = _one_of(values, "router", "weft.router")
    if tenant and router and "/" not in router:
        router = f"{tenant}/{router}"
    name = values.get("name", "")
    if name:
        check_network_name(name)
    if join and name:
        raise InvalidError(
            f"-o name={name}: cannot be given with -o network={join}, which joins a network that "
            "has its name"
        )
    return NetworkOptions(
        join=join,
        name=name,
        tenant=tenant or DEFAULT_TENANT_NAME,
        router=router,
        mtu_bytes=_number("mtu", mtu) if mtu else None,
        excludes=parse_ranges(values.get("exclude", "")),
        is_forced=_flag("-o force", values.get("force", "")),
        is_internal=_flag(INTERNAL, given.get(INTERNAL, "")),
        is_ipv6=_flag(ENABLE_IPV6, given.get(ENABLE_IPV6, "")),
        multicast=_multicast(values.get("multicast", "")),
        judges_dns=_wish(values, "judge-dns"),
        admits_host=_wish(values, "admit-host"),
    )


class EndpointOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a container asks of its place on a network."""

    allowed: tuple[AllowedAddress, ...] = ()
    """Further addresses that it may use."""
    groups: str | None = None
    """Names of security groups, with commas between; None: it says nothing."""
    admits_host: bool = False


def parse_endpoint_options(options: Options | None) -> EndpointOptions:
    """From the Options of CreateEndpoint, where ``--driver-opt`` ends up beside Docker's own.
    InvalidError for what nobody knows."""
    given = options or {}
    own = {key for key in given if key.startswith(_ENDPOINT_PREFIX)}
    check_known(own, (ALLOW_ADDRESS, GROUPS, ADMIT_HOST), "--driver-opt")
    allowed = _option_text(given, ALLOW_ADDRESS)
    return EndpointOptions(
        allowed=() if allowed is None else _all_allowed(allowed),
        groups=_option_text(given, GROUPS),
        admits_host=_flag(f"--driver-opt {ADMIT_HOST}", _option_text(given, ADMIT_HOST) or ""),
    )


def group_names(text: str) -> list[str]:
    """The names in a label or an option `GROUPS`, each once."""
    return list(dict.fromkeys(part for part in re.split(r"[\s,]+", text) if part))


def _option_text(given: Options, key: str) -> str | None:
    if key not in given:
        return None
    try:
        return msgspec.json.decode(given[key], type=str)
    except msgspec.DecodeError as error:
        raise InvalidError(f"--driver-opt {key}: must be text") from error


def _all_allowed(text: str) -> tuple[AllowedAddress, ...]:
    parts = {part: None for part in re.split(r"[\s,]+", text) if part}
    if not 1 <= len(parts) <= MAX_ALLOWED:
        raise InvalidError(
            f"--driver-opt {ALLOW_ADDRESS}={text}: say 1 to {MAX_ALLOWED} addresses or prefixes, "
            "each with =MAC behind it if it is not the container's own"
        )
    return tuple(map(_allowed, parts))


def _allowed(text: str) -> AllowedAddress:
    address, equals, mac = text.partition("=")
    what = f"--driver-opt {ALLOW_ADDRESS}"
    if "/" in address:
        cidr = parse_prefix(what, address)
    else:
        cidr = ip_network(parse_address(what, address))
    return AllowedAddress(cidr=cidr, mac=check_mac(mac) if equals else None)


class PoolOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool is to be made."""

    excludes: tuple[AddressRange, ...] = ()
    """Addresses to keep out."""
    network: str = ""
    """The network (name or id) whose subnet it shall be; empty: found by the prefix."""


def parse_pool_options(options: Mapping[str, str] | None) -> PoolOptions:
    """From ``--ipam-opt``; InvalidError for what nobody knows."""
    values = dict(options or {})
    check_known(values, POOL_KEYS, "--ipam-opt")
    return PoolOptions(
        excludes=parse_ranges(values.get("exclude", "")), network=values.get("network", "")
    )


def check_known(keys: Iterable[str], known: tuple[str, ...], flag: str) -> None:
    """InvalidError for an option that is neither Weft's nor Docker's."""
    for key in keys:
        if key in known or key.startswith(DOCKER_PREFIX):
            continue
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise InvalidError(f"{flag} {key}: unknown option; {hint}")


def parse_ranges(text: str) -> tuple[AddressRange, ...]:
    """``10.0.0.5,10.0.0.8-10.0.0.20,10.0.0.64/28`` as ranges."""
    parts = {part.strip(): None for part in text.split(",") if part.strip()}
    if len(parts) > MAX_RANGES:
        raise InvalidError(f"exclude: {len(parts)} ranges, and at most {MAX_RANGES} can be given")
    return tuple(map(_range, parts))


def parse_prefix(what: str, text: str) -> IPNetwork:
    """A prefix; InvalidError says what is wrong with it."""
    try:
        return ip_network(text)
    except ValueError as error:
        try:
            meant = ip_network(text, strict=False)
        except ValueError:
            raise InvalidError(f"{what} {text}: not a prefix such as 10.0.0.0/24") from error
        raise InvalidError(f"{what} {text}: has host bits set; did you mean {meant}?") from error


def parse_address(what: str, text: str) -> IPAddress:
    """An address, with or without a prefix length behind it."""
    try:
        return ip_address(text.partition("/")[0])
    except ValueError as error:
        raise InvalidError(f"{what} {text!r}: not an IP address") from error


def _range(text: str) -> AddressRange:
    if "/" in text:
        prefix = parse_prefix("exclude", text)
        return AddressRange(first=prefix.network_address, last=prefix.broadcast_address)
    first, _, last = text.partition("-")
    start = parse_address("exclude", first)
    end = parse_address("exclude", last or first)
    if start.version != end.version or int(start) > int(end):
        raise InvalidError(f"exclude {text}: the first address must not lie behind the last")
    return AddressRange(first=start, last=end)


def _one_of(values: Mapping[str, str], *keys: str) -> str:
    given = {values[key] for key in keys if values.get(key)}
    if len(given) > 1:
        raise InvalidError(f"options {' and '.join(keys)}: say the same; give one of them")
    return given.pop() if given else ""


def _wish(values: Mapping[str, str], key: str) -> bool | None:
    """A flag, with ``weft.`` before it or without; None: any will do."""
    text = _one_of(values, key, f"weft.{key}")
    return _flag(f"-o {key}", text) if text else None


def _multicast(text: str) -> MulticastWord | None:
    match text:
        case "":
            return None
        case "snoop" | "flood":
            return text
    raise InvalidError(f"-o multicast={text}: say snoop or flood")


def _number(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InvalidError(f"-o {key}={text}: not a number") from error


def _flag(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in (*_TRUE, *_FALSE):
        raise InvalidError(f"{key}={value}: say true or false")
    return text in _TRUE
