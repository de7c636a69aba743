"""Security groups and static ports that hosts made apart and that do not go together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from weft.control.answers.conflict import Conflict
from weft.control.group_references import group_label
from weft.control.group_rules import flows_of, text_of
from weft.control.references import network_label
from weft.control.static_ports import is_static
from weft.model.records import Port, SecurityGroup, SecurityRule
from weft.store.interface import View


def group_conflicts(view: View) -> Iterator[Conflict]:
    """All of them. Linear in groups, rules and ports (but for sorting)."""
    yield from _names(view)
    yield from _rules(view)
    yield from _static_ports(view)


def _names(view: View) -> Iterator[Conflict]:
    called: dict[tuple[str, str], list[str]] = defaultdict(list)
    for group in view.list(SecurityGroup):
        called[group.tenant_id, group.name].append(group.id)
    for (_, name), found in sorted(called.items()):
        if len(found) > 1:
            ids = tuple(sorted(found))
            yield Conflict(
                "group",
                ids,
                name,
                f"{len(ids)} security groups are called {name}: {', '.join(ids)}; "
                "by its name alone none of them can be used",
                f"weft group set {ids[-1]} --name NEW-NAME",
            )


def _rules(view: View) -> Iterator[Conflict]:
    """Of two rules about the same flows the stricter one holds."""
    for group in sorted(view.list(SecurityGroup), key=lambda each: each.id):
        about: dict[SecurityRule, list[SecurityRule]] = defaultdict(list)
        for rule in view.by(SecurityRule, "group_id", group.id):
            about[flows_of(rule)].append(rule)
        for rules in about.values():
            if len(rules) > 1:
                rules.sort(key=lambda rule: rule.id)
                label, last = group_label(view, group), rules[-1]
                texts = " and ".join(repr(text_of(view, rule, group)) for rule in rules)
                yield Conflict(
                    "rule",
                    tuple(rule.id for rule in rules),
                    label,
                    f"group {label}: {texts} are about the same flows; the strictest holds",
                    f"remove all but one: weft group rule rm {group.id} {last.id}",
                )


def _static_ports(view: View) -> Iterator[Conflict]:
    called: dict[tuple[str, str], list[Port]] = defaultdict(list)
    for port in filter(is_static, view.list(Port)):
        called[port.network_id, port.names[0]].append(port)
    for (_, name), ports in sorted(called.items()):
        if len(ports) > 1:
            ids = tuple(sorted(port.id for port in ports))
            network = network_label(view, ports[0].network_id)
            yield Conflict(
                "static-port",
                ids,
                name,
                f"{len(ids)} static ports on network {network} are called {name}: "
                f"{', '.join(ids)}; weft attach plugs into the first alone",
                f"weft port rm {ids[-1]}",
            )
