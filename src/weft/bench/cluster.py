"""Hosts that run the real weftd and have joined each other, for the length of a measurement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count

from weft.api.schema import NetworkInfo, PortList
from weft.bench.host import WeftHost
from weft.bench.namespace import Namespace
from weft.bench.programs import of_weft
from weft.bench.topology import Pair, Variant
from weft.control.specs import NetworkSpec, SubnetSpec
from weft.lab.command import run
from weft.lab.host import LabHost, Setting, weft_command
from weft.lab.lab import Lab
from weft.lab.layout import OUTSIDE, UNDERLAY_DEVICE
from weft.lab.processes import wait_until
from weft.model.addresses import ip_network

JOINED_WITHIN_S = 30.0
_LABS = count(1)
_NETWORKS = count(1)


class Cluster:
    """Hosts of one lab; grows by `join`."""

    def __init__(self, lab: Lab) -> None:
        self.hosts: list[WeftHost] = []
        self._lab = lab
        self._token = ""

    def join(self, name: str, *options: str) -> WeftHost:
        """Start weftd on a host of the lab as a member; returns when `weft up` does."""
        host = self._lab.host(name)
        command = [*weft_command(), "up", *options]
        if self.hosts:
            first = self.hosts[0].host
            command += ["--join", str(first.layout.address4), "--token", "-"]
            host.run(command, text=self._token)
        else:
            host.run(command)
            self._token = host.run([*weft_command(), "token", "show"])
        self.hosts.append(WeftHost(host))
        return self.hosts[-1]

    def await_network(self, name: str) -> None:
        """Return when every host knows a network."""
        for host in self.hosts:
            what = f"{host.host.name} knows network {name}"
            wait_until(what, partial(host.knows_network, name), JOINED_WITHIN_S)

    def _remove_network(self, name: str) -> None:
        """Once the first host has heard that nothing is on it any more."""
        first = self.hosts[0].api

        def is_empty() -> bool:
            return not first.get(PortList, "ports", query={"network": name}).ports

        wait_until(f"network {name} is empty", is_empty, JOINED_WITHIN_S)
        first.delete("networks", name)

    def variant(self, *roles: str, is_ipv6: bool = False) -> Variant:
        """Two workloads, on the first host and the second, for `topology`.

        roles: of the programs that packets between them meet, if their time is asked for.
        """
        return partial(self._pair, roles=roles, is_ipv6=is_ipv6)

    @contextmanager
    def _pair(self, mtu_bytes: int, *, roles: Sequence[str], is_ipv6: bool) -> Iterator[Pair]:
        first, second, *_ = self.hosts
        number = next(_NETWORKS)
        name = f"pair{number}"
        prefix = f"fd57:{number:x}::/64" if is_ipv6 else f"10.95.{number}.0/24"
        spec = NetworkSpec(
            name=name,
            subnets=(SubnetSpec(cidr=ip_network(prefix)),),
            mtu_bytes=mtu_bytes,
        )
        first.api.send(NetworkInfo, "POST", "networks", body=spec)
        with ExitStack() as stack:
            stack.callback(self._remove_network, name)
            self.await_network(name)
            ends, addresses = [], []
            for host, role in ((first, "client"), (second, "server")):
                end = stack.enter_context(Namespace(role))
                addresses.append(host.attach(end, name, role).addresses[0])
                stack.callback(host.detach, end, name)
                ends.append(end)
            ping = ["ping", "-c", "1", "-W", "1", "-i", "0.2", "-w", "20", addresses[1]]
            ends[0].run(ping)
            programs = stack.enter_context(of_weft([first.pid, second.pid], roles))
            yield Pair(ends[0], ends[1], addresses[1], programs)


@contextmanager
def weft_cluster(
    say: Callable[[str], None],
    hosts: int,
    *options: str,
    mtu_bytes: int = 1500,
    settings: Mapping[str, Setting] | None = None,
    has_docker: bool = False,
) -> Iterator[Cluster]:
    """A fresh lab whose hosts have joined; two of them have one cable instead of a bridge.

    options: of `weft up` on the first. Nothing is left afterwards.
    """
    with lab_hosts(say, hosts, mtu_bytes, settings, has_docker=has_docker) as lab:
        cluster = Cluster(lab)
        for number in range(1, hosts + 1):
            cluster.join(f"h{number}", *(options if number == 1 else ()))
        yield cluster


@contextmanager
def lab_hosts(
    say: Callable[[str], None],
    hosts: int,
    mtu_bytes: int,
    settings: Mapping[str, Setting] | None = None,
    *,
    has_docker: bool = False,
) -> Iterator[Lab]:
    """The hosts of a fresh lab, without weftd."""
    lab = Lab(f"bench-{os.getpid()}-{next(_LABS)}", say)
    try:
        lab.up(
            hosts,
            has_docker=has_docker,
            has_weftd=False,
            mtu_bytes=mtu_bytes,
            settings=settings,
        )
        if hosts == 2:
            _cable(lab.host("h1"), lab.host("h2"), mtu_bytes)
        yield lab
    finally:
        lab.down()


def _cable(one: LabHost, other: LabHost, mtu_bytes: int) -> None:
    """In place of their cables to the lab's bridge, one from host to host: what is compared with
    has no bridge in between either."""
    for host in (one, other):
        host.run(["ip", "link", "delete", UNDERLAY_DEVICE])
    run(
        ["nsenter", f"--net={one.net_file}", "--", "ip", "-batch", "-"],
        text=f"link add {UNDERLAY_DEVICE} mtu {mtu_bytes} type veth"
        f" peer name {UNDERLAY_DEVICE} mtu {mtu_bytes} netns {other.net_file}\n",
    )
    for host in (one, other):
        layout = host.layout
        lab, outside = layout.lab, layout.lab.node(OUTSIDE)
        lines = [
            f"address add {layout.address4}/{lab.prefix4.prefixlen} dev {UNDERLAY_DEVICE}",
            f"address add {layout.address6}/{lab.prefix6.prefixlen} dev {UNDERLAY_DEVICE} nodad",
            f"link set {UNDERLAY_DEVICE} up",
            f"route add default via {outside.address4} dev {UNDERLAY_DEVICE}",
        ]
        host.run(["ip", "-batch", "-"], text="\n".join(lines) + "\n")
