"""What the drivers of rules have in common, and what is to be done around a look and a change.

Rules first, then what leads to them; and when all is written, programs are told by generations that
what they had decided may be otherwise now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping

from weft.engine.ebpf.drivers.addresses import AddressDriver
from weft.engine.ebpf.drivers.heads import HeadDriver
from weft.engine.ebpf.drivers.macs import MacDriver
from weft.engine.ebpf.drivers.policy_rules import PolicyRuleDriver
from weft.engine.ebpf.drivers.port_rules import PortRuleDriver
from weft.engine.ebpf.drivers.prefixes import PrefixDriver
from weft.engine.ebpf.drivers.routes import RouteDriver
from weft.engine.ebpf.drivers.sources import SourceDriver
from weft.engine.ebpf.edition import OF_MACS, OF_ROUTES, Edition
from weft.engine.ebpf.names import HostNames
from weft.engine.ebpf.policy.generations import Generations
from weft.engine.ebpf.policy.identities import Identities
from weft.engine.ebpf.policy.kinds import Kind
from weft.engine.ebpf.policy.numbering import Numbering
from weft.engine.ebpf.tables.addresses import ADDRESSES
from weft.engine.ebpf.tables.allowed import ALLOWED
from weft.engine.ebpf.tables.flood import FLOOD
from weft.engine.ebpf.tables.heads import HEADS
from weft.engine.ebpf.tables.macs import MACS
from weft.engine.ebpf.tables.policy_rules import POLICY_RULES
from weft.engine.ebpf.tables.port_rules import PORT_RULES
from weft.engine.ebpf.tables.prefixes import PREFIXES
from weft.engine.ebpf.tables.routes import ROUTERS, ROUTES
from weft.engine.ebpf.tables.subnets import SUBNETS
from weft.engine.ebpf.tables.unowned import UNOWNED
from weft.engine.ebpf.ways import Ways
from weft.engine.plumbing.devices import Devices
from weft.engine.rows import Driver
from weft.engine.sink import Tables
from weft.engine.steps import Step
from weft.kernel.bpf.maps import BpfMap

RULE_COUNTS = "rule_counts_v1"


class Enforcement:
    """The drivers of tables that rules are in, and what they share."""

    def __init__(self, open_map: Callable[[str], BpfMap], devices: Devices, ways: Ways) -> None:
        """`open_map` gives the map of a name that is in use now."""
        self._numbering = numbering = Numbering(open_map)
        self._identities = Identities(open_map, numbering)
        self._generations = generations = Generations(open_map, numbering)
        self.names = names = HostNames(devices, ways, numbering, self._identities)

        def opener(name: str) -> Callable[[], BpfMap]:
            return lambda: open_map(name)

        of_routes = Edition(opener(OF_ROUTES))
        self.addresses = AddressDriver(
            opener(ADDRESSES.map_name),
            opener(FLOOD.map_name),
            names,
            of_routes,
            lambda key: generations.address_changed(key.address),
        )
        self._macs = MacDriver(opener(MACS.map_name), Edition(opener(OF_MACS)), names, generations)
        self._prefixes = PrefixDriver(
            PREFIXES,
            opener(PREFIXES.map_name),
            names,
            lambda key: generations.tenant_changes(key.tenant_id),
        )
        self._unowned = PrefixDriver(
            UNOWNED, opener(UNOWNED.map_name), names, lambda _: generations.all_change()
        )
        self._heads = HeadDriver(
            open_map,
            names,
            lambda: numbering.end(Kind.SUBJECT),
            numbering.hold,
            generations.subject_changes,
        )
        self._rules = PolicyRuleDriver(
            opener(POLICY_RULES.map_name),
            opener(RULE_COUNTS),
            names,
            lambda: numbering.end(Kind.RULE),
        )
        self._port_rules = PortRuleDriver(
            opener(PORT_RULES.map_name), names, lambda: numbering.end(Kind.ROW), generations
        )
        self._allowed = SourceDriver(
            ALLOWED, opener(ALLOWED.map_name), names, generations.port_changed
        )
        self._routes = tuple(
            RouteDriver(table, opener(table.map_name), names, of_routes, generations.ways_change)
            for table in (SUBNETS, ROUTES, ROUTERS)
        )

    @property
    def drivers(self) -> Collection[Driver]:
        """All of them."""
        return (
            self.addresses,
            self._macs,
            self._prefixes,
            self._unowned,
            self._heads,
            self._rules,
            self._port_rules,
            self._allowed,
            *self._routes,
        )

    def port_changing(self, ifname: str) -> None:
        """What a port may send is about to be something else."""
        self._generations.port_changed(ifname)

    def begin_look(self) -> None:
        """From now on it is noted which numbers rows need."""
        self._numbering.begin_look()
        self._identities.begin_look()

    def end_look(self) -> None:
        """The others are given up."""
        self._identities.end_look()
        self._numbering.end_look()

    def before(
        self, step: Step, upserts: Tables, deletes: Mapping[str, Collection[Hashable]]
    ) -> None:
        """A table is to be written. If rules are about to ask for other things of addresses, those
        become so before."""
        if step.table is not HEADS or not (step.upserts or step.deletes):
            return
        for driver in (self.addresses, self._macs):
            driver.widen(upserts.get(driver.name, {}))
        for each in (self._prefixes, self._unowned):
            each.widen_around(upserts.get(each.name, {}), deletes.get(each.name, ()))

    def finish(self) -> None:
        """All tables are written."""
        self._heads.finish()
        self._generations.raise_due()

    def tidy(self) -> None:
        """Give back what programs read no more."""
        self._heads.tidy()

    @property
    def tidy_in_s(self) -> float | None:
        """In how many seconds to call `tidy`; None: there is nothing to give back."""
        return self._heads.tidy_in_s
