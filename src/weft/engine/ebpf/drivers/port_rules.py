"""`port_rules`: a map like the others, by whose rows it is known which ports are judged."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from weft.engine.ebpf.drivers.maps import MapDriver
from weft.engine.ebpf.map_table import Names
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.tables.port_rules import PORT_RULES, PortRules
from weft.engine.rows import RowFailure
from weft.kernel.bpf.maps import Elements


class PortRuleDriver(MapDriver):
    """See `engine.rows.Driver`."""

    def __init__(
        self,
        open_map: Callable[[], Elements],
        names: Names,
        end: Callable[[], int],
        generations: Generations,
    ) -> None:
        """`end`: no number of a row is as large."""
        super().__init__(PORT_RULES, lambda: _First(open_map(), end()), names)
        self._generations = generations

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`."""
        found = super().read(desired)
        self._generations.begin(key for key in found if isinstance(key, PortRules))
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        gone = list(deletes)
        for key in gone:
            if isinstance(key, PortRules):
                self._generations.port_goes(key)
        failures = super().write(upserts, gone)
        failed = {failure.row.key for failure in failures}
        for key in upserts:
            if isinstance(key, PortRules) and key not in failed:
                self._generations.port_comes(key)
        return failures


class _First:
    """The rows of an array that have been given out, as all that there are; see `maps.Entries`."""

    def __init__(self, elements: Elements, end: int) -> None:
        self._end = end
        self.lookup = elements.lookup
        self.read_first = elements.read_first
        self.update = elements.update
        self.delete = elements.delete

    def read(self) -> dict[bytes, bytes]:
        """All entries."""
        return self.read_first(self._end)
