"""This host's part in encryption: its keys, and its steps between plain and encrypted.

Each step follows from the records (`topology.encryption`), is written as this host's own, and
counts for the others once the kernel has followed. The last check before others may rely on a
host is a handshake with every host beside it: where a firewall stops WireGuard, encryption is not
turned on, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from weft.config import Settings
from weft.control.encryption import changed, may_begin_encrypted
from weft.control.notices import Notice, Notices
from weft.engine.ebpf.plane import WAYS_TO_HOSTS
from weft.engine.failures import Failure
from weft.engine.plumbing.device_names import WEFTWG
from weft.engine.plumbing.tables.wireguard import WIREGUARD_PEERS
from weft.errors import ConflictError, UnavailableError, WeftError
from weft.kernel.links import find_link
from weft.kernel.netlink import Netlink
from weft.kernel.wireguard import device
from weft.kernel.wireguard.key_file import KeyPair, text
from weft.model.choices import EncryptionStage
from weft.model.ids import HostId, RandomBytes, new_id
from weft.model.records import (
    Cluster,
    ForgottenHost,
    Host,
    HostKeys,
    Neighbours,
)
from weft.observers.host.wireguard_keys import WireGuardKeys
from weft.store.interface import Changed, Delete, Put, Store
from weft.topology.encryption import (
    Hindrance,
    Party,
    cluster_settings,
    hindrances,
    is_settled,
    knows_key,
    next_end,
    others,
    party,
)
from weft.topology.routes import data_routes, routes

log = structlog.get_logger()

LINGER_S = 1.0
"""How long packets that were sent the former way may still be on their way, before other hosts may
refuse them."""
POLL_S = 0.2
"""Between two looks at facts that no record tells: handshakes, rows that failed."""
PATIENCE_S = 3.0
"""Before an administrator is told of a step that waits: a first handshake may take a second."""
IDLE_S = 600.0
"""Between two looks at the age of the keys."""
SENDS = EncryptionStage.SENDS

Handshakes = Callable[[], Mapping[str, float]]
"""Public key of a peer -> Unix time of the last handshake with it; 0: never."""


class Kernel(Protocol):
    """The engine, as far as this goes."""

    async def settle(self) -> None:
        """Return when all written records are in force or have failed."""
        ...

    def failures(self) -> Sequence[Failure]:
        """Rows that are not in force."""
        ...

    def repair_soon(self) -> None:
        """Try them again."""
        ...


class Encryption:
    """Runs beside the engine. Writes this host's `HostKeys`."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        host_id: HostId,
        kernel: Kernel,
        *,
        random_bytes: RandomBytes,
        notices: Notices,
        wall_s: Callable[[], float] = time.time,
        handshakes: Handshakes | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._host_id = host_id
        self._kernel = kernel
        self._random_bytes = random_bytes
        self._notices = notices
        self._wall_s = wall_s
        self._keys = WireGuardKeys(Path(settings.state_dir), random_bytes, wall_s)
        self._handshakes = handshakes or (lambda: read_handshakes(settings))
        self._pair: KeyPair | None = None
        self._waiting_since_s: float | None = None
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self.obstacle = ""
        """Why this host cannot encrypt; empty: it can, as far as is known."""
        self.waits_for: Sequence[str] = ()
        """What the next step of this host itself waits for, in words, beside `hindrances`."""
        self.problem = ""
        """Why the keys are older than they should be; empty: they are not."""

    async def prepare(self) -> None:
        """Before all else runs: begin a new cluster encrypted, if the settings say so.

        UnavailableError: this host cannot.
        """
        is_wanted = self._settings.encrypt and not self._settings.join
        if not is_wanted or not may_begin_encrypted(self._store):
            return
        await self._find_out()
        if self.obstacle:
            raise UnavailableError(
                f"--encrypt: this host cannot: {self.obstacle}; apt install wireguard-go"
            )
        id = new_id(self._random_bytes)
        await self._store.write([Put(changed(Cluster(), True, (), id))])

    async def _find_out(self) -> None:
        """Whether this host can encrypt, and with which keys."""
        if self._pair is not None:
            return
        self.obstacle = await asyncio.to_thread(device.obstacle, WEFTWG)
        if not self.obstacle:
            self._pair = await asyncio.to_thread(self._keys.current)

    def _own_end(self) -> HostKeys | None:
        """The record with the keys and the port as they should be, and all else as it is."""
        if self._pair is None:
            return None
        before = self._store.get(HostKeys, self._host_id)
        key, port = self._pair.public_key, self._settings.wireguard_port
        if before is None:
            me = self._host_id
            return HostKeys(id=me, host_id=me, public_key=key, port=port)
        return msgspec.structs.replace(before, public_key=key, port=port)

    async def _write(self, end: HostKeys | None) -> None:
        before = self._store.get(HostKeys, self._host_id)
        if end is not None and end != before:
            await self._store.write([Put(end)])
        elif end is None and before is not None:
            await self._store.write([Delete(HostKeys, self._host_id)])

    def _me(self) -> Party | None:
        """This host as the records have it; None: there is none yet."""
        me = self._store.get(Host, self._host_id)
        return None if me is None else party(self._store, me)

    async def run(self) -> None:
        """Take steps as the records allow, until cancelled."""
        end_watch = self._store.watch(self._on_change)
        try:
            await self._find_out()
            while True:
                self._changed.clear()
                is_waiting = await self._advance()
                await self._rotate_if_old()
                self._say()
                await self._sleep(POLL_S if is_waiting else self._idle_s())
        finally:
            end_watch()

    def _on_change(self, changes: Sequence[Changed]) -> None:
        kinds = (Cluster, Host, HostKeys, Neighbours, ForgottenHost)
        if any(change.key[0] in kinds for change in changes):
            self._changed.set()

    async def _sleep(self, patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _advance(self) -> bool:
        """Take one step, if there is one; True: the step waits for a fact that no record tells."""
        async with self._turn:
            await self._write(self._own_end())
            me = self._me()
            if me is None or me.wireguard is None:
                return False
            cluster = cluster_settings(self._store)
            known = others(self._host_id, self._store)
            is_in_force = await self._is_in_force(cluster, me, known)
            if (cluster, me) != (cluster_settings(self._store), self._me()):
                self._changed.set()
                return False
            end = next_end(cluster, me, known, is_in_force=is_in_force)
            if end != me.wireguard:
                log.info("encryption", stage=end.stage.name.lower(), in_force=end.in_force.name)
                await self._write(end)
            return not is_in_force

    async def _is_in_force(self, cluster: Cluster, me: Party, known: Sequence[Party]) -> bool:
        end = me.wireguard
        assert end is not None
        if end.in_force == end.stage and end.follows == cluster.encryption_id:
            self.waits_for = ()
            return True
        await self._kernel.settle()
        failed = self._failed(me, known)
        if failed:
            self.waits_for = sorted({each.reason for each in failed})
            self._kernel.repair_soon()
        elif end.stage == EncryptionStage.ACCEPTS and end.in_force < end.stage:
            self.waits_for = await self._silent(cluster, me, known)
        else:
            self.waits_for = ()
        if known and not self.waits_for and _sends_otherwise(cluster, end):
            await asyncio.sleep(LINGER_S)
        return not self.waits_for

    def _failed(self, me: Party, known: Sequence[Party]) -> list[Failure]:
        """The failures that stop this host's step. When the device refuses a row about another
        host, because of what that host says of itself, that host alone is left out."""
        failed = [each for each in self._kernel.failures() if each.row.table in WAYS_TO_HOSTS]
        refused = {each.row.key for each in failed if each.row.table == WIREGUARD_PEERS.name}
        keys = {host.wireguard.public_key for host in known if host.wireguard is not None}
        if keys <= refused:
            return failed
        return [each for each in failed if each.row.table != WIREGUARD_PEERS.name]

    async def _silent(self, cluster: Cluster, me: Party, known: Sequence[Party]) -> list[str]:
        """The hosts beside this one with which it has shaken no hands. All follow the setting by
        now, so all have their devices."""
        done = await asyncio.to_thread(self._handshakes)
        direct = self._store.ask(data_routes, self._host_id)
        return [
            f"host {host.name} does not answer WireGuard on UDP port {host.wireguard.port}: "
            "is a firewall between?"
            for host in known
            if host.wireguard is not None
            and knows_key(cluster, me, host)
            and (way := direct.get(host.id)) is not None
            and way.hops == 1
            and not done.get(host.wireguard.public_key)
        ]

    def _say(self) -> None:
        """Tell the administrator, in `weft status`, what keeps this host from its next step."""
        me = self._store.get(Host, self._host_id)
        if me is None:
            return
        reason, fix = "", ""
        if self.obstacle and cluster_settings(self._store).is_encrypted:
            reason = f"the cluster is encrypted, and this host cannot encrypt: {self.obstacle}"
            fix = "apt install wireguard-go, then weft down and weft up"
        elif self._has_waited():
            reason = f"encryption is not turned on or off: {'; '.join(self.waits_for)}"
            fix = "weft encrypt status shows all hosts"
        elif self.problem:
            reason, fix = f"WireGuard keys are old: {self.problem}", "weft encrypt rotate"
        if reason:
            self._notices.put("encryption", Notice(Host.KIND, me.id, me.name, reason, fix))
        else:
            self._notices.take_back("encryption", me.id)

    def _has_waited(self) -> bool:
        """Whether the next step has waited for longer than usual."""
        if not self.waits_for:
            self._waiting_since_s = None
            return False
        now_s = asyncio.get_running_loop().time()
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return now_s - self._waiting_since_s >= PATIENCE_S

    def hindrances(self) -> Sequence[Hindrance]:
        """The hosts for which this one must wait."""
        me = self._me()
        if me is None or me.wireguard is None:
            return ()
        known = others(self._host_id, self._store)
        return hindrances(cluster_settings(self._store), me, known)

    @property
    def key_made_s(self) -> float | None:
        """When this host's keys were made, Unix time; None: it has none."""
        return self._pair.made_s if self._pair is not None else None

    async def rotate(self) -> str:
        """Take new keys; returns the public one. Sessions are made anew, connections go on.

        ConflictError: somebody would not learn of it now, and be cut off.
        """
        async with self._turn:
            if self._pair is None:
                raise UnavailableError(f"encrypt rotate: this host cannot encrypt: {self.obstacle}")
            reason = self._unfit_to_rotate()
            if reason:
                raise ConflictError(f"encrypt rotate: {reason}")
            self._pair = await asyncio.to_thread(self._keys.renew)
            await self._write(self._own_end())
            log.info("WireGuard keys are new", public_key=self._pair.public_key)
        await self._kernel.settle()
        return self._pair.public_key

    def _unfit_to_rotate(self) -> str:
        me = self._me()
        if me is None or me.wireguard is None or me.wireguard.stage == EncryptionStage.OFF:
            return ""
        known = others(self._host_id, self._store)
        if not is_settled(cluster_settings(self._store), [me, *known]):
            return "encryption is being turned on or off; try again when that is through"
        reached = self._store.ask(routes, self._host_id)
        missing = [host.name for host in known if host.wireguard and host.id not in reached]
        if missing:
            return (
                f"host {' and '.join(missing)} is not reached now, and would not learn the new "
                "key: bring it back, or `weft forget` it"
            )
        return ""

    def _idle_s(self) -> float:
        """Until there is something to do that no record tells."""
        remaining_s = self._remaining_s()
        return min(IDLE_S, remaining_s) if remaining_s > 0 else IDLE_S

    def _remaining_s(self) -> float:
        """Until the keys are old; below 0: they are."""
        lifetime_s = self._settings.wireguard_key_s
        if self._pair is None or not lifetime_s:
            return IDLE_S
        return lifetime_s - (self._wall_s() - self._pair.made_s)

    async def _rotate_if_old(self) -> None:
        self.problem = ""
        if self._remaining_s() > 0:
            return
        try:
            await self.rotate()
        except WeftError as error:
            self.problem = str(error)


def _sends_otherwise(cluster: Cluster, end: HostKeys) -> bool:
    """Whether this host has just begun or ceased to encrypt to others: by its stage, or because a
    network is exempt no longer."""
    if (end.in_force >= SENDS) != (end.stage >= SENDS):
        return True
    is_new = end.follows != cluster.encryption_id
    return is_new and not set(cluster.former_plain_underlays) <= set(cluster.plain_underlays)


def read_handshakes(settings: Settings) -> Mapping[str, float]:
    """From the device of this namespace; empty: it is not there, or does not answer."""
    with Netlink() as netlink:
        link = find_link(netlink, WEFTWG)
    if link is None or not device.is_ours(link):
        return {}
    try:
        state = device.control_of(link, Path(settings.run_dir)).read()
    except WeftError:
        return {}
    return {text(key): peer.handshake_s for key, peer in state.peers.items()}
