"""A name's time to live is one that DNS can say, or the record is refused and nothing is lost."""

from __future__ import annotations

import json

import pytest

from tests.unit.dns.world import HOST, added, ask, network, subnet
from weft.dns.zone import Zone
from weft.errors import InvalidError
from weft.model import codec
from weft.model.ids import NetworkId
from weft.store.memory import MemoryStore

LONGEST_S = 2**31 - 1
"""RFC 2181 section 8."""


@pytest.mark.parametrize("ttl_s", [0, 1, LONGEST_S])
def test_every_ttl_that_a_record_may_have_is_answered(ttl_s: int) -> None:
    name = added("foo", "old", "192.168.1.9", services=["1 2 80 old"], ttl_s=ttl_s)
    records = [network("foo"), subnet("foo", "192.168.1.0/24"), name]
    zone = Zone(MemoryStore(records), "weft.internal", HOST)
    scope = zone.scope_of_network(NetworkId("foo"))
    for asked, type in (("old", "A"), ("old", "SRV"), ("9.1.168.192.in-addr.arpa", "PTR")):
        message = ask(zone, scope, asked, type)
        assert message is not None
        assert [rrset.ttl for rrset in message.answer] == [ttl_s], type


@pytest.mark.parametrize("ttl_s", [-1, LONGEST_S + 1, 2**32, 2**62, 2**70])
def test_another_is_refused_by_its_name(ttl_s: int) -> None:
    body = json.loads(codec.encode(added("foo", "old", "192.168.1.9")))
    with pytest.raises(InvalidError, match="ttl_s"):
        codec.decode("name", json.dumps(body | {"id": "n1", "ttl_s": ttl_s}).encode())
