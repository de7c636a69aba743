"""The commands and the file of docs/routers.md do what they are there for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.model.addresses import ip_address
from weft.semantics.routing import End, ways

PAGE = (Path(__file__).parents[3] / "docs/routers.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def passed(weftd: Weftd, source: str, destination: str) -> list[str]:
    """The routers on the way from `web`, by the addresses that a traceroute would show."""
    network = weftd.control.networks.find("web")
    found = ways(weftd.control.view, network.id, ip_address(source), ip_address(destination))
    assert all(way.end is End.PORT for way in found), found
    return [str(step.address) for step in found[0].steps]


def test_the_pages_commands_lead_where_the_page_says(
    weftd: Weftd, weft: Weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line)[1:] for line in "".join(blocks("sh")).splitlines()]
    for words in commands:
        ran = weft(*words)
        assert ran.code == 0, (words, ran)
    assert len(commands) > 20
    for network, address in (("db", "10.2.0.9"), ("lab", "10.3.0.9"), ("web", "10.1.0.8")):
        assert weft("port", "add", network, "--ip", address, "--name", network).code == 0
    plugged(weftd)
    assert passed(weftd, "10.1.0.11", "10.2.0.9") == ["10.1.0.1"]
    assert passed(weftd, "10.1.0.11", "10.3.0.9") == ["10.1.0.1", "10.9.0.2"]
    assert passed(weftd, "10.1.0.200", "198.51.100.1") == ["10.1.0.1"]
    told = weft("network", "set", "web", "--share-with", "none")
    assert (told.code, "in use by router acme/edge" in told.err) == (1, True)


def plugged(weftd: Weftd) -> None:
    """Something is behind each port, which nothing in this process plugs in."""
    from msgspec.structs import replace

    from weft.model.records import Port, Veth
    from weft.store.interface import Put

    ports = [
        replace(port, device=Veth(ifname=f"weft{number:011x}", peer_ifname="eth0"))
        for number, port in enumerate(weftd.store.list(Port))
    ]
    weftd.run(lambda: weftd.store.write([Put(port) for port in ports]))


def test_the_file_is_what_the_commands_made(
    weftd: Weftd, weft: Weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in "".join(blocks("sh")).splitlines():
        assert weft(*shlex.split(line)[1:]).code == 0, line
    (file,) = blocks("yaml")
    Path("r1.yaml").write_text(file)
    assert weft("apply", "-f", "r1.yaml").out.endswith("nothing to change\n")
