"""Addresses against a real host: its routes, its MTU, what runs on it."""

from __future__ import annotations

import os
import re
import subprocess
from ipaddress import ip_address, ip_network

import pytest

from tests.system.workload import NewNetwork, NewWorkload, Workload, add_network, gateway, until
from weft.api.client import Client
from weft.api.schema import NetworkInfo, NetworkList, PortInfo, PortList
from weft.control.specs import AttachSpec, NetworkSpec, SubnetSpec
from weft.errors import ConflictError, ExhaustedError
from weft.lab.host import LabHost, weft_command
from weft.lab.lab import Lab
from weft.model.records import AddressRange

pytestmark = pytest.mark.root


def test_an_overlap_with_a_route_is_refused_unless_forced(
    host: LabHost, new_network: NewNetwork, api: Client
) -> None:
    for prefix in (str(host.layout.lab.prefix4), str(host.layout.lab.prefix6)):
        with pytest.raises(ConflictError, match=prefix):
            new_network(prefix)
    wider, same = ("10.80.0.0/16", "10.80.7.0/24")
    for prefix in (wider, same):
        host.run(["ip", "route", "add", prefix, "via", str(host.layout.lab.prefix4[254])])
    try:
        with pytest.raises(ConflictError, match=re.escape(same)):
            new_network(same)
        assert new_network(same, is_forced=True).subnets[0].is_forced
        new_network("10.80.8.0/24")  # only the route to much more than it covers that
    finally:
        for prefix in (wider, same):
            host.run(["ip", "route", "del", prefix])
    assert len(api.get(NetworkList, "networks").networks) == 2


def test_ranges_excludes_and_the_gateway_are_kept(
    api: Client, new_network: NewNetwork, new_workload: NewWorkload
) -> None:
    new_network()  # so that the fixture removes what the next lines add
    subnet = SubnetSpec(
        cidr=ip_network("10.81.0.0/24"),
        gateway=ip_address("10.81.0.254"),
        ranges=(AddressRange(first=ip_address("10.81.0.10"), last=ip_address("10.81.0.13")),),
        excludes=(AddressRange(first=ip_address("10.81.0.11"), last=ip_address("10.81.0.12")),),
    )
    spec = NetworkSpec(name="ranged", subnets=(subnet,))
    network = api.send(NetworkInfo, "POST", "networks", body=spec)
    try:
        workloads = [new_workload(network), new_workload(network)]
        assert {w.address4 for w in workloads} == {"10.81.0.10", "10.81.0.13"}
        with pytest.raises(ExhaustedError, match=r"10\.81\.0\.0/24"):
            new_workload(network)
        assert "10.81.0.254" in workloads[0].run("ip", "route", "show", "default")
        assert workloads[0].reaches("10.81.0.254")
        for workload in workloads:
            workload.detach(network)
    finally:
        api.delete("networks", "ranged")


def test_a_process_is_attached_by_its_pid(
    host: LabHost, new_network: NewNetwork, new_workload: NewWorkload, api: Client
) -> None:
    network = new_network()
    neighbour = new_workload(network)
    command = [*host.enter, "unshare", "--net", "sh", "-c", "echo ready; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            spec = AttachSpec(target=str(process.pid), network=network.name, names=("proc",))
            port = api.send(PortInfo, "POST", "attachments", body=spec)
            assert neighbour.reaches(port.addresses[0])
            assert neighbour.run("dig", "+short", "proc").split() == [port.addresses[0]]
        finally:
            process.kill()
    until("the port went with the process", lambda: len(api.get(PortList, "ports").ports) == 1)


def test_mtu_follows_the_underlay() -> None:
    lab = Lab(f"mtu-{os.getpid()}")
    try:
        lab.up(1, mtu_bytes=4000)
        host = lab.host("h1")
        api = Client(host.api_socket)
        network = add_network(api, "foo", ["10.82.0.0/24", "fd82::/64"])
        workload = Workload(host, api, "box")
        workload.attach(network)
        assert workload.run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu") == "3950\n"
        assert workload.reaches(gateway(network))
    finally:
        lab.down()


def test_bad_requests_leave_no_trace(host: LabHost, api: Client) -> None:
    """As a user types them: a sentence on standard error, exit code 1 or 2, nothing made."""
    before = host.run(["ip", "-brief", "link"])
    cases = [
        ("network", "create", "bad", "--subnet", "10.0.0.0/33"),
        ("network", "create", "bad", "--subnet", "10.0.0.1/24"),
        ("network", "create", "bad name"),
        ("network", "create", "bad", "--subnet", "10.83.0.0/24", "--gateway", "10.84.0.1"),
        ("network", "rm", "nothing"),
        ("attach", "/run/netns/nothing", "nothing"),
        ("expose", "nothing"),
        ("network", "creat", "bad"),
    ]
    for words in cases:
        done = subprocess.run(
            [*host.enter, *weft_command(), *words],
            capture_output=True,
            text=True,
            env=host.environment,
            check=False,
        )
        assert done.returncode in (1, 2), words
        assert done.stderr.strip() and "Traceback" not in done.stderr, words
    assert api.get(NetworkList, "networks").networks == ()
    assert host.run(["ip", "-brief", "link"]) == before
