"""Networks and containers, as a Docker user makes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests import families
from tests.docker.engine import Docker, until

pytestmark = [pytest.mark.root, pytest.mark.docker]

ROUTES = ("ip", "-4", "route")


def test_the_two_commands_of_the_readme(docker: Docker, outside: str) -> None:
    docker._networks.append("foo")
    docker._containers.append("busybox")
    docker("network", "create", "-d", "weft", "--subnet=192.168.1.0/24", "foo")
    docker("run", "--net=foo", "--name=busybox", "busybox")
    web = docker.run("--net=foo", name="web")
    client = docker.run("--net=foo", name="client")
    assert docker.address(web, "foo").startswith("192.168.1.")
    assert docker.reaches(client, "192.168.1.1")
    assert docker.reaches(client, docker.address(web, "foo"))
    assert docker.reaches(client, web)
    assert docker.fetches(client, web) == "hello from weft"
    until("weft knows the name", lambda: docker.port_of(web) is not None)
    assert docker.fetches(client, f"{web}.foo.weft.internal") == "hello from weft"
    assert docker.fetches(client, outside).startswith("outside greets")
    assert docker.devices(client) == ["eth0"]
    assert docker.inspect("network", "foo")["Driver"] == "weft"


def test_weft_gives_the_addresses(docker: Docker) -> None:
    net = docker.network("--ipam-driver", "weft")
    other = docker.network("--ipam-driver", "weft", name="other")
    cidrs = {s.cidr for name in (net, other) for s in docker.weft_networks()[name].subnets}
    assert len(cidrs) == 2
    one, two = docker.run("--net", net, name="1"), docker.run("--net", net, name="2")
    assert docker.address(one, net) != docker.address(two, net)
    assert docker.reaches(one, docker.address(two, net))
    assert docker.reaches(one, two)


@pytest.mark.parametrize("ipam", families.of(["default", "weft"]))
def test_addresses_and_macs_are_as_asked_for(docker: Docker, ipam: str) -> None:
    net = docker.network(
        "--ipam-driver", ipam, "--ipv6", "--subnet", "10.66.0.0/24", "--subnet", "fd66::/64"
    )
    mac = "02:11:22:33:44:55"
    fixed = docker.run(
        "--net", net, "--ip", "10.66.0.77", "--ip6", "fd66::77", "--mac-address", mac
    )
    client = docker.run("--net", net, name="client")
    assert docker.address(fixed, net) == "10.66.0.77"
    assert docker.address(fixed, net, family=6) == "fd66::77"
    assert docker.inside(fixed, "cat", "/sys/class/net/eth0/address") == mac
    assert docker.reaches(client, "10.66.0.77")
    until("IPv6 answers", lambda: docker.reaches(client, "fd66::77"))
    assert docker.reaches(client, "fd66::1")


def test_an_address_that_comes_back_with_another_mac_is_reached_at_once(docker: Docker) -> None:
    """moby#36069: with --mac-address once, then without, and back again."""
    net = docker.network("--subnet", "10.67.0.0/24")
    client = docker.run("--net", net, name="client")
    fixed = ("--mac-address", "02:11:22:33:44:66")
    for options in (fixed, (), fixed):
        server = docker.run("--net", net, "--ip", "10.67.0.77", *options, name="server")
        assert docker.reaches(client, "10.67.0.77")
        docker("rm", "-f", server)


@pytest.mark.parametrize("ipam", families.of(["default", "weft"]))
def test_gateway_range_and_auxiliary_addresses(docker: Docker, ipam: str, outside: str) -> None:
    net = docker.network(
        *("--ipam-driver", ipam, "--subnet", "10.67.0.0/24", "--gateway", "10.67.0.254"),
        *("--ip-range", "10.67.0.128/29", "--aux-address", "printer=10.67.0.128"),
    )
    one, two = docker.run("--net", net, name="1"), docker.run("--net", net, name="2")
    addresses = {docker.address(one, net), docker.address(two, net)}
    assert addresses <= {f"10.67.0.{n}" for n in range(129, 136)}
    assert "default via 10.67.0.254" in docker.inside(one, "ip", "route")
    assert docker.fetches(one, outside).startswith("outside greets")


def test_an_internal_network_has_no_way_out_and_no_bridge_of_dockers(
    docker: Docker, outside: str
) -> None:
    net = docker.network("--internal", "--subnet", "10.68.0.0/24")
    one, two = docker.run("--net", net, name="1"), docker.run("--net", net, name="2")
    assert docker.reaches(one, two)
    assert docker.devices(one) == ["eth0"]
    assert "default" not in docker.inside(one, "ip", "route")
    assert not docker.reaches(one, outside)
    assert "docker_gwbridge" not in docker("network", "ls", "--format", "{{.Name}}")


