"""Static ports as documents, and addresses that are another host's when files are applied."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.unit.api.test_apply import actions, apply, export, other, records
from tests.unit.conftest import Weftd
from weft.api.schema import PortInfo
from weft.control.specs import AttachSpec
from weft.control.upkeep.space import SpaceNeeded
from weft.errors import InUseError, WeftError
from weft.ipam.intervals import Interval
from weft.model.records import Port, Subnet

__all__ = ["other"]
BACK = {
    "kind": "network",
    "name": "back",
    "tenant": "shop",
    "subnets": [{"cidr": "10.9.0.0/24"}, {"cidr": "fd00:9::/64"}],
}
GROUP = {"kind": "group", "name": "db", "tenant": "shop"}
WEB = {
    "kind": "port",
    "name": "web",
    "network": "shop/back",
    "addresses": ["10.9.0.8"],
    "mac": "02:00:00:00:00:ab",
    "labels": {"app": "shop"},
    "groups": ["shop/db"],
}
DB = {"kind": "port", "name": "db", "network": "shop/back"}
DOCUMENTS: list[object] = [WEB, DB, GROUP, BACK]


def test_static_ports_are_made_kept_changed_and_exported(weftd: Weftd, other: Weftd) -> None:
    made = actions(apply(weftd, DOCUMENTS))
    assert made["port web on shop/back"] == made["port db on shop/back"] == "create"
    assert set(actions(apply(weftd, DOCUMENTS)).values()) == {"keep"}
    documents = export(weftd)
    assert {**documents[-1], "addresses": []} == {
        **WEB,
        "addresses": [],
        "mac": "02:00:00:00:00:ab",
        "groups": ["db"],
    }
    addresses = documents[-1]["addresses"]
    assert isinstance(addresses, list)
    assert (addresses[0], len(addresses)) == ("10.9.0.8", 2)
    apply(other, list(documents))
    assert export(other) == documents
    changed = {**WEB, "labels": {"app": "store"}, "groups": []}
    assert actions(apply(weftd, [changed])) == {"port web on shop/back": "change"}
    web = weftd.client.get(PortInfo, "ports", "web")
    assert (web.labels, web.groups, web.host) == ({"app": "store"}, (), None)


def test_what_makes_a_port_another_one_cannot_be_changed(weftd: Weftd) -> None:
    apply(weftd, DOCUMENTS)
    for said in ({"addresses": ["10.9.0.9"]}, {"mac": "02:00:00:00:00:01"}):
        with pytest.raises(WeftError, match="cannot be changed while port web on shop/back is"):
            apply(weftd, [{**WEB, **said}])


def test_pruning_takes_what_waits_and_not_what_is_plugged(weftd: Weftd) -> None:
    apply(weftd, DOCUMENTS, owner="me")
    spec = AttachSpec(target="db", network="shop/back")
    weftd.run(lambda: weftd.control.ports.attach(spec))
    before = records(weftd)
    with pytest.raises(InUseError, match="port db on back: db is plugged into it"):
        apply(weftd, [BACK, GROUP], owner="me", is_pruned=True)
    assert records(weftd) == before
    weftd.run(lambda: weftd.control.ports.detach("db", "shop/back"))
    answer = apply(weftd, [BACK, GROUP], owner="me", is_pruned=True)
    assert actions(answer)["port db on shop/back"] == "remove"
    assert not tuple(weftd.store.list(Port))


class Lent:
    """Address space of which half is another host's until it is asked for."""

    def __init__(self, weftd: Weftd) -> None:
        self._real = weftd.control.addresses._context.space
        self.asked: list[SpaceNeeded] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def may_use(self, subnet: Subnet) -> Sequence[Interval]:
        first = int(subnet.cidr.network_address)
        return ((first, first + (255 if self.asked else 127)),)

    async def obtain(self, needed: SpaceNeeded) -> None:
        self.asked.append(needed)


def test_addresses_of_other_hosts_are_waited_for_between_two_tries(weftd: Weftd) -> None:
    apply(weftd, [BACK])
    space = Lent(weftd)
    weftd.control.addresses._context.space = space  # type: ignore[assignment]
    wanted: list[object] = [{**DB, "addresses": ["10.9.0.200"]}, {**DB, "name": "low"}]
    apply(weftd, wanted)
    assert [str(needed.address) for needed in space.asked] == ["10.9.0.200"]
    assert len(tuple(weftd.store.list(Port))) == 2
    space.asked.clear()
    fresh = {**BACK, "name": "new", "subnets": [{"cidr": "10.7.0.0/24"}]}
    port = {**DB, "name": "far", "network": "shop/new", "addresses": ["10.7.0.200"]}
    apply(weftd, [fresh, port])
    assert space.asked == []
