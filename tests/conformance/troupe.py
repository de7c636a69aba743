"""The lab of the whole suite, and what all scenes share: hosts, namespaces, names of tenants."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from itertools import count

from tests.conformance.place import Place
from tests.system.workload import PATIENCE, until
from weft.api.apply.schema import ExportInfo
from weft.api.client import Client
from weft.api.schema import PortList
from weft.lab.host import Setting
from weft.lab.lab import Lab

ENGINES: Mapping[str, Mapping[str, Setting]] = {"ebpf": {}}
"""What weftd is told so that it takes that engine."""
_SETTINGS = {"docker": False, "reconcile_s": 20.0, "rest_s": 0.2}


class Troupe:
    """Hosts that run one cluster, with an engine."""

    def __init__(self, engine: str) -> None:
        self._lab = Lab(f"conformance-{os.getpid()}")
        self._settings = {**_SETTINGS, **ENGINES[engine]}
        self._free: dict[int, list[Place]] = defaultdict(list)
        self._places: list[Place] = []
        self._tenants = (f"c{number}" for number in count(1))

    def up(self) -> None:
        """Two hosts."""
        self._lab.up(2, settings=self._settings)

    def down(self) -> None:
        """None."""
        for place in self._places:
            place.close()
        self._lab.down()

    def api(self, host: int) -> Client:
        """The way to weftd of a host."""
        return Client(self._lab.host(f"h{host}").api_socket, timeout_s=20 * PATIENCE)

    def environment(self, host: int) -> dict[str, str | None]:
        """For commands that mean a host; None: what they must not see."""
        run_dir = self._lab.host(f"h{host}").api_socket.parent
        return {"WEFT_RUN_DIR": str(run_dir), "WEFT_TEST_PATIENCE": None}

    def new_tenant(self) -> str:
        """The name of one that nobody has had."""
        return next(self._tenants)

    def lend(self, host: int) -> Place:
        """A namespace on a host."""
        if self._free[host]:
            return self._free[host].pop()
        place = Place(self._lab.host(f"h{host}"), host, f"w{len(self._places) + 1}")
        self._places.append(place)
        return place

    def give_back(self, place: Place) -> None:
        """With nothing plugged in."""
        self._free[place.number].append(place)

    def agree(self) -> None:
        """Wait until both hosts know the same."""
        until("both hosts know the same", lambda: self._known(1) == self._known(2))

    def _known(self, host: int) -> tuple[object, object]:
        api = self.api(host)
        ports = api.get(PortList, "ports").ports
        return (
            api.get(ExportInfo, "export").documents,
            sorted((port.id, str(port.groups), str(port.labels)) for port in ports),
        )
