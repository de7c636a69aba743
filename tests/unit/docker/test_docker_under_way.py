"""What weftd does while Docker makes a network: Docker looks for the name before it begins and not
when it is done, and says the name to its driver never."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.docker.machines import Machine, machines, net, quiet, until

SUBNET = "10.1.0.0/24"


class Held:
    """Calls of one method, of one Docker, that wait until they may go on, before or after weftd
    has answered."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        machine: Machine,
        method: str,
        *,
        is_answered: bool = False,
        is_mirrored: bool = False,
    ) -> None:
        """is_mirrored: hold what weftd itself has Docker make; else what somebody else has."""
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        interface = "network" if method == "CreateNetwork" else "ipam"
        call = getattr(machine.docker, interface)

        async def held(name: str, **request: Any) -> dict[str, Any]:
            is_held = name == method and is_mirrored == ("network" in _options(request))
            if is_held and not is_answered:
                await self._hold()
            answer: dict[str, Any] = await call(name, **request)
            if is_held and is_answered:
                await self._hold()
            return answer

        monkeypatch.setattr(machine.docker, interface, held)

    async def _hold(self) -> None:
        self.reached.set()
        await self.go_on.wait()


def _options(request: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = request.get("Options") or {}
    generic: dict[str, Any] = options.get("com.docker.network.generic", options)
    return generic


def both_once(a: Machine, b: Machine) -> bool:
    return a.names == b.names == a.weft == b.weft == ["foo"]


@pytest.mark.parametrize(
    ("method", "is_answered", "ipam", "subnets"),
    [
        ("CreateNetwork", False, "weft", [SUBNET]),
        ("CreateNetwork", True, "weft", [SUBNET]),
        ("CreateNetwork", True, "default", [SUBNET]),
        ("CreateNetwork", True, "weft", []),
        ("RequestPool", True, "weft", [SUBNET]),
    ],
)
async def test_what_docker_makes_under_a_name_not_known_yet_is_not_made_beside_it(
    monkeypatch: pytest.MonkeyPatch, method: str, is_answered: bool, ipam: str, subnets: list[str]
) -> None:
    async with machines("a", "b") as (a, b):
        held = Held(monkeypatch, b, method, is_answered=is_answered)
        making = asyncio.create_task(b.engine.create_network("foo", *subnets, ipam=ipam))
        await held.reached.wait()
        await a.engine.create_network("foo", *subnets, ipam=ipam)
        await until(a.cluster, lambda: "foo" in a.weft and "foo" in b.weft)
        await quiet(a.cluster)
        assert b.names == []
        held.go_on.set()
        await making
        await until(a.cluster, lambda: both_once(a, b))
        await quiet(a.cluster)
        assert both_once(a, b) and a.notices == b.notices == []
        assert "Err" not in await b.endpoint("foo")


async def test_what_docker_gave_up_is_made_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    async with machines("a", "b") as (a, b):
        held = Held(monkeypatch, b, "CreateNetwork")
        making = asyncio.create_task(
            b.engine.create_network("bar", SUBNET, ipam="weft", multicast="nonsense")
        )
        await held.reached.wait()
        await a.host.control.networks.create(net("foo", "10.2.0.0/24"))
        await until(a.cluster, lambda: a.names == ["foo"])
        await quiet(a.cluster)
        assert b.names == []
        held.go_on.set()
        with pytest.raises(RuntimeError, match="nonsense"):
            await making
        await until(a.cluster, lambda: both_once(a, b), timeout_s=5)


async def test_weftd_gives_way_to_a_network_that_docker_has_made_in_the_meantime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with machines("a", "b") as (a, b):
        held = Held(monkeypatch, b, "CreateNetwork", is_mirrored=True)
        await a.engine.create_network("foo", SUBNET, ipam="weft")
        await until(a.cluster, held.reached.is_set)
        await b.engine.create_network("foo", SUBNET, ipam="weft")
        held.go_on.set()
        await until(a.cluster, lambda: b.engine.refused == ["foo"])
        await until(a.cluster, lambda: both_once(a, b))
        await until(a.cluster, lambda: a.notices == b.notices == [])
        assert "Err" not in await b.endpoint("foo")


async def test_what_weftd_has_made_in_the_meantime_exists_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with machines("a", "b") as (a, b):
        held = Held(monkeypatch, b, "CreateNetwork", is_mirrored=True, is_answered=True)
        await a.engine.create_network("foo", SUBNET, ipam="weft")
        await until(a.cluster, held.reached.is_set)
        with pytest.raises(RuntimeError, match="already exists in Docker"):
            await b.engine.create_network("foo", SUBNET, ipam="weft")
        held.go_on.set()
        await until(a.cluster, lambda: both_once(a, b))


async def test_what_docker_refused_once_is_asked_for_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with machines("a", "b") as (a, b):
        create, attempts = b.engine.create_network, []

        async def at_first_not(name: str, *subnets: str, **wanted: Any) -> str:
            attempts.append(name)
            if len(attempts) < 3:
                raise RuntimeError("not now")
            return await create(name, *subnets, **wanted)

        monkeypatch.setattr(b.engine, "create_network", at_first_not)
        await a.engine.create_network("foo", SUBNET, ipam="weft")
        await until(a.cluster, lambda: both_once(a, b), timeout_s=8)
        assert len(attempts) == 3
        await until(a.cluster, lambda: a.notices == b.notices == [])
