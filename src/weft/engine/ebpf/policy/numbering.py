"""The numbers of all that rules speak about, by kind; kept in a map, so that a weftd which starts
again gives everything the number that it has.

The map has digests instead of symbols: it is enough to know a symbol again when a row names it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable

from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbers import Numbers
from weft.engine.ebpf.policy.slots import NETWORK_NUMBERS, PORT_NUMBERS
from weft.errors import NotFoundError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import RuleFlag, Rules
from weft.kernel.bpf.maps import Entries

MAP, RULES_MAP = "symbols_v1", "rules_v1"
RULE_REST_S = 60.0
"""Flows name rules: a number of theirs is another's only when flows that ended were swept."""
_DIGEST = 16


_ROOM = {
    Kind.SUBJECT: ("groups with rules here", Rules.SUBJECTS),
    Kind.ATOM: ("peers of rules", 2**31),
    Kind.TENANT: ("tenants", 2**32),
    Kind.PORT: ("judged ports", PORT_NUMBERS + 1),
    Kind.NETWORK: ("networks with judged ports", NETWORK_NUMBERS),
    Kind.RULE: ("security rules", Rules.RULES_NUMBERS),
    Kind.ROW: ("judged ports", Rules.RULES_PORTS),
}


_KINDS = frozenset(map(int, Kind))


class Numbering:
    """Symbols <-> numbers."""

    def __init__(
        self,
        open_map: Callable[[str], Entries],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_map = open_map
        self._numbers = {
            kind: Numbers[bytes](
                what,
                int(room),
                now_s,
                RULE_REST_S if kind is Kind.RULE else 1.0,
                is_reused_last=kind is Kind.RULE,
            )
            for kind, (what, room) in _ROOM.items()
        }
        self._digests: dict[tuple[Kind, Hashable], bytes] = {}
        self._symbols: dict[tuple[Kind, int], Hashable] = {}
        self._is_loaded = False

    def number(self, kind: Kind, symbol: Hashable) -> int:
        """The number of a symbol, from now on if it had none. ExhaustedError: there are no more."""
        if not self._is_loaded:
            self._load()
        digest = self._digests.get((kind, symbol)) or _digest(kind, symbol)
        numbers = self._numbers[kind]
        number = numbers.of(digest)
        if number is None:
            number = numbers.new(digest)
            entry = layouts.Symbol(number, int(kind)).encode()
            for error in self._open_map(MAP).update({digest: entry}).values():
                raise error
        self._digests[kind, symbol] = digest
        self._symbols[kind, number] = symbol
        return number

    def symbol(self, kind: Kind, number: int) -> Hashable:
        """The opposite. NotFoundError: nothing that this weftd was asked for has the number. It is
        needed all the same, for it was found in a row."""
        self.hold(kind, number)
        try:
            return self._symbols[kind, number]
        except KeyError:
            raise NotFoundError(f"{kind.name.lower()} {number}: nobody's number") from None

    def hold(self, kind: Kind, number: int) -> None:
        """Something needs the number, whatever it is of."""
        self._numbers[kind].hold(number)

    def end(self, kind: Kind) -> int:
        """No number of the kind is as large as this."""
        if not self._is_loaded:
            self._load()
        return self._numbers[kind].end

    def begin_look(self) -> None:
        """See `Numbers.begin_look`."""
        if not self._is_loaded:
            self._load()
        for numbers in self._numbers.values():
            numbers.begin_look()

    def end_look(self) -> None:
        """Give up the numbers of what no row names any more."""
        gone: list[bytes] = []
        for kind, numbers in self._numbers.items():
            for digest, number in numbers.end_look():
                gone.append(digest)
                symbol = self._symbols.pop((kind, number), None)
                self._digests.pop((kind, symbol), None)
        if gone:
            self._open_map(MAP).delete(gone)

    def _load(self) -> None:
        self._is_loaded = True
        for digest, raw in self._open_map(MAP).read().items():
            entry = layouts.Symbol.decode(raw)
            if entry.kind in _KINDS and 0 < entry.number < _ROOM[Kind(entry.kind)][1]:
                self._numbers[Kind(entry.kind)].found(digest, entry.number)
        rules = self._numbers[Kind.RULE]
        for key, raw in self._open_map(RULES_MAP).read().items():
            number = int.from_bytes(key, "little")
            is_gone = layouts.Rule.decode(raw).flags & RuleFlag.RULE_GONE
            if is_gone and rules.key(number) is None:
                rules.found_resting(number)


def _digest(kind: Kind, symbol: Hashable) -> bytes:
    text = f"{int(kind)} {symbol!r}"
    return hashlib.sha256(text.encode()).digest()[:_DIGEST]
