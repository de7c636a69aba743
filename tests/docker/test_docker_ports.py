"""Published ports."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests import families
from tests.docker.engine import Docker, Refused, until
from weft.lab.host import LabHost
from weft.lab.lab import Lab
from weft.lab.node import Node

pytestmark = [pytest.mark.root, pytest.mark.docker]

PAGE = "hello from weft\n"


def fetch(node: Node, url: str, patience_s: float = 5.0) -> str:
    """The page, or curl's error; a server that only just starts gets a moment."""
    command = [*node.enter, "curl", "-sS", "-m", "5", url]
    deadline = time.monotonic() + patience_s
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 or time.monotonic() > deadline:
            return done.stdout or done.stderr
        time.sleep(0.05)


def test_a_port_is_reached_from_everywhere(docker: Docker, lab: Lab, host: LabHost) -> None:
    net = docker.network("--subnet", "10.80.0.0/24")
    docker.run("--net", net, "-p", "8080:80", name="web")
    client = docker.run("--net", net, name="client")
    four = host.layout.address4
    assert fetch(lab.outside, f"http://{four}:8080/") == PAGE
    assert fetch(host, "http://127.0.0.1:8080/") == PAGE
    assert fetch(host, f"http://{four}:8080/") == PAGE
    assert docker.fetches(client, f"{four}:8080") == PAGE.strip()
    on_docker0 = docker.run("--net", "bridge", name="stranger")
    assert docker.fetches(on_docker0, f"{four}:8080") == PAGE.strip()
    six = host.layout.address6  # the network has no IPv6: a process of Weft's serves its clients
    assert fetch(lab.outside, f"http://[{six}]:8080/") == PAGE
    assert fetch(host, "http://[::1]:8080/") == PAGE


def test_a_port_on_one_address_of_the_host_only(docker: Docker, lab: Lab, host: LabHost) -> None:
    net = docker.network("--subnet", "10.81.0.0/24")
    docker.run("--net", net, "-p", "127.0.0.1:8081:80", name="web")
    assert fetch(host, "http://127.0.0.1:8081/") == PAGE
    assert fetch(lab.outside, f"http://{host.layout.address4}:8081/", 0) != PAGE


def test_containers_share_a_range_of_ports(docker: Docker, lab: Lab, host: LabHost) -> None:
    net = docker.network("--subnet", "10.82.0.0/24")
    names = [docker.run("--net", net, "-p", "8100-8101:80", name=name) for name in ("web1", "web2")]
    for port in (8100, 8101):
        assert fetch(lab.outside, f"http://{host.layout.address4}:{port}/") == PAGE
    with pytest.raises(Refused, match="all are in use"):
        docker.run("--net", net, "-p", "8100-8101:80", name="web3")
    docker.forget(docker.name("web3"))
    docker.forget(names[0])
    docker.run("--net", net, "-p", "8100-8101:80", name="web4")


def test_a_port_that_nobody_chose(docker: Docker, lab: Lab, host: LabHost) -> None:
    net = docker.network("--subnet", "10.83.0.0/24")
    web = docker.run("--net", net, "-p", "80", name="web")
    until("weft knows the name", lambda: docker.port_of(web) is not None)
    port = docker.port_of(web)
    assert port is not None
    (published,) = port.published
    assert published.host_port >= 49153
    assert fetch(lab.outside, f"http://{host.layout.address4}:{published.host_port}/") == PAGE


def test_a_taken_port_is_refused_and_leaves_no_trace(docker: Docker, host: LabHost) -> None:
    net = docker.network("--subnet", "10.84.0.0/24")
    web = docker.run("--net", net, "-p", "8084:80", name="web")
    with pytest.raises(Refused, match=r"8084/tcp: is published already by .*choose another"):
        docker.run("--net", net, "-p", "8084:80", name="late")
    docker.forget(docker.name("late"))
    script = (
        "import socket, time\n"
        "s = socket.create_server(('127.0.0.1', 8085))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    listener = subprocess.Popen(
        [*host.enter, sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )
    assert listener.stdout is not None
    with listener, listener.stdout:
        assert listener.stdout.readline() == "ready\n"
        try:
            with pytest.raises(Refused, match="a program on this host listens there"):
                docker.run("--net", net, "-p", "8085:80", name="late")
        finally:
            listener.kill()
    docker.forget(docker.name("late"))
    assert [port.owner.container_name for port in docker.weft_ports(net)] == [web]
    assert len(docker.weft_devices()) == 1


def test_a_port_of_a_container_on_two_networks(docker: Docker, host: LabHost) -> None:
    first = docker.network("--subnet", "10.85.0.0/24", name="a")
    second = docker.network("--subnet", "10.86.0.0/24", name="b")
    web = docker.run("--net", first, "-p", "8086:80", name="web")
    docker("network", "connect", second, web)
    assert fetch(host, "http://127.0.0.1:8086/") == PAGE
    docker("network", "disconnect", first, web)
    until("the port moved", lambda: fetch(host, "http://127.0.0.1:8086/") == PAGE)


ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 9000))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data.upper(), peer)
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"hello")
print(s.recv(2000).decode())
"""


@pytest.mark.parametrize(
    ("published", "number"),
    families.of(
        [("9000-18999:9000-18999/udp", "9000"), ("8087:9000/udp", "8087")],
        ids=["ten thousand", "one"],
    ),
)
def test_a_udp_port(docker: Docker, lab: Lab, host: LabHost, published: str, number: str) -> None:
    net = docker.network("--subnet", "10.87.0.0/24")
    box = docker.run("--net", net, "-p", published, name="box")
    pid = docker.inspect("container", box)["State"]["Pid"]
    echo = subprocess.Popen(
        ["nsenter", "-t", str(pid), "--net", sys.executable, "-c", ECHO],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert echo.stdout is not None
    with echo, echo.stdout:
        try:
            assert echo.stdout.readline() == "ready\n"
            for node, address in (
                (lab.outside, str(host.layout.address4)),
                (host, str(host.layout.address4)),
                (host, "127.0.0.1"),
            ):
                command = [*node.enter, sys.executable, "-c", ASK, address, number]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.stdout == "HELLO\n", done.stderr
        finally:
            echo.kill()


@pytest.mark.parametrize("driver", families.of(["weft", "bridge"]))
def test_port_53_is_free_for_a_container(
    docker: Docker, lab: Lab, host: LabHost, driver: str
) -> None:
    """A resolver in a container, on a network of Weft's or of Docker's own, beside Weft's names."""
    net = docker.network("--subnet", "10.90.0.0/24", name="net")
    web = docker.run("--net", net, name="web")
    client = docker.run("--net", net, name="client")
    beside = net if driver == "weft" else docker.network(name="own", driver=driver)
    docker.run("--net", beside, "-p", "53:80", "-p", "53:53/udp", name="resolver")
    assert fetch(lab.outside, f"http://{host.layout.address4}:53/") == PAGE
    assert docker.fetches(client, web) == PAGE.strip()
    assert docker.fetches(client, f"{web}.{net}.weft.internal") == PAGE.strip()
    for server in ("169.254.53.53", "fd77:6566:7400::53"):
        for transport in ("+notcp", "+tcp"):
            asked = [f"@{server}", "+short", transport, f"{web}.{net}.weft.internal"]
            assert host.run(["dig", *asked]).strip() == docker.address(web, net)
