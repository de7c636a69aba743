"""Names as a workload asks for them: through the resolver that it finds in /etc/resolv.conf."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest

from tests.system.workload import PATIENCE, NewNetwork, NewWorkload, Workload, gateway, until
from weft.api.client import Client
from weft.api.schema import NameInfo, NetworkInfo, StatusInfo
from weft.control.specs import NameSpec
from weft.lab.host import LabHost
from weft.model.service_addresses import DNS4, DNS6

pytestmark = pytest.mark.root
_PATIENT = ("+tries=2", f"+time={2 * PATIENCE:.0f}")


@pytest.fixture
def network(new_network: NewNetwork) -> NetworkInfo:
    return new_network()


def dig(workload: Workload, *words: str) -> list[str]:
    """Lines of the answer."""
    return workload.run("dig", "+short", *_PATIENT, *words).splitlines()


def status(workload: Workload, *words: str) -> str:
    """``NOERROR``, ``NXDOMAIN`` …"""
    output = workload.run("dig", *_PATIENT, *words)
    return output.partition("status: ")[2].partition(",")[0]


@pytest.mark.smoke
def test_names_of_the_network(network: NetworkInfo, new_workload: NewWorkload) -> None:
    server = new_workload(network, names=("web", "www"))
    client = new_workload(network)
    full = f"web.{network.name}.weft.internal"
    for name in ("web", "www", "WEB", full, full.upper()):
        assert dig(client, name) == [server.address4]
        assert dig(client, "AAAA", name) == [server.address6]
    for address in (server.address4, server.address6):
        assert f"web.{network.name}.weft.internal." in dig(client, "-x", address)
    assert (status(client, "MX", full), dig(client, "MX", full)) == ("NOERROR", [])
    assert status(client, f"nobody.{network.name}.weft.internal") == "NXDOMAIN"


def test_programs_resolve_without_any_flag(network: NetworkInfo, new_workload: NewWorkload) -> None:
    new_workload(network, names=("db",))
    client = new_workload(network)
    client.run("ping", "-n", "-c", "1", "-W", "2", "db")
    client.run("ping", "-6", "-n", "-c", "1", "-W", "2", "db")
    assert "outside greets" in client.fetch("http://outside.example/")


def test_all_holders_of_a_name_are_answered(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    holders = [new_workload(network, names=("pool",)) for _ in range(3)]
    client = new_workload(network)
    wanted = sorted(holder.address4 for holder in holders)
    orders = {tuple(dig(client, "pool")) for _ in range(12)}
    assert all(sorted(order) == wanted for order in orders)
    assert len(orders) > 1


def test_names_of_other_networks_need_their_full_form(
    network: NetworkInfo, new_network: NewNetwork, new_workload: NewWorkload
) -> None:
    other = new_network()
    stranger = new_workload(other, names=("hidden",))
    client = new_workload(network)
    assert dig(client, "hidden") == []
    assert dig(client, f"hidden.{other.name}.weft.internal") in ([], [stranger.address4])


def test_a_name_goes_with_its_port(network: NetworkInfo, new_workload: NewWorkload) -> None:
    server, client = new_workload(network, names=("brief",)), new_workload(network)
    assert dig(client, "brief") == [server.address4]
    server.detach(network)
    assert dig(client, "brief") == []


def test_added_names(network: NetworkInfo, new_workload: NewWorkload, api: Client) -> None:
    client = new_workload(network)
    printer = NameSpec(name="printer", network=network.name, addresses=(ip_address("192.0.2.9"),))
    service = NameSpec(name="_http._tcp.shop", network=network.name, services=("1 5 8080 printer",))
    for spec in (printer, service):
        api.send(NameInfo, "POST", "names", body=spec)
    assert dig(client, "printer") == ["192.0.2.9"]
    domain = f"{network.name}.weft.internal"
    assert dig(client, "SRV", f"_http._tcp.shop.{domain}") == [f"1 5 8080 printer.{domain}."]
    api.delete("names", network.name, "printer")
    assert dig(client, "printer") == []


def test_the_outside_is_resolved_over_udp_and_tcp(
    network: NetworkInfo, new_workload: NewWorkload, outside: tuple[str, str]
) -> None:
    client = new_workload(network)
    for resolver in outside:
        for transport in ("+notcp", "+tcp"):
            asked = (f"@{resolver}", transport, "outside.example")
            assert dig(client, *asked) == [outside[0]]
            assert dig(client, "AAAA", *asked) == [outside[1]]
    assert status(client, "nothing.example") == "NXDOMAIN"
    assert len(" ".join(dig(client, "TXT", "big.outside.example"))) > 3000


@pytest.mark.parametrize("is_internal", [False, True], ids=["open", "internal"])
def test_the_gateways_are_resolvers_too(
    new_network: NewNetwork, new_workload: NewWorkload, is_internal: bool
) -> None:
    network = new_network(is_internal=is_internal)
    server, client = new_workload(network, names=("near",)), new_workload(network)
    for family in (4, 6):
        for transport in ("+notcp", "+tcp"):
            asked = (f"@{gateway(network, family)}", transport, "near")
            assert dig(client, *asked) == [server.address4]


def test_programs_on_an_internal_network_resolve_and_get_no_further(
    new_network: NewNetwork, new_workload: NewWorkload, outside: tuple[str, str]
) -> None:
    network = new_network(is_internal=True)
    server, client = new_workload(network, names=("near",)), new_workload(network)
    client.run("ping", "-n", "-c", "1", "-W", "2", "near")
    assert dig(client, "near") == [server.address4]
    assert status(client, "outside.example") == "NXDOMAIN"
    for address in outside:
        assert not client.reaches(address)


@pytest.fixture
def set_resolvers(host: LabHost, api: Client) -> Iterator[Callable[..., None]]:
    """Lists other resolvers in the host's /etc/resolv.conf, and waits until weftd has seen them."""
    before = host.run(["cat", "/etc/resolv.conf"])

    def write(text: str) -> None:
        host.run(["sh", "-c", f"printf %s {shlex.quote(text)} > /etc/resolv.conf"])

    def change(*addresses: str) -> None:
        write("".join(f"nameserver {address}\n" for address in addresses))
        until("seen", lambda: api.get(StatusInfo, "status").host.resolvers == addresses)

    yield change
    write(before)