def test_names_that_docker_does_not_know_are_found_on_internal_networks_too(
    docker: Docker,
) -> None:
    nets = [
        docker.network("--internal", "--subnet", f"10.76.{n}.0/24", name=f"n{n}") for n in (1, 2)
    ]
    web = docker.run("--net", nets[0], name="web")
    docker("network", "connect", nets[1], web)
    done = docker.on_host("weft", "dns", "add", "printer", nets[0], "10.76.1.99")
    assert done.returncode == 0, done.stderr
    assert "10.76.1.99" in docker.inside(web, "nslookup", f"printer.{nets[0]}.weft.internal")


def test_aliases_and_new_names_are_found(docker: Docker) -> None:
    net = docker.network("--subnet", "10.69.0.0/24")
    web = docker.run("--net", net, "--network-alias", "shop", "--hostname", "front", name="web")
    client = docker.run("--net", net, name="client")
    assert docker.fetches(client, "shop") == "hello from weft"
    until("weft knows the names", lambda: docker.port_of(web) is not None)
    for name in ("shop", "front", web):
        assert docker.fetches(client, f"{name}.{net}.weft.internal") == "hello from weft"
    renamed = docker.name("renamed")
    docker._containers.append(renamed)
    docker("rename", web, renamed)
    until("weft knows the new name", lambda: docker.port_of(renamed) is not None)
    assert docker.fetches(client, f"{renamed}.{net}.weft.internal") == "hello from weft"


def test_connect_and_disconnect_a_running_container(docker: Docker) -> None:
    first = docker.network("--subnet", "10.70.0.0/24", name="first")
    second = docker.network("--subnet", "10.71.0.0/24", name="second")
    one = docker.run("--net", first, name="1")
    two = docker.run("--net", second, name="2")
    for _ in range(2):
        docker("network", "connect", "--alias", "eins", second, one)
        assert len(docker.devices(one)) == 2
        assert docker.reaches(one, docker.address(two, second))
        assert docker.fetches(two, "eins") == "hello from weft"
        docker("network", "disconnect", second, one)
        assert docker.devices(one) == ["eth0"]
        assert not docker.reaches(one, docker.address(two, second))
    assert docker.reaches(one, "10.70.0.1")
    assert len(docker.weft_ports(second)) == 1


def test_a_docker_network_can_join_a_network_of_wefts(docker: Docker) -> None:
    shared = docker.name("shared")
    done = docker.on_host("weft", "network", "create", shared, "--subnet", "10.72.0.0/24")
    assert done.returncode == 0, done.stderr
    try:
        joined = docker.name("joined")
        docker._networks.append(joined)
        join = ("-o", f"network={shared}", "--ipam-driver", "weft", "--subnet", "10.72.0.0/24")
        docker("network", "create", "-d", "weft", *join, joined)
        web = docker.run("--net", joined, name="web")
        client = docker.run("--net", joined, name="client")
        assert docker.address(web, joined).startswith("10.72.0.")
        assert docker.fetches(client, web) == "hello from weft"
        assert len(docker.weft_ports(shared)) == 2
        docker.forget(web)
        docker.forget(client)
        docker("network", "rm", joined)
        assert list(docker.weft_networks()) == [shared]
    finally:
        docker.weft.delete("networks", shared)


def test_networks_are_isolated_from_each_other(docker: Docker) -> None:
    one_net = docker.network("--subnet", "10.73.0.0/24", name="one")
    two_net = docker.network("--subnet", "10.74.0.0/24", name="two")
    one, two = docker.run("--net", one_net, name="1"), docker.run("--net", two_net, name="2")
    assert not docker.reaches(one, docker.address(two, two_net))


def test_beside_dockers_own_bridge(docker: Docker, outside: str) -> None:
    net = docker.network("--subnet", "10.75.0.0/24")
    bridge = docker.network(name="br", driver="bridge")
    both = docker.run("--net", net)
    docker("network", "connect", bridge, both)
    assert docker.devices(both) == ["eth0", "eth1"]
    assert docker.fetches(both, outside).startswith("outside greets")
    plain = docker.run(name="plain")
    assert docker.fetches(plain, outside).startswith("outside greets")


