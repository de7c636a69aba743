"""The ebpf engine's compile functions: what one host's kernel must hold, from the records.

Pure: no clock, no kernel, no ifindex. One module a record kind or subject; what rows there are is
said in the two `tables`, of this engine and of the plumbing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from weft.engine.compiler import CompileFunction
from weft.engine.ebpf.compile import (
    hosts,
    multicast_groups,
    networks,
    ports,
    routers,
    subnets,
    tunnels,
)
from weft.model.ids import HostId
from weft.model.records import (
    Host,
    MulticastMembership,
    Neighbours,
    Network,
    Port,
    Record,
    Router,
    RouterPort,
    Subnet,
)


def functions(
    host_id: HostId, *, is_device: bool = False
) -> Mapping[type[Record], CompileFunction]:
    """The compile functions for one host. is_device: its setting `encapsulation`."""
    return {
        Host: partial(hosts.compile_host, host_id, is_device=is_device),
        Neighbours: partial(tunnels.compile_neighbours, host_id, is_device=is_device),
        Network: partial(networks.compile_network, host_id),
        Subnet: partial(subnets.compile_subnet, host_id),
        Router: partial(routers.compile_router, host_id),
        RouterPort: partial(routers.compile_router_port, host_id),
        Port: partial(ports.compile_port, host_id),
        MulticastMembership: partial(multicast_groups.compile_multicast_membership, host_id),
    }
