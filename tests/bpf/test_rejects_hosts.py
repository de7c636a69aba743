"""A program on another host is told at once that rules reject it there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf.fabric import VNI, Fabric, Place, WireHost, encode, mac, made
from tests.bpf.rules import INGRESS, Model, Rule
from tests.bpf.test_rejects_real import CONNECT, EXPECTED, REJECT
from weft.kernel.bpf import berths, layouts
from weft.kernel.bpf.layouts import EndpointFlag, PortFlag, RulesFlag

ANN, AVA = Place(1, 0), Place(1, 1)
BOB = Place(2, 0)
ROW = 1


@pytest.fixture(scope="module", params=[4, 6], ids=["over IPv4", "over IPv6"])
def fabric(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, objects: Path
) -> Iterator[Fabric]:
    with made(tmp_path_factory.mktemp("rejects"), objects, request.param, [(1, 2)]) as fabric:
        close(fabric.hosts[2])
        yield fabric


@pytest.fixture(params=[False, True], ids=["pushed", "by the device"])
def way(request: pytest.FixtureRequest, fabric: Fabric) -> Iterator[None]:
    fabric.use_device(is_device=request.param)
    yield
    fabric.use_device(is_device=False)


def close(host: WireHost) -> None:
    """Bob rejects whatever comes."""
    model = Model()
    model.rules = [Rule(1, 1, INGRESS, None, REJECT)]
    image = model.image([1])
    image.add_port(ROW, [1], RulesFlag.RULES_ALLOW_EGRESS, tenant=1)
    for name, entries in image.entries.items():
        for key, value in entries.items():
            host.put(name, key, value)
    port = layouts.Port(
        VNI,
        PortFlag.PORT_OUTSIDE | PortFlag.PORT_JUDGED,
        mac(BOB.mac),
        1400,
        0,
        encode(BOB.ipv4),
        encode(BOB.ipv6),
        ROW,
    )
    ifindex = struct.pack("<I", host.ifindexes[BOB.device])
    assert not berths.ports(host.plane.maps).update({ifindex: port.encode()})
    host.add_place(BOB, EndpointFlag.ENDPOINT_JUDGED)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("script") / "connect.py"
    file.write_text(CONNECT)
    return file


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("sender", [ANN, AVA], ids=["switched", "routed"])
def test_a_program_on_another_host_is_told(
    fabric: Fabric, way: None, script: Path, sender: Place, family: int, kind: str
) -> None:
    said = fabric.at(sender, f"python3 {script} {family} {kind} {BOB.address(family)}")
    dropped = {number: host.drops() for number, host in fabric.hosts.items()}
    assert said.strip() == EXPECTED[kind, family], dropped
