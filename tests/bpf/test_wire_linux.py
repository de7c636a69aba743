"""A host whose overlay is Linux's own VXLAN device: what is on the wire is no dialect."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bpf.fabric import VNI, Fabric, Link, Place, made_beside, mtu_of, path, stream
from tests.bpf.namespaces import Namespace
from tests.own_addresses import await_addresses

ANN, AVA = Place(1, 0), Place(1, 1)
LIN = Place(2, 0)
"""Is not in a container: its address is the VXLAN device's own."""
LINK = Link(0, 1, 2)
FAMILIES = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(
    scope="module",
    params=[(version, checksum) for version in (4, 6) for checksum in (False, True)],
    ids=lambda each: f"IPv{each[0]}, {'with' if each[1] else 'no'} checksums",
)
def fabric(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, objects: Path
) -> Iterator[Fabric]:
    version, has_checksum = request.param
    folder = tmp_path_factory.mktemp("fabric")
    with Namespace() as linux, made_beside(folder, objects, version, linux, LIN) as fabric:
        local, remote = LINK.address(2, version), LINK.address(1, version)
        if version == 4:
            checksums = "udpcsum" if has_checksum else "noudpcsum"
        else:
            checksums = "udp6zerocsumrx" + ("" if has_checksum else " udp6zerocsumtx")
        linux.run(
            f"ip link add eth0 address {LIN.mac} mtu {mtu_of(version)} type vxlan id {VNI} "
            f"local {local} remote {remote} dstport 4789 nolearning {checksums}"
        )
        linux.run("ip link set eth0 up")
        linux.run(f"ip address add {LIN.ipv4}/24 dev eth0")
        linux.run(f"ip -6 address add {LIN.ipv6}/64 dev eth0 nodad")
        await_addresses(path(linux))
        yield fabric


@FAMILIES
def test_ping_both_ways(fabric: Fabric, family: int) -> None:
    assert fabric.pings(ANN, LIN.address(family))
    assert fabric.pings(ANN, LIN.address(family), "-s 5000")
    assert fabric.pings(LIN, ANN.address(family), "-s 5000")


def test_its_questions_are_heard_and_answered(fabric: Fabric) -> None:
    fabric.insides[LIN].run("ip neighbour flush dev eth0")
    assert fabric.pings(LIN, ANN.ipv4)
    assert ANN.mac in fabric.insides[LIN].run(f"ip neighbour show {ANN.ipv4}")


@FAMILIES
def test_tcp_both_ways(fabric: Fabric, family: int) -> None:
    stream(fabric, ANN, LIN, family)
    stream(fabric, LIN, ANN, family)


@FAMILIES
def test_udp_both_ways(fabric: Fabric, family: int) -> None:
    stream(fabric, ANN, LIN, family, "-u -b 200M -l 1200")
    stream(fabric, LIN, ANN, family, "-u -b 200M -l 1200")


def test_broadcast_reaches_it(fabric: Fabric) -> None:
    with fabric.insides[LIN].entered():
        tcpdump = subprocess.Popen(
            ["tcpdump", "-i", "eth0", "-c", "1", "-l", "udp port 9997"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        assert tcpdump.stderr is not None
        while "listening" not in tcpdump.stderr.readline():
            pass
        fabric.at(ANN, "socat -u /etc/hostname UDP4-DATAGRAM:255.255.255.255:9997,broadcast")
        assert tcpdump.wait(10) == 0
    finally:
        tcpdump.kill()
        tcpdump.communicate()
