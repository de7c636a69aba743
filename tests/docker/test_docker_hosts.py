"""Docker on two hosts of one cluster: what its user on either finds."""

from __future__ import annotations

import time
from functools import partial

import pytest

from tests import families
from tests.docker.conftest import Pair
from tests.docker.engine import CLI, Docker, Refused, until
from weft.lab.faults import cut, heal
from weft.lab.lab import Lab

pytestmark = [pytest.mark.root, pytest.mark.docker]
WEFT = ("--ipam-driver", "weft")


def networks(docker: Docker) -> list[str]:
    """Networks of Weft's driver, as Docker lists them."""
    return docker("network", "ls", "-f", "driver=weft", "--format", "{{.Name}}").split()


def problems(docker: Docker) -> str:
    """What weft shows."""
    return docker.on_host("weft", "status", "problems").stdout


def names_of(docker: Docker, container: str, name: str) -> set[str]:
    """The addresses that a container is told for a name of Weft's."""
    try:
        said = docker.inside(container, "nslookup", "-type=a", name)
    except Refused:
        return set()
    answers = said.partition("Name:")[2]
    return {word for word in answers.split() if word.count(".") == 3 and word[0].isdigit()}


def is_told(docker: Docker, container: str, name: str, address: str) -> bool:
    """Whether a name leads to just this address."""
    return names_of(docker, container, name) == {address}


def test_a_network_made_on_one_host_is_on_both_and_goes_from_both(pair: Pair) -> None:
    one, other = pair
    net = one.network("--subnet", "10.130.0.0/24", "--label", "tier=back")
    until("the other engine has it", lambda: net in networks(other))
    made = other.inspect("network", net)
    assert made["IPAM"]["Driver"] == "weft"
    assert made["IPAM"]["Config"][0]["Subnet"] == "10.130.0.0/24"
    assert made["Labels"]["tier"] == "back"
    other("network", "rm", net)
    until("it is gone from both", lambda: networks(one) == networks(other) == [])
    assert one.weft_networks() == {}


def test_a_network_of_wefts_is_in_dockers_list_on_both(pair: Pair) -> None:
    one, other = pair
    net = one.name("lan")
    done = one.on_host(
        "weft", "network", "create", net, "--subnet", "10.131.0.0/24", "--no-gateway"
    )
    assert done.returncode == 0, done.stderr
    until("both engines have it", lambda: net in networks(one) and net in networks(other))
    assert "10.131.0." in other.once("--net", net, command=("ip", "address", "show", "eth0"))
    until("nothing is on it", lambda: one.weft_ports() == other.weft_ports() == [])
    assert other.on_host("weft", "network", "rm", net).returncode == 0
    until("it is gone from both", lambda: networks(one) == networks(other) == [])


def test_containers_of_both_hosts_reach_each_other_by_name_and_alias(pair: Pair) -> None:
    one, other = pair
    net = one.network("--subnet", "10.132.0.0/24")
    until("the other engine has it", lambda: net in networks(other))
    web = one.run("--net", net, "--network-alias", "shop", name="web")
    more = other.run("--net", net, "--network-alias", "shop", name="more")
    client = other.run("--net", net, name="client")
    assert other.reaches(client, one.address(web, net))
    until("its name is known there", lambda: other.fetches(client, web) == "hello from weft")
    held = {one.address(web, net), other.address(more, net)}
    full = f"shop.{net}.weft.internal"
    until("both are told", lambda: names_of(other, client, full) == held)
    asked = one.run("--net", net, name="asker")
    until("also on the first host", lambda: names_of(one, asked, full) == held)
    reverse = ".".join(reversed(one.address(web, net).split("."))) + ".in-addr.arpa"
    assert f"{web}.{net}.weft.internal" in other.inside(client, "nslookup", "-type=ptr", reverse)
    started_s = time.monotonic()
    one.forget(web)
    until("it is gone there", lambda: names_of(other, client, full) == {other.address(more, net)})
    assert time.monotonic() - started_s < 8


def test_a_network_in_use_elsewhere_is_not_removed(pair: Pair) -> None:
    one, other = pair
    net = one.network("--subnet", "10.133.0.0/24")
    until("the other engine has it", lambda: net in networks(other))
    web = other.run("--net", net, name="web")
    until("its name is known here", lambda: one.port_of(web) is not None)
    refused = one.on_host("weft", "network", "rm", net)
    assert refused.returncode != 0
    assert f"network {net}: in use by {web} on host h2" in refused.stderr
    one("network", "rm", net)  # Docker does not ask its driver whether it may
    until("it is back", lambda: networks(one) == [net])
    client = one.run("--net", net, name="client")
    assert one.reaches(client, other.address(web, net))


