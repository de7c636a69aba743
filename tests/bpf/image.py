"""Rules as the entries of maps, all of them at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from weft.engine.ebpf.map_table import encode_prefix, encode_u32
from weft.engine.ebpf.policy.editions import filter_of
from weft.engine.ebpf.policy.profile import Profile, Span
from weft.errors import ExhaustedError
from weft.kernel.bpf import layouts
from weft.kernel.bpf.layouts import Direction, HeadAtom, RulesFlag, SubjectFlag
from weft.kernel.bpf.layouts import Rules as Room
from weft.model.addresses import IPNetwork

ANYBODY = 0
"""The atom of every address."""


class Image:
    """Entries by map and key, to be written in any order before the first packet."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[bytes, bytes]] = defaultdict(dict)
        """Name of the map -> key -> value."""
        self._spans = 0
        self._regions: dict[tuple[Span, ...], int] = {}
        self._sets = 1

    def add_subject(
        self,
        subject: int,
        edition: int,
        profiles: Mapping[tuple[Direction, int], Profile],
        naming_prefixes: Iterable[Direction] = (),
    ) -> None:
        """The rules of a subject, by direction and atom. `naming_prefixes`: where atoms that are
        prefixes occur."""
        for direction in Direction:
            heads = {
                atom: self._head(profile)
                for (its_direction, atom), profile in profiles.items()
                if its_direction == direction and len(profile)
            }
            flags = SubjectFlag.SUBJECT_NAMES_PREFIXES if direction in naming_prefixes else 0
            anybody = heads.pop(ANYBODY, layouts.Head())
            row = layouts.Subject(flags, anybody.offset, anybody.span_count, filter_of(heads))
            self._put("subjects_v1", encode_u32(edition << 1 | direction), row.encode())
            bit = HeadAtom.HEAD_EGRESS if direction == Direction.EGRESS else 0
            for atom, head in heads.items():
                key = layouts.HeadKey(edition, atom | bit)
                self._put("heads_v1", key.encode(), head.encode())
        self._put("current_v1", encode_u32(subject), layouts.Current(edition).encode())

    def add_identity(self, identity: int, atoms: Sequence[int]) -> None:
        """What an address with this identity is."""
        if len(atoms) > Room.ATOM_SET_ATOMS * Room.ATOM_SET_CHAIN:
            raise ExhaustedError(f"identity {identity}: {len(atoms)} atoms do not fit its rows")
        size = Room.ATOM_SET_ATOMS
        pieces = [atoms[at : at + size] for at in range(0, len(atoms), size)]
        first = self._sets if pieces else 0
        for piece in pieces:
            row, self._sets = self._sets, self._sets + 1
            following = self._sets if piece is not pieces[-1] else 0
            padded = (*piece, *[0] * (size - len(piece)))
            atom_set = layouts.AtomSet(len(piece), following, padded)
            self._put("atom_sets_v1", encode_u32(row), atom_set.encode())
        value = layouts.Identity(first).encode()
        self._put("identities_v1", encode_u32(identity), value)

    def add_prefix(self, tenant: int, prefix: IPNetwork, identity: int) -> None:
        """What the addresses of a prefix are that no longer prefix of the tenant has."""
        bits, address = encode_prefix(prefix)
        key = layouts.PrefixKey(32 + bits, tenant, address).encode()
        self._put("prefixes_v1", key, layouts.Prefix(identity).encode())

    def add_port(
        self,
        row: int,
        subjects: Sequence[int],
        flags: RulesFlag,
        *,
        tenant: int = 0,
        network_slot: int = 0,
        port_slot: int = 0,
    ) -> None:
        """A judged port."""
        if len(subjects) > Room.RULES_SUBJECTS:
            raise ExhaustedError(f"port row {row}: {len(subjects)} subjects do not fit it")
        padded = (*subjects, *[0] * (Room.RULES_SUBJECTS - len(subjects)))
        value = layouts.PortRules(flags, len(subjects), tenant, network_slot, port_slot, padded)
        self._put("port_rules_v1", encode_u32(row), value.encode())

    def _head(self, profile: Profile) -> layouts.Head:
        """Equal profiles lie in one place."""
        spans = profile.spans
        offset = self._regions.get(spans)
        if offset is None:
            offset = self._regions[spans] = self._room(len(spans))
            for at, span in enumerate(spans, offset):
                self._put("spans_v1", encode_u32(at), layouts.Span(*span).encode())
        return layouts.Head(offset, len(spans))

    def _room(self, count: int) -> int:
        offset, self._spans = self._spans, self._spans + count
        if count > Room.HEAD_SPANS or self._spans > Room.SPANS:
            raise ExhaustedError(f"rules: {self._spans} spans do not fit into {Room.SPANS}")
        return offset

    def _put(self, name: str, key: bytes, value: bytes) -> None:
        self.entries[name][key] = value
