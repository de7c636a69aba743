"""Which port is a member of which group, until when.

The table is bounded, so that a port that joins and joins harms nobody but itself, and neither do
several: where a network has all the groups that it may have, a port with fewer than its share takes
one from the port that has most.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Set

from weft.model.addresses import IPAddress
from weft.model.ids import NetworkId, PortId
from weft.model.multicast_groups import in_order

PORT_GROUPS = 256
"""Groups of one port."""
NETWORK_GROUPS = 1024
"""Groups that the ports of one network have joined on this host."""


class Table:
    """Time is passed in. Each change of a port's groups is noted in `changed`."""

    def __init__(self) -> None:
        self._networks: dict[PortId, NetworkId] = {}
        self._deadlines: dict[PortId, dict[IPAddress, float]] = {}
        self._counts: dict[NetworkId, Counter[IPAddress]] = {}
        """Members of each group."""
        self._members: Counter[NetworkId] = Counter()
        """Ports of a network that are members of something."""
        self.changed: set[PortId] = set()
        """Ports whose groups are others than when it was emptied last."""

    def ports(self) -> Set[PortId]:
        """The ports that are members of something."""
        return self._deadlines.keys()

    def groups(self, port: PortId) -> tuple[IPAddress, ...]:
        """Ascending, IPv4 first."""
        return tuple(sorted(self._deadlines.get(port, ()), key=in_order))

    def join(self, port: PortId, network: NetworkId, group: IPAddress, until_s: float) -> bool:
        """The port is a member, at least until then. False: there is no room for it."""
        if self._networks.get(port, network) != network:
            self.forget(port)
        groups = self._deadlines.get(port, {})
        if group in groups:
            groups[group] = max(groups[group], until_s)
            return True
        counts = self._counts.get(network, Counter())
        if len(groups) >= PORT_GROUPS:
            return False
        if (
            group not in counts
            and len(counts) >= NETWORK_GROUPS
            and not self._make_room(network, len(groups))
        ):
            return False
        self._members[network] += not groups
        groups[group] = until_s
        counts[group] += 1
        self._deadlines[port], self._counts[network] = groups, counts
        self._networks[port] = network
        self.changed.add(port)
        return True

    def doubt(self, port: PortId, group: IPAddress, until_s: float) -> bool:
        """The port is a member until then at the most, unless it joins again. False: it is none."""
        groups = self._deadlines.get(port, {})
        if group not in groups:
            return False
        groups[group] = min(groups[group], until_s)
        return True

    def leave(self, port: PortId, group: IPAddress) -> None:
        """The port is a member no longer. Nothing happens if it is none."""
        groups = self._deadlines.get(port, {})
        if groups.pop(group, None) is None:
            return
        network = self._networks[port]
        counts = self._counts[network]
        counts[group] -= 1
        if not counts[group]:
            del counts[group]
        if not counts:
            del self._counts[network]
        if not groups:
            del self._deadlines[port], self._networks[port]
            self._members[network] -= 1
            if not self._members[network]:
                del self._members[network]
        self.changed.add(port)

    def _make_room(self, network: NetworkId, has: int) -> bool:
        """Make room in a network for a port that has `has` groups: the port with most groups loses
        the newest of which it is the only member. False: the former has its share. Linear in ports,
        but only for a port that has less than its share."""
        if has >= NETWORK_GROUPS // (self._members[network] + 1):
            return False
        counts = self._counts[network]
        ports = (port for port, its in self._networks.items() if its == network)
        greedy = max(ports, key=lambda port: len(self._deadlines[port]))
        alone = (group for group in reversed(self._deadlines[greedy]) if counts[group] == 1)
        group = next(alone, None)
        if group is None or len(self._deadlines[greedy]) <= has + 1:
            return False
        self.leave(greedy, group)
        return True

    def forget(self, port: PortId) -> None:
        """The port is a member of nothing."""
        for group in list(self._deadlines.get(port, ())):
            self.leave(port, group)

    def expire(self, now_s: float) -> float:
        """Remove the members that have not been heard of in time. Gives when the next one is late.
        Linear in the table."""
        late: list[tuple[PortId, IPAddress]] = []
        next_s = math.inf
        for port, groups in self._deadlines.items():
            for group, deadline_s in groups.items():
                if deadline_s <= now_s:
                    late.append((port, group))
                else:
                    next_s = min(next_s, deadline_s)
        for port, group in late:
            self.leave(port, group)
        return next_s
