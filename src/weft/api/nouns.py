"""The routes of a noun, made from its description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weft.api.context import Context
from weft.api.resources.base import A, C, R, Resource, S, Verb
from weft.api.route import AnyRoute, Call, Handler, Route
from weft.api.schema import Answer, Empty
from weft.control.specs import Spec


def routes(resource: Resource[R, S, C, A]) -> Iterator[AnyRoute]:
    """In the order of the command line: create, ls, inspect, set, rm, as far as there are such."""
    every = f"/v1/{resource.plural}"
    one = "/".join((every, *(f"{{{name}}}" for name in resource.parameters)))
    verbs, listing, info = resource.verbs, resource.listing, resource.info
    if verb := verbs.get("ls"):
        yield _route("GET", every, verb, _list(resource), answer=listing)
    if verb := verbs.get("create"):
        yield _route(
            "POST", every, verb, _create(resource), body=resource.spec, answer=info, status=201
        )
    if verb := verbs.get("inspect"):
        yield _route("GET", one, verb, _inspect(resource), answer=resource.detail)
    if verb := verbs.get("rm"):
        yield _route("DELETE", one, verb, _remove(resource), status=204)
    if verb := verbs.get("set"):
        yield _route("PATCH", one, verb, _change(resource), body=resource.changes, answer=info)


def _route(
    method: str,
    path: str,
    verb: Verb[A],
    handler: Handler[Any, Any],
    *,
    body: type[Spec] | None = None,
    answer: type[Answer] | None = None,
    status: int = 200,
) -> AnyRoute:
    handler.__doc__ = f"{verb.summary}. {verb.more}".strip()
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=verb.summary,
        query=verb.query,
        body=body,
        answer=answer,
        status=status,
        errors=verb.errors,
    )


def _list(resource: Resource[R, S, C, A]) -> Handler[None, Spec]:
    async def list_(context: Context, call: Call[None, Spec]) -> Answer:
        return resource.list(context, call.query)

    return list_


def _create(resource: Resource[R, S, C, A]) -> Handler[S, Empty]:
    async def create(context: Context, call: Call[S, Empty]) -> A:
        made = await resource.create(context.control, call.body)
        await _follow(context, resource)
        return resource.answer(context, made)

    return create


def _inspect(resource: Resource[R, S, C, A]) -> Handler[None, Empty]:
    async def inspect(context: Context, call: Call[None, Empty]) -> Answer:
        show = resource.inspect or resource.answer
        return show(context, resource.find(context.control, call.path))

    return inspect


def _change(resource: Resource[R, S, C, A]) -> Handler[C, Empty]:
    async def change(context: Context, call: Call[C, Empty]) -> A:
        found = resource.find(context.control, call.path)
        changed = await resource.change(context.control, found, call.body)
        await _follow(context, resource)
        return resource.answer(context, changed)

    return change


def _remove(resource: Resource[R, S, C, A]) -> Handler[None, Spec]:
    async def remove(context: Context, call: Call[None, Spec]) -> None:
        found = resource.find(context.control, call.path)
        await resource.remove(context.control, found, call.query)
        await _follow(context, resource)

    return remove


async def _follow(context: Context, resource: Resource[R, S, C, A]) -> None:
    if resource.is_followed:
        await context.control.followers.settle()
