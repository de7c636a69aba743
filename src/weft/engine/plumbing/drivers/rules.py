"""`rules`: what is looked up before the host's own rules are asked."""

from __future__ import annotations

import errno
from collections.abc import Hashable, Iterable, Mapping

from weft.engine.plumbing.devices import Devices
from weft.engine.plumbing.drivers.requests import is_moot, run
from weft.engine.plumbing.host_door import has_ipv6
from weft.engine.plumbing.marks import OWN_ROUTES_MARK
from weft.engine.plumbing.tables.host_routes import OWN_TABLE
from weft.engine.plumbing.tables.rules import RULES, RuleValue
from weft.engine.rows import RowFailure
from weft.kernel.netlink import Netlink, Request
from weft.kernel.routes import MAIN, PROTOCOL
from weft.kernel.rules import Rule, add_rule, delete_rule, rules
from weft.model.addresses import IPNetwork

_RULE_PRIORITY = 87
"""Behind the table of the host's own addresses (0), and before those of VPNs."""


class RuleDriver:
    """See `engine.rows.Driver`."""

    name = RULES.name

    def __init__(self, devices: Devices) -> None:
        self._netlink = devices.netlink

    def read(self, desired: Mapping[Hashable, Hashable]) -> dict[Hashable, Hashable]:
        """See `Driver.read`. A rule that Weft made and that is another one now reads as words."""
        found: dict[Hashable, Hashable] = {key: desired[key] for key in desired if is_moot(key)}
        for rule in own_rules(self._netlink):
            key = _key_of(rule)
            is_right = rule == _rule(key) and key not in found
            found[key] = RuleValue() if is_right else "not as Weft made it"
        return found

    def write(
        self, upserts: Mapping[Hashable, Hashable], deletes: Iterable[Hashable]
    ) -> list[RowFailure]:
        """See `Driver.write`."""
        changed = {*deletes, *upserts}
        requests: list[tuple[Hashable, Request]] = [
            (_key_of(rule), delete_rule(rule))
            for rule in own_rules(self._netlink)
            if _key_of(rule) in changed
        ]
        for key in upserts:
            assert isinstance(key, int | IPNetwork)
            requests.append((key, add_rule(_rule(key))))
        return run(self._netlink, self.name, requests, errno.ENOENT)


def own_rules(netlink: Netlink) -> list[Rule]:
    """Those that Weft made."""
    versions = (4, 6) if has_ipv6() else (4,)
    return [rule for rule in rules(netlink, versions) if rule.protocol == PROTOCOL]


def remove_rules(netlink: Netlink) -> None:
    """Take away all rules that Weft made; its routes go with weft0."""
    netlink.do(*(delete_rule(rule) for rule in own_rules(netlink)))


def _key_of(rule: Rule) -> int | IPNetwork:
    return rule.version if rule.destination is None else rule.destination


def _rule(key: int | IPNetwork) -> Rule:
    if isinstance(key, IPNetwork):
        return Rule(
            version=key.version,
            priority=_RULE_PRIORITY,
            table=MAIN,
            mark=0,
            mask=0,
            protocol=PROTOCOL,
            is_of_device=False,
            destination=key,
        )
    return Rule(
        version=key,
        priority=_RULE_PRIORITY,
        table=OWN_TABLE,
        mark=OWN_ROUTES_MARK,
        mask=OWN_ROUTES_MARK,
        protocol=PROTOCOL,
        is_of_device=False,
    )
