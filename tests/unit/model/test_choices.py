"""What a newer weft writes where this one knows a short list of words."""

from __future__ import annotations

import json
from enum import Enum

import pytest
from msgspec.structs import replace

from weft.errors import InvalidError
from weft.model import codec
from weft.model.choices import (
    Allocator,
    EncryptionStage,
    LivesWith,
    Multicasting,
    ReservationReason,
    TransportProtocol,
)
from weft.model.records import HostKeys, Network, OtherDevice, Port, Reservation, Subnet
from weft.store.shown import carry_unchanged

HOST = "0123456789abcdef"
BODIES: dict[str, dict[str, object]] = {
    "network": {"id": "n1", "name": "foo", "vni": 7, "multicast": "by-moonlight"},
    "subnet": {"id": "s1", "cidr": "10.0.0.0/24", "allocator": "by-moonlight"},
    "reservation": {
        "id": "r1",
        "subnet_id": "s1",
        "host_id": HOST,
        "address": "10.0.0.9",
        "reason": "by-moonlight",
    },
    "port": {
        "id": "p1",
        "network_id": "n1",
        "host_id": HOST,
        "mac": "02:00:00:00:00:01",
        "slot": 0,
        "device": {"kind": "moonbeam", "phase": [1, {"x": 2}]},
        "owner": {"frontend": "moon", "lives_with": "the-moon"},
        "published": [{"protocol": "moonlight", "host_port": 1, "port": 1}],
    },
    "host-keys": {
        "id": HOST,
        "host_id": HOST,
        "public_key": "A" * 43 + "=",
        "port": 1,
        "stage": 9,
        "in_force": 9,
    },
}


def _decoded(kind: str) -> object:
    return codec.decode(kind, json.dumps(BODIES[kind]).encode())


def test_unknown_words_are_taken_for_what_does_least_harm() -> None:
    network, subnet, reservation = map(_decoded, ("network", "subnet", "reservation"))
    port, keys = _decoded("port"), _decoded("host-keys")
    assert isinstance(network, Network) and network.multicast is Multicasting.FLOOD
    assert isinstance(subnet, Subnet) and subnet.allocator is Allocator.OTHER
    assert isinstance(reservation, Reservation)
    assert reservation.reason is ReservationReason.OTHER
    assert isinstance(port, Port) and isinstance(keys, HostKeys)
    assert port.device == OtherDevice() and port.ifname is None
    assert port.owner.frontend == "moon"
    assert port.owner.lives_with is LivesWith.FRONTEND
    assert port.published[0].protocol is TransportProtocol.OTHER
    assert keys.stage is EncryptionStage.REFUSES


@pytest.mark.parametrize(
    "device", [{"ifname": "weft00000000001"}, {"kind": "veth"}, {"kind": 7}, 7]
)
def test_a_device_that_is_wrong_is_not_taken_for_a_new_kind(device: object) -> None:
    with pytest.raises(InvalidError, match="device"):
        codec.decode("port", json.dumps(BODIES["port"] | {"device": device}).encode())


@pytest.mark.parametrize(
    "choice", [Allocator, LivesWith, Multicasting, ReservationReason, TransportProtocol]
)
def test_every_list_of_words_has_a_fallback(choice: type[Enum]) -> None:
    assert choice("of-a-newer-weft") in choice
    assert choice(7) in choice


def test_an_unknown_word_outlives_a_change_of_another_field() -> None:
    network = _decoded("network")
    assert isinstance(network, Network)
    old = json.dumps(BODIES["network"] | {"labels": [["a", "b", "of-a-newer-weft"]]}).encode()
    renamed = replace(network, name="bar")
    new = json.loads(carry_unchanged(renamed, json.dumps(BODIES["network"]).encode(), b"{}"))
    assert new["multicast"] == "by-moonlight"
    changed = replace(renamed, multicast=Multicasting.SNOOP)
    body = codec.encode(changed)
    assert "multicast" not in json.loads(
        carry_unchanged(changed, json.dumps(BODIES["network"]).encode(), body)
    )
    assert carry_unchanged(changed, old, body) == body  # what it cannot read it cannot compare
