"""Generations: programs decide anew on what they had decided from rows that are others now.

While rows are written it is noted which decisions rest on them; when all are, the numbers of these
are raised. Between the two there is a mark in a map: a weftd that dies in between leaves it there,
and the next one raises all numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from weft.engine.ebpf.map_table import encode_u32
from weft.engine.ebpf.policy import numbering
from weft.engine.ebpf.policy.atoms import Subject
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.policy.slots import network_slot, port_slot, slot_of
from weft.engine.ebpf.tables.port_rules import PortRules
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Rules
from weft.kernel.bpf.maps import Elements
from weft.model.addresses import IPAddress
from weft.model.ids import TenantId

K = TypeVar("K", bound=Hashable)
MAP = "generations_v1"
UNFINISHED = bytes(16)
"""The key of the mark."""
_WORD = 2**32
_FEW = 256
"""To be read one by one."""


class Generations:
    """Which numbers are to be raised."""

    def __init__(self, open_map: Callable[[str], Elements], numbering: Numbering) -> None:
        self._open_map = open_map
        self._numbering = numbering
        self._judged: dict[PortRules, None] = {}
        """What is in force."""
        self._by_port: dict[str, dict[PortRules, None]] = {}
        self._by_vni: dict[int, dict[PortRules, None]] = {}
        self._by_subject: dict[Subject, dict[PortRules, None]] = {}
        self._due: set[int] = set()
        self._is_marked = False

    def begin(self, judged: Iterable[PortRules]) -> None:
        """These are the judged ports that there are, as a look has found them."""
        self._judged.clear()
        self._by_port.clear()
        self._by_vni.clear()
        self._by_subject.clear()
        for rules in judged:
            self._add(rules)
        if self._open_map(numbering.MAP).lookup(UNFINISHED) is not None:
            self._is_marked = True
            self._due.update(range(Rules.GENERATIONS))

    @property
    def is_needed(self) -> bool:
        """Whether any port is judged."""
        return bool(self._judged)

    def address_changed(self, address: IPAddress) -> None:
        """It comes, goes, lives somewhere else or is something else."""
        if self._judged:
            self._note(slot_of(address))

    def network_changed(self, vni: int) -> None:
        """Some port of it does, of which it is not known by which addresses it is found."""
        if vni in self._by_vni:
            self._note(network_slot(self._numbering.number(Kind.NETWORK, vni)))

    def ways_change(self) -> None:
        """Gateways and routers may lead elsewhere: to another port, or to somebody else on another
        network who has the same address."""
        for vni in self._by_vni:
            self.network_changed(vni)

    def port_comes(self, rules: PortRules) -> None:
        """This decides about it from now on, perhaps beside what did before."""
        self._note_port(rules)
        self._add(rules)

    def port_goes(self, rules: PortRules) -> None:
        """This does no more."""
        self._judged.pop(rules, None)
        _remove(self._by_port, rules.ifname, rules)
        _remove(self._by_vni, rules.vni, rules)
        for subject in rules.subjects:
            _remove(self._by_subject, subject, rules)
        self._note_port(rules)

    def port_changed(self, ifname: str) -> None:
        """It may send other things."""
        if ifname in self._by_port:
            self._note(port_slot(self._numbering.number(Kind.PORT, ifname)))

    def subject_changes(self, subject: Subject) -> None:
        """Its rules say something else."""
        for rules in self._by_subject.get(subject, ()):
            self._note(port_slot(self._numbering.number(Kind.PORT, rules.ifname)))

    def tenant_changes(self, tenant_id: TenantId) -> None:
        """Its prefixes are something else."""
        for rules in self._judged:
            if rules.tenant_id == tenant_id:
                self._note(port_slot(self._numbering.number(Kind.PORT, rules.ifname)))

    def all_change(self) -> None:
        """Whom any address stands for may be somebody else."""
        for rules in self._judged:
            self._note(port_slot(self._numbering.number(Kind.PORT, rules.ifname)))

    def raise_due(self) -> None:
        """All rows are written."""
        if not self._due:
            return
        numbers = self._open_map(MAP)
        keys = [encode_u32(slot) for slot in sorted(self._due)]
        if len(keys) > _FEW:
            found = numbers.read_first(Rules.GENERATIONS)
        else:
            found = {key: raw for key in keys if (raw := numbers.lookup(key)) is not None}
        for error in numbers.update({key: _raised(found.get(key)) for key in keys}).values():
            raise error
        self._open_map(numbering.MAP).delete([UNFINISHED])
        self._due.clear()
        self._is_marked = False

    def _note_port(self, rules: PortRules) -> None:
        """If nothing else decides about it, it begins or ceases to be judged: others' connections
        with it were decided without it."""
        self._note(port_slot(self._numbering.number(Kind.PORT, rules.ifname)))
        if rules.ifname not in self._by_port:
            self._note(network_slot(self._numbering.number(Kind.NETWORK, rules.vni)))

    def _note(self, slot: int) -> None:
        self._due.add(slot)
        if not self._is_marked:
            mark = layouts.Symbol(1).encode()
            for error in self._open_map(numbering.MAP).update({UNFINISHED: mark}).values():
                raise error
            self._is_marked = True

    def _add(self, rules: PortRules) -> None:
        self._judged[rules] = None
        self._by_port.setdefault(rules.ifname, {})[rules] = None
        self._by_vni.setdefault(rules.vni, {})[rules] = None
        for subject in rules.subjects:
            self._by_subject.setdefault(subject, {})[rules] = None


def _remove(index: dict[K, dict[PortRules, None]], key: K, rules: PortRules) -> None:
    those = index.get(key, {})
    those.pop(rules, None)
    if not those:
        index.pop(key, None)


def _raised(raw: bytes | None) -> bytes:
    number = layouts.Generation.decode(raw).number if raw else 0
    return layouts.Generation((number + 1) % _WORD).encode()