def test_eight_containers_at_once(docker: Docker) -> None:
    net = docker.network("--ipam-driver", "weft", "--subnet", "10.77.0.0/24")
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda n: docker.run("--net", net, name=f"c{n}"), range(8)))
        addresses = set(pool.map(lambda name: docker.address(name, net), names))
        assert len(addresses) == 8
        assert all(pool.map(lambda address: docker.reaches(names[0], address), addresses))
        list(pool.map(docker.forget, names))
    assert docker.weft_ports(net) == []


def test_a_further_address_is_dropped_and_told_or_allowed_by_a_driver_option(
    docker: Docker,
) -> None:
    net = docker.network("--subnet", "10.133.0.0/24")
    place = f"name={net},driver-opt=weft.allow-address=10.133.0.200"
    keeper = docker.run("--network", place, name="keeper")
    other = docker.run("--network", net, name="other")
    for name, address in ((keeper, "10.133.0.200"), (other, "10.133.0.201")):
        pid = str(docker.inspect("container", name)["State"]["Pid"])
        inside = ("nsenter", "-t", pid, "--net")
        docker.on_host(*inside, "ip", "addr", "add", f"{address}/32", "dev", "eth0")
    assert docker.reaches(other, "10.133.0.200")
    assert not docker.reaches(keeper, "10.133.0.201")
    until("weft knows the name", lambda: docker.port_of(other) is not None)
    told = docker.on_host("weft", "why", f"{other}.{net}").stdout
    assert "from addresses or MACs which are not its own were dropped" in told
    assert "driver-opt=weft.allow-address=" in told
    assert "not its own" not in docker.on_host("weft", "why", f"{keeper}.{net}").stdout


def test_a_name_that_weft_does_not_take_is_said_to_be_another(docker: Docker) -> None:
    strange = docker.name("my net")
    docker._networks.append(strange)
    docker("network", "create", "-d", "weft", "--subnet", "10.134.0.0/24", strange)
    one, two = docker.run("--net", strange, name="1"), docker.run("--net", strange, name="2")
    assert docker.reaches(one, docker.address(two, strange))
    until("it has its name", lambda: any("my-net-" in name for name in docker.weft_networks()))
    told = docker.on_host("weft", "status", "problems").stdout
    assert "Weft takes no such name" in " ".join(told.split())


@pytest.mark.parametrize("driver", families.of(["weft", "bridge"]))
def test_the_resolvers_machine_is_reached_from_beside_an_internal_network(
    docker: Docker, outside: str, driver: str
) -> None:
    """All of it, not its port 53 alone, in whichever order the networks were connected."""
    back = docker.network("--internal", "--subnet", "10.94.0.0/24", name="back")
    front = docker.network("--subnet", "10.95.0.0/24", name="front", driver=driver)
    server = docker.run("--net", back, name="server")
    full = f"{server}.{back}.weft.internal"
    first = docker.run("--net", back, name="first")
    docker("network", "connect", front, first)
    last = docker.run("--net", front, name="last")
    docker("network", "connect", back, last)
    for client in (first, last):
        until("the other network leads there", partial(docker.reaches, client, outside))
        assert docker.fetches(client, full) == "hello from weft"
    docker("network", "disconnect", front, first)
    assert not docker.reaches(first, outside)
    assert docker.fetches(first, full) == "hello from weft"


def test_a_container_and_an_attached_namespace_are_told_the_same_of_two_subnets(
    docker: Docker,
) -> None:
    """On an internal network, where no default route would do instead."""
    net = docker.network("--internal", "--subnet", "10.135.0.0/24", "--subnet", "10.136.0.0/24")
    first = docker.run("--net", net, "--ip", "10.135.0.5", name="first")
    second = docker.run("--net", net, "--ip", "10.136.0.5", name="second")
    docker.on_host("ip", "netns", "add", "box")
    try:
        done = docker.on_host("weft", "attach", "/run/netns/box", net, "--ip", "10.136.0.9")
        assert done.returncode == 0, done.stderr
        assert docker.reaches(first, "10.136.0.9")
        box = ("ip", "netns", "exec", "box")
        ping = docker.on_host(*box, "ping", "-c", "1", "-W", "5", "10.135.0.5")
        assert ping.returncode == 0, ping.stdout
        told = [
            line.split(" dev ")[0].strip()
            for line in docker.on_host(*box, "ip", "-4", "route").stdout.splitlines()
        ]
        container = [line.split(" dev ")[0] for line in docker.inside(second, *ROUTES).splitlines()]
        assert "10.135.0.0/24 via 10.136.0.1" in told
        assert sorted(told) == sorted(line.strip() for line in container)
    finally:
        docker.on_host("weft", "detach", "/run/netns/box", net)
        docker.on_host("ip", "netns", "del", "box")
