"""What no program at traffic control can be faster than: programs that forward and do nothing else.

On clsact, the hook that every kernel has, they are what Weft's programs are compared with. On tcx,
and without what the kernel at hand does by itself, they are called the limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from ipaddress import IPv4Address

from weft.bench.programs import FROM_PORT, FROM_WIRE, BareProgram, Hook, check
from weft.bench.topology import DEVICE, Pair, give_addresses, links_of, through_middle
from weft.bench.two_hosts import CABLE, HOSTS, workloads
from weft.errors import UnavailableError

REDIRECT_PEER = "redirect_peer"
BPF_VXLAN = "bpf vxlan"
LIMIT = "the limit"
_LEAN = {"KERNEL_CHANGES_TYPE": "1"}


@contextmanager
def redirect_peer(mtu_bytes: int) -> Iterator[Pair]:
    """On one host, a program on each port that hands all to the other."""
    with _redirected(mtu_bytes, Hook.CLSACT, {}) as pair:
        yield pair


@contextmanager
def redirect_limit(mtu_bytes: int) -> Iterator[Pair]:
    """The same on tcx, and without a call that newer kernels need no more."""
    check(Hook.TCX)
    with _redirected(mtu_bytes, Hook.TCX, _LEAN if _kernel_changes_type() else {}) as pair:
        yield pair


@contextmanager
def bpf_vxlan(mtu_bytes: int, hook: Hook = Hook.CLSACT) -> Iterator[Pair]:
    """Between two hosts, a program on each side that adds and removes the header."""
    with BareProgram("vxlan.c", hook) as program, workloads(mtu_bytes) as (hosts, ends):
        cables = [links_of(host) for host in hosts]
        for number, host in enumerate(hosts):
            own, other = cables[number], cables[1 - number]
            definitions = {
                "CABLE_IFINDEX": own[CABLE]["ifindex"],
                "WORKLOAD_IFINDEX": own["to-workload"]["ifindex"],
                "LOCAL_MAC": _octets(own[CABLE]["address"]),
                "REMOTE_MAC": _octets(other[CABLE]["address"]),
                "LOCAL_ADDRESS": hex(int(IPv4Address(HOSTS[number]))),
                "REMOTE_ADDRESS": hex(int(IPv4Address(HOSTS[1 - number]))),
            }
            program.attach(host, "to-workload", FROM_PORT, definitions)
            program.attach(host, CABLE, FROM_WIRE, definitions)
        macs = [links_of(end)[DEVICE]["address"] for end in ends]
        for end, address, mac in zip(ends, ("192.0.2.2", "192.0.2.1"), reversed(macs), strict=True):
            end.ip(
                f"link set {DEVICE} up",
                f"neighbour add {address} lladdr {mac} dev {DEVICE} nud permanent",
            )
        give_addresses(*ends)
        yield Pair(*ends, "192.0.2.2", program.programs)


@contextmanager
def _redirected(mtu_bytes: int, hook: Hook, definitions: Mapping[str, str]) -> Iterator[Pair]:
    with (
        BareProgram("redirect.c", hook) as program,
        through_middle(mtu_bytes) as (middle, client, server),
    ):
        ifindexes = {name: link["ifindex"] for name, link in links_of(middle).items()}
        for device, other in (("to-client", "to-server"), ("to-server", "to-client")):
            target = {"TARGET": str(ifindexes[other])}
            program.attach(middle, device, FROM_PORT, {**definitions, **target})
        give_addresses(client, server)
        yield Pair(client, server, "192.0.2.2", program.programs)


@cache
def _kernel_changes_type() -> bool:
    """Whether a packet that is redirected to a peer becomes its own (since Linux 6.15): tried."""
    try:
        with _redirected(1500, Hook.CLSACT, _LEAN):
            return True
    except UnavailableError:
        return False


def _octets(mac: str) -> str:
    return ",".join(f"0x{octet}" for octet in mac.split(":"))
