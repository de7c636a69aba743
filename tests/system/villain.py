"""A member with the token whose programs are the enemy's: real TLS, and messages of its own making.

    villain.py STATE_DIR HOST_ID NETWORK_ID ADDRESS:PORT…

Says ``done`` when all of it was sent to all of these hosts, and holds its links until its standard
input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from tests.property.hostile import bodies
from weft import logs
from weft.cluster.endpoints import parse_endpoints
from weft.cluster.interface import Identity, Target
from weft.cluster.secret import Secrets
from weft.cluster.tls_transport import TlsTransport
from weft.mesh import incarnations, wire
from weft.mesh.delta import Delta, Span
from weft.mesh.digest import Digest
from weft.mesh.messages import DigestMessage, Hello, Message, Part
from weft.model.ids import HostId
from weft.model.records import Cluster, ForgottenHost
from weft.store.entry import Entry, Origin
from weft.store.ownership import OWNED_KINDS

EXAMPLES = 400
SETTLED_S = 1.0
HUGE = 2**62 - 1
TOKEN_POWERS = (Cluster.KIND, ForgottenHost.KIND)
"""What any member may do for good: settings of all, and removing hosts."""


class Villain:
    """Implements the mesh's listener."""

    def __init__(self, state_dir: Path, host_id: str, network_id: str) -> None:
        self.me = host_id
        self.network_id = network_id
        self.now = int(time.time() * 1000) << 16
        self.origin = Origin(host_id, self.now + 2**30)
        self.up: set[str] = set()
        self.told: set[str] = set()
        self.made = self.entries()
        secrets = Secrets.open(state_dir)
        assert secrets is not None
        identity = Identity(
            host_id=HostId(host_id), name="h3", version="6.6.6", instance=os.urandom(8).hex()
        )
        self.transport = TlsTransport(
            identity, secrets, port=0, refusal_of=lambda _: None, randomness=random.Random(1)
        )
        self.transport.listener = self

    def link_up(self, peer: str) -> None:
        """The first link may give way to another one at once, so it is not used at once."""
        self.up.add(peer)
        asyncio.get_running_loop().call_later(SETTLED_S, self.speak_to, peer)

    def speak_to(self, peer: str) -> None:
        if peer in self.up:
            for message in self.messages(sorted(self.up)):
                self.transport.send(peer, wire.encode(message))
            self.told.add(peer)

    def link_down(self, peer: str) -> None:
        self.up.discard(peer)
        self.told.discard(peer)

    def receive(self, peer: str, data: bytes) -> None:
        """It does not listen."""

    def entries(self) -> list[Entry]:
        """Records of all kinds."""
        made: list[Entry] = []

        @seed(7)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(bodies)
        def collect(found: tuple[str, bytes]) -> None:
            kind, body = found
            if kind not in TOKEN_POWERS:
                own = body.replace(b"0123456789abcdef", self.me.encode())
                made.append(self.entry(kind, _id_in(own), own, len(made) + 1))

        collect()
        for kind, body in (
            ("host", {"id": self.me, "name": "h3", "mesh_port": 2**40}),
            (
                "host-keys",
                {"id": self.me, "host_id": self.me, "public_key": "zz", "port": 6783},
            ),
        ):
            made.append(self.entry(kind, self.me, json.dumps(body).encode(), len(made) + 1))
        deep = b'{"id":"deep","name":"deep","vni":9,"x":' + b"[" * 1000 + b"]" * 1000 + b"}"
        made.append(self.entry("network", "deep", deep, len(made) + 1))
        return made

    def entry(self, kind: str, id: str, body: bytes, sequence: int) -> Entry:
        return Entry(kind, id, self.now, self.origin, sequence, body, kind in OWNED_KINDS)

    def messages(self, victims: list[str]) -> list[Message]:
        said: list[Message] = [Hello(self.me, Digest())]
        entries = self.made
        parts = [entries[at : at + 40] for at in range(0, len(entries), 40)]
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            spans = {self.origin: Span(0, len(entries))} if is_last else {}
            said.append(Part(1, number, is_last, Delta("increment", part, spans, {})))
        for transfer, delta in enumerate(self.forgeries(victims), 2):
            said.append(Part(transfer, 0, True, delta))
        marks = {Origin(victim, HUGE): HUGE for victim in victims}
        said.append(DigestMessage(Digest(marks), True, HUGE))
        return said

    def forgeries(self, victims: list[str]) -> list[Delta]:
        """In the names of others, and with numbers that nobody could overtake."""
        body = json.dumps({"id": self.network_id, "name": "stolen", "vni": 4711}).encode()
        deltas = []
        for clock in (HUGE, 2**61, 2**63):
            entry = Entry("network", self.network_id, clock, self.origin, 2**40, body)
            deltas.append(Delta("increment", (entry,), {}, {}))
        for victim in victims:
            for incarnation in (HUGE, 2**61):
                origin = Origin(victim, incarnation)
                statement = b'{"before":%d}' % incarnation
                entry = Entry(incarnations.KIND, victim, 1, origin, HUGE, statement, True)
                span = {origin: Span(0, HUGE)}
                deltas.append(Delta("increment", (entry,), span, {origin: HUGE}))
        return deltas

    async def run(self, endpoints: str) -> None:
        targets = [Target(endpoints=(each,)) for each in parse_endpoints(endpoints, 6783)]
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.transport.run())
            self.transport.want(targets)
            async with asyncio.timeout(60):
                while len(self.told) < len(targets):  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.05)
            print("done", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            running.cancel()


def _id_in(body: bytes) -> str:
    id = json.loads(body).get("id")
    return id if isinstance(id, str) and id else "x"


def main(state_dir: str, host_id: str, network_id: str, endpoints: str) -> None:
    logs.set_up("error")
    asyncio.run(Villain(Path(state_dir), host_id, network_id).run(endpoints))


if __name__ == "__main__":
    main(*sys.argv[1:])
