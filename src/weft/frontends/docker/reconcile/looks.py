"""Looks at Docker and at the records, and brings the two together.

A look gathers facts, decides and carries out, until nothing is left to do. Actions on networks are
decided and carried out while no call of Docker's makes or removes one; Docker itself is asked for
something only in the meantime, for it calls its plugin before it answers.
"""

from __future__ import annotations

from weft.frontends.docker.dockerd import Dockerd
from weft.frontends.docker.ipam import IpamCalls
from weft.frontends.docker.networks import NetworkCalls
from weft.frontends.docker.reconcile import gather
from weft.frontends.docker.reconcile.actions import Action, OfNetworks
from weft.frontends.docker.reconcile.carry_out import CarryingOut
from weft.frontends.docker.reconcile.containers import revive
from weft.frontends.docker.reconcile.decide import Decide, decide, of_containers
from weft.frontends.docker.reconcile.facts import WITHOUT_CONTAINER, DockerFacts
from weft.frontends.docker.state import DockerState

AT_ONCE = 16
"""Actions on networks between two chances for calls of Docker's, which wait in the meantime."""


class Looks:
    """How far a look goes. Looks may overlap; those at everything are made one at a time."""

    def __init__(self, state: DockerState, networks: NetworkCalls, ipam: IpamCalls) -> None:
        self._state = state
        self._networks = networks
        self._hands = CarryingOut(state, networks, ipam)

    async def at_everything(self, docker: Dockerd, *, is_first: bool) -> None:
        """Everything that Docker has and Weft has not, and the reverse. `is_first`: since this
        connection was made."""
        facts = await gather.everything(docker, is_first=is_first)
        self._state.engine = facts.engine
        self._state.learn_endpoints(facts.endpoints)
        await self._bring_about(docker, facts)

    async def at_list(self, docker: Dockerd) -> None:
        """Which networks Docker has, by name: they shall be those of the cluster."""
        await self._bring_about(docker, DockerFacts(engine=self._state.engine))
        await self._bring_about(docker, await gather.list_of_networks(docker, self._state.engine))

    async def at_network(self, docker: Dockerd, docker_id: str) -> None:
        """A network that Docker has just made: its name, and its labels, which other hosts' engines
        get as well (docker compose knows its networks by them)."""
        facts = await gather.network(docker, self._state.engine, docker_id)
        await self._bring_about(docker, facts)

    async def at_container(self, docker: Dockerd, container_id: str) -> None:
        """A container's names, labels and security groups, for its ports."""
        if not container_id.startswith(WITHOUT_CONTAINER):
            facts = await gather.container(docker, container_id)
            await self._bring_about(docker, facts, of_containers)

    async def at_stopped(self, docker: Dockerd) -> None:
        """Containers that could not be started, for weftd was away."""
        await self._bring_about(docker, await gather.stopped(docker), revive)

    async def _bring_about(
        self, docker: Dockerd, facts: DockerFacts, decide: Decide = decide
    ) -> None:
        """Decide and carry out until nothing is left. What failed is left for the next look."""
        done: set[Action] = set()
        while True:
            async with self._networks.lock:
                actions = self._next(facts, done, decide)
                if actions and isinstance(actions[0], OfNetworks):
                    facts = await self._carry_out(actions, docker, facts)
                    continue
            if not actions:
                return
            facts = await self._carry_out(actions, docker, facts)

    def _next(self, facts: DockerFacts, done: set[Action], decide: Decide) -> list[Action]:
        """The actions of one kind that come first, among those that were not done yet. Of actions
        on networks only a few."""
        decided = decide(facts, self._state.records, self._state.memory())
        left = [action for action in decided if action not in done]
        actions = [action for action in left if type(action) is type(left[0])]
        if actions and isinstance(actions[0], OfNetworks):
            actions = actions[:AT_ONCE]
        done.update(actions)
        return actions

    async def _carry_out(
        self, actions: list[Action], docker: Dockerd, facts: DockerFacts
    ) -> DockerFacts:
        for action in actions:
            facts = await self._hands.carry_out(action, docker, facts)
        return facts
