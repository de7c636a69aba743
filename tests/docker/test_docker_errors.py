"""What a Docker user reads when something cannot be, and that nothing of it stays behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import families
from tests.docker.engine import Docker, Refused

pytestmark = [pytest.mark.root, pytest.mark.docker]

WEFT = ("--ipam-driver", "weft")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((*WEFT, "--subnet=10.120.0.0/16"), "overlaps 10.120.0.0/24 of network .*; choose another"),
        (("--subnet=10.120.0.0/24", *WEFT), "join that network with -o network="),
        (("--subnet=198.18.0.0/15",), "overlaps the host's route"),
        (
            ("--subnet=10.121.0.0/24", "-o", "mut=1400"),
            "-o mut: unknown option; did you mean 'mtu'",
        ),
        (("--subnet=10.121.0.0/24", "-o", "mtu=20"), "mtu 20: must be 576 to 65535"),
        (("--subnet=10.121.0.0/24", "-o", "network=nowhere"), "network nowhere: not found"),
        ((*WEFT, "--ipam-opt", "exlude=x"), "did you mean 'exclude'"),
        ((*WEFT, "--subnet=10.121.0.0/24", "--ip-range=10.122.0.0/25"), "ip-range|range"),
    ],
)
def test_a_network_that_cannot_be(docker: Docker, options: tuple[str, ...], said: str) -> None:
    docker.network("--subnet=10.120.0.0/24", name="there")
    with pytest.raises(Refused, match=said):
        docker("network", "create", "-d", "weft", *options, docker.name("bad"))
    assert list(docker.weft_networks()) == [docker.name("there")]
    names = docker("network", "ls", "--format", "{{.Name}}").split()
    assert docker.name("bad") not in names
    docker.network("--subnet=10.121.0.0/24", *WEFT, name="good")


@pytest.mark.parametrize("ipam", families.of(["default", "weft"]))
@pytest.mark.parametrize("address", families.of(["10.123.0.9", "10.123.0.1", "10.124.0.5"]))
def test_an_address_that_cannot_be_had(docker: Docker, ipam: str, address: str) -> None:
    net = docker.network("--ipam-driver", ipam, "--subnet=10.123.0.0/24")
    first = docker.run("--net", net, "--ip", "10.123.0.9", name="first")
    with pytest.raises(Refused) as refused:
        docker.run("--net", net, "--ip", address, name="second")
    assert re.search(r"in use|is the gateway|outside|subnet|range", str(refused.value))
    docker.forget(docker.name("second"))
    assert len(docker.weft_ports(net)) == 1
    assert len(docker.weft_devices()) == 1
    assert docker.reaches(first, "10.123.0.1")


def test_an_address_in_use_by_something_that_is_no_container(docker: Docker) -> None:
    net = docker.network("--subnet=10.125.0.0/24")
    done = docker.on_host("weft", "port", "add", net, "--ip", "10.125.0.9", "--name", "vm")
    assert done.returncode == 0, done.stderr
    try:
        with pytest.raises(Refused, match=r"10\.125\.0\.9: in use by port vm"):
            docker.run("--net", net, "--ip", "10.125.0.9")
        docker.forget(docker.name("c"))
    finally:
        (port,) = docker.weft_ports(net)
        docker.weft.delete("ports", port.id)


def test_a_bad_mac(docker: Docker) -> None:
    net = docker.network("--subnet=10.126.0.0/24")
    with pytest.raises(Refused, match="multicast"):
        docker.run("--net", net, "--mac-address", "01:00:5e:00:00:01")
    docker.forget(docker.name("c"))
    assert docker.weft_ports(net) == []


def test_broken_requests_to_the_socket(docker: Docker, tmp_path: Path) -> None:
    def post(*body: str) -> str:
        socket = "/run/docker/plugins/weft.sock"
        url = "http://docker/NetworkDriver.CreateNetwork"
        return docker.on_host("curl", "-sS", "--unix-socket", socket, *body, url).stdout

    assert "is not as it should be" in post("-d", '{"NetworkID": ')
    assert "NetworkID" in post("-d", '{"NetworkID": 7}')
    large = tmp_path / "large"
    large.write_bytes(bytes(65 << 20))
    assert "larger than 64 MiB" in post("--data-binary", f"@{large}")
    assert docker.weft_networks() == {}
