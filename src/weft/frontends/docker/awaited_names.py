"""Calls that wait until Docker's name for a network is known, which comes by another way."""

from __future__ import annotations

import asyncio

from weft.errors import UnavailableError
from weft.frontends.docker.records import DockerRecords

NAME_WAIT_S = 5.0
"""How long an endpoint waits for the name of its network."""


class AwaitedNames:
    """The calls that wait."""

    def __init__(self, records: DockerRecords) -> None:
        self._records = records
        self._learnt = asyncio.Condition()

    async def named(self, docker_id: str) -> None:
        """Return when it is known which network of the cluster this is; UnavailableError."""
        try:
            async with asyncio.timeout(NAME_WAIT_S), self._learnt:
                await self._learnt.wait_for(lambda: not self._is_awaited(docker_id))
        except TimeoutError:
            raise UnavailableError(
                f"network {docker_id[:12]}: Docker has not told weft its name yet; try again"
            ) from None

    async def look_again(self) -> None:
        """Something was learnt about a network."""
        async with self._learnt:
            self._learnt.notify_all()

    def _is_awaited(self, docker_id: str) -> bool:
        record = self._records.docker_network(docker_id)
        return record is not None and record.is_name_awaited
