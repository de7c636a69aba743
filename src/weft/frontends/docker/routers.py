"""The router of a Docker network (``-o weft.router=r1``): the network is connected to it when it is
made, and taken off all routers when it goes."""

from __future__ import annotations

from weft.control.control import Control
from weft.control.router_specs import ConnectionSpec
from weft.frontends.docker.options import NetworkOptions
from weft.model.ids import RouterId
from weft.model.records import Network, RouterPort
from weft.semantics.networks import ports_that_use


def router_of(control: Control, options: NetworkOptions) -> RouterId | None:
    """The router that options name; NotFoundError: there is none."""
    return control.routers.find(options.router).id if options.router else None


async def connect(control: Control, router: RouterId | None, network: Network) -> None:
    """Make the router the gateway of the network. If it is, nothing happens."""
    if router is not None:
        await control.routers.connect(router, ConnectionSpec(network=network.id))


async def disconnect_unused(control: Control, network: Network) -> None:
    """Take a network that no port uses off all routers. InUseError or InvalidError: routes lead
    through it."""
    if ports_that_use(control.view, network):
        return
    for place in tuple(control.view.by(RouterPort, "network_id", network.id)):
        await control.routers.disconnect(place.router_id, network.id)