def test_workloads_go_on_asking_the_resolvers_that_the_host_had(
    network: NetworkInfo,
    new_workload: NewWorkload,
    outside: tuple[str, str],
    host: LabHost,
    set_resolvers: Callable[..., None],
) -> None:
    server, client = new_workload(network, names=("web",)), new_workload(network)
    gone4, gone6 = "192.0.2.53", "2001:db8::53"  # nobody is there, as after a move elsewhere
    set_resolvers(gone4, gone6)
    set_resolvers(*outside)
    for restart in (False, True):
        if restart:
            host.kill_weftd()
            host.start_weftd()
        for resolver in (gone4, gone6):
            for transport in ("+notcp", "+tcp"):
                asked = (f"@{resolver}", transport)
                assert dig(client, *asked, "web") == [server.address4]
                assert dig(client, *asked, "outside.example") == [outside[0]]


_TAKES_53 = """
import socket, sys
held = []
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        taken = socket.socket(family, kind)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind((address, 53))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        held.append(taken)
print("ready", flush=True)
sys.stdin.read()
"""


def test_port_53_of_the_host_is_free_for_others(
    network: NetworkInfo, new_workload: NewWorkload, host: LabHost
) -> None:
    """On all its addresses, as a published port or another resolver takes it."""
    server, client = new_workload(network, names=("web",)), new_workload(network)
    full = f"web.{network.name}.weft.internal"
    command = [*host.enter, sys.executable, "-c", _TAKES_53]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for restart in (False, True):
            if restart:
                host.kill_weftd()
                host.start_weftd()
            for transport in ("+notcp", "+tcp"):
                for family in (4, 6):
                    asked = (f"@{gateway(network, family)}", transport)
                    assert dig(client, *asked, "web") == [server.address4]
                for own in (str(DNS4), str(DNS6)):
                    words = ["dig", "+short", *_PATIENT, f"@{own}", transport, full]
                    assert host.run(words).split() == [server.address4]
        other.stdin.close()


def test_who_asks_without_end_keeps_nobody_else_from_names(
    network: NetworkInfo, new_workload: NewWorkload
) -> None:
    new_workload(network, names=("web",))
    greedy, client = new_workload(network), new_workload(network)
    flood = greedy.start(sys.executable, "-c", _FLOOD, gateway(network, 4))
    assert flood.stdout is not None and flood.stdout.readline() == "ready\n"
    for _ in range(5):
        assert dig(client, "web") != []
    assert greedy.drops("too_many") > 0
    assert client.drops("too_many") == 0


_FLOOD = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setblocking(False)
sock.connect((sys.argv[1], 53))
query = b"\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3web\\0\\0\\1\\0\\1"
number = 0
while True:
    try:
        sock.send(query)
    except OSError:
        pass
    number += 1
    if number == 20000:
        print("ready", flush=True)
"""


@pytest.mark.parametrize("is_internal_first", [True, False], ids=["internal first", "last"])
def test_the_resolvers_machine_is_reached_by_the_network_that_leads_outside(
    network: NetworkInfo,
    new_network: NewNetwork,
    new_workload: NewWorkload,
    outside: tuple[str, str],
    is_internal_first: bool,
) -> None:
    """All of it, not its port 53 alone, from a workload that is on an internal network as well."""
    internal = new_network(is_internal=True)
    server = new_workload(internal, names=("near",))
    client = new_workload(*((internal, network) if is_internal_first else (network, internal)))
    for address in outside:
        assert client.reaches(address)
        assert dig(client, f"@{address}", "near") == [server.address4]
    client.detach(network)
    for address in outside:
        assert not client.reaches(address)
        assert dig(client, f"@{address}", "near") == [server.address4]