@pytest.mark.parametrize("ipam", families.of(["default", "weft"]))
def test_addresses_of_both_hosts_never_collide(pair: Pair, ipam: str) -> None:
    one, other = pair
    net = one.network("--ipam-driver", ipam, "--subnet", "10.134.0.0/28")
    until("the other engine has it", lambda: net in networks(other))
    first = [one.run("--net", net, name=f"a{n}") for n in range(3)]
    last = [other.run("--net", net, name=f"b{n}") for n in range(3)]
    addresses = [one.address(c, net) for c in first] + [other.address(c, net) for c in last]
    assert len(set(addresses)) == 6
    assert all(one.reaches(first[0], address) for address in addresses)
    with pytest.raises(Refused, match="in use"):
        other.run("--net", net, "--ip", addresses[0], name="thief")
    other.forget(other.name("thief"))


def test_dockers_own_ipam_is_told_of_what_other_hosts_have(pair: Pair) -> None:
    one, other = pair
    net = one.network("--subnet", "10.135.0.0/24")
    until("the other engine has it", lambda: net in networks(other))
    other.run("--net", net, "--ip", "10.135.0.2", name="early")
    until("the first host knows", lambda: bool(one.weft_ports()))
    with pytest.raises(Refused, match=r"10\.135\.0\.2: in use by .* --ipam-driver weft"):
        one.run("--net", net, "--ip", "10.135.0.2", name="late")
    one.forget(one.name("late"))


def test_a_container_that_moves_is_reached_at_its_new_place_at_once(pair: Pair) -> None:
    one, other = pair
    net = one.network(*WEFT, "--subnet", "10.136.0.0/24")
    until("the other engine has it", lambda: net in networks(other))
    client = one.run("--net", net, name="client")
    watcher = other.run("--net", net, name="watcher")
    for here in (one, other, one):
        moved = here.run("--net", net, "--ip", "10.136.0.77", name="moving")
        full = f"{moved}.{net}.weft.internal"
        for asker, docker in ((client, one), (watcher, other)):
            until("it answers", partial(docker.reaches, asker, "10.136.0.77"), timeout_s=3)
            until("its name leads there", partial(is_told, docker, asker, full, "10.136.0.77"))
        here.forget(moved)


def test_an_engine_that_was_away_catches_up(pair: Pair) -> None:
    one, other = pair
    old = one.network("--subnet", "10.137.0.0/24", name="old")
    until("the other engine has it", lambda: old in networks(other))
    other.host.engine.stop()
    one("network", "rm", old)
    new = one.network("--subnet", "10.138.0.0/24", name="new")
    other.host.engine.start()
    until("the other engine has what there is", lambda: networks(other) == [new])
    other.host.kill_weftd()
    last = one.network("--subnet", "10.139.0.0/24", name="last")
    other.host.start_weftd()
    until("the other engine has that too", lambda: networks(other) == sorted([new, last]))


def test_a_name_that_another_driver_has_is_shown(pair: Pair) -> None:
    one, other = pair
    name = other.network(name="same", driver="bridge")
    assert one.network("--subnet", "10.140.0.0/24", name="same") == name
    until("it is shown", lambda: "there is a bridge network of that name" in problems(other))
    other("network", "rm", name)
    until("it is there", lambda: networks(other) == [name])
    assert problems(other) == "no problems\n"


def test_two_engines_make_the_same_network_at_once(pair: Pair) -> None:
    one, other = pair
    name = one.name("both")
    for docker in pair:
        docker._networks.append(name)
    commands = [
        docker.start(
            CLI, "network", "create", "-d", "weft", *WEFT, "--subnet", "10.141.0.0/24", name
        )
        for docker in pair
    ]
    said = [command.communicate(timeout=60) for command in commands]
    assert all(not error or "already exists" in error for _, error in said), said
    until("it is one network", lambda: all(list(d.weft_networks()) == [name] for d in pair))
    until("in both", lambda: networks(one) == networks(other) == [name])
    web = one.run("--net", name, name="web")
    client = other.run("--net", name, name="client")
    assert other.reaches(client, one.address(web, name))


def test_names_of_a_host_that_is_cut_off_vanish_and_come_back(pair: Pair, two_hosts: Lab) -> None:
    one, other = pair
    net = one.network("--subnet", "10.142.0.0/24")
    until("the other engine has it", lambda: net in networks(other))
    web = one.run("--net", net, "--network-alias", "both", name="web")
    far = other.run("--net", net, "--network-alias", "both", name="far")
    here, there = one.address(web, net), other.address(far, net)
    full = f"both.{net}.weft.internal"
    until("both are told", lambda: names_of(one, web, full) == {here, there})
    cut(two_hosts, "h2")
    try:
        until("only its own", partial(is_told, one, web, full, here), timeout_s=60)
        until("there too", partial(is_told, other, far, full, there), timeout_s=60)
    finally:
        heal(two_hosts, "h2")
    until("both are told again", lambda: names_of(one, web, full) == {here, there}, timeout_s=60)
    until("and reached", lambda: one.reaches(web, there))
