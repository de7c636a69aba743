"""A host that runs the real weftd, in a lab of its own, for the length of a measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from weft.api.client import Client
from weft.api.schema import NetworkInfo, NetworkList, PortInfo, StatusInfo
from weft.bench.namespace import Namespace
from weft.bench.programs import FROM_PORT, of_weft
from weft.bench.topology import Pair
from weft.control.specs import AttachSpec, NetworkSpec, SubnetSpec
from weft.errors import UnavailableError
from weft.lab.host import LabHost
from weft.lab.lab import Lab
from weft.model.addresses import ip_network

NETWORK_MTU_BYTES = 1450
"""What a network gets on an underlay of 1500."""


class WeftHost:
    """The host, and the shortest way to its API."""

    def __init__(self, host: LabHost) -> None:
        self.host = host
        self.api = Client(host.api_socket)

    @property
    def pid(self) -> int:
        """Of weftd."""
        process = self.host.weftd
        if process is None:
            raise UnavailableError(f"weftd does not run; see {self.host.weftd_log}")
        return process.pid

    def is_ready(self) -> bool:
        """Whether the kernel holds what the records say."""
        try:
            return self.api.get(StatusInfo, "status").is_ready
        except UnavailableError:
            return False

    def create_network(self, name: str, *cidrs: str) -> NetworkInfo:
        """Make a network; without prefixes its subnet comes from the pool."""
        subnets = tuple(SubnetSpec(cidr=ip_network(cidr)) for cidr in cidrs)
        spec = NetworkSpec(name=name, subnets=subnets)
        return self.api.send(NetworkInfo, "POST", "networks", body=spec)

    def knows_network(self, name: str) -> bool:
        """Whether it is among the networks here."""
        return any(
            network.name == name for network in self.api.get(NetworkList, "networks").networks
        )

    def attach(
        self, namespace: Namespace, network: str, *names: str, groups: tuple[str, ...] = ()
    ) -> PortInfo:
        """Plug a namespace into a network, as a member of security groups."""
        spec = AttachSpec(target=str(namespace.pid), network=network, names=names, groups=groups)
        return self.api.send(PortInfo, "POST", "attachments", body=spec)

    def detach(self, namespace: Namespace, network: str) -> None:
        """Unplug it."""
        query = {"target": str(namespace.pid), "network": network}
        self.api.delete("attachments", query=query)

    @contextmanager
    def pair(self, mtu_bytes: int) -> Iterator[Pair]:
        """Two workloads on a network of their own: Weft's variant of `topology`."""
        name = f"pair{time.monotonic_ns() % 10**6}"
        self.create_network(name)
        with ExitStack() as stack:
            stack.callback(self.api.delete, "networks", name)
            ends = []
            for role in ("client", "server"):
                end = stack.enter_context(Namespace(role))
                port = self.attach(end, name, role)
                stack.callback(self.detach, end, name)
                ends.append((end, port.addresses[0]))
            (client, _), (server, address) = ends
            client.run(["ping", "-c", "1", "-W", "1", "-w", "10", address])
            programs = stack.enter_context(of_weft([self.pid], [FROM_PORT]))
            yield Pair(client, server, address, programs)


@contextmanager
def weft_host(say: Callable[[str], None], *, has_docker: bool = False) -> Iterator[WeftHost]:
    """One host of a fresh lab; nothing is left afterwards."""
    lab = Lab(f"bench-{os.getpid()}", say)
    try:
        # One port asks as much as the server answers.
        lab.up(1, has_docker=has_docker, settings={"dns_queries_per_s": 10_000_000})
        yield WeftHost(lab.host("h1"))
    finally:
        lab.down()
