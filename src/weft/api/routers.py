"""What a router has beyond what every noun has: connections, and routes, one at a time."""

from __future__ import annotations

from weft.api.context import Context
from weft.api.resources.router import ROUTER
from weft.api.route import AnyRoute, Call, Route
from weft.api.schema import Empty, RouteQuery, RouterInfo
from weft.control.router_specs import ConnectionSpec, RouteSpec
from weft.errors import ConflictError, ExhaustedError, InUseError, InvalidError, NotFoundError


async def connect(context: Context, call: Call[ConnectionSpec, Empty]) -> RouterInfo:
    """Connect a router to a network."""
    router = await context.control.routers.connect(call.path["router"], call.body)
    return ROUTER.answer(context, router)


async def disconnect(context: Context, call: Call[None, Empty]) -> None:
    """Undo that."""
    await context.control.routers.disconnect(call.path["router"], call.path["network"])


async def add_route(context: Context, call: Call[RouteSpec, Empty]) -> RouterInfo:
    """Give a router a route."""
    router = await context.control.routers.add_route(call.path["router"], call.body)
    return ROUTER.answer(context, router)


async def remove_route(context: Context, call: Call[None, RouteQuery]) -> None:
    """Take it away."""
    query = call.query
    await context.control.routers.remove_route(call.path["router"], query.prefix, query.source)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="POST",
        path="/v1/routers/{router}/networks",
        handler=connect,
        summary="Connect a router to a network, or give it other addresses there",
        query=Empty,
        body=ConnectionSpec,
        answer=RouterInfo,
        status=201,
        errors=(InvalidError, NotFoundError, ConflictError, ExhaustedError, InUseError),
    ),
    Route(
        method="DELETE",
        path="/v1/routers/{router}/networks/{network}",
        handler=disconnect,
        summary="Take a router off a network",
        query=Empty,
        status=204,
        errors=(InvalidError, NotFoundError, InUseError),
    ),
    Route(
        method="POST",
        path="/v1/routers/{router}/routes",
        handler=add_route,
        summary="Give a router a route, or a route other next hops",
        query=Empty,
        body=RouteSpec,
        answer=RouterInfo,
        status=201,
        errors=(InvalidError, NotFoundError, ConflictError),
    ),
    Route(
        method="DELETE",
        path="/v1/routers/{router}/routes",
        handler=remove_route,
        summary="Take a route of a router away",
        query=RouteQuery,
        status=204,
        errors=(InvalidError, NotFoundError),
    ),
)
