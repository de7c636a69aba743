"""The commands of docs/trace.md do what they are there for."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.observers.traces import moves, telling
from weft.observers.traces.seen import End, Moved, Stage

PAGE = (Path(__file__).parents[3] / "docs/trace.md").read_text()
(BLOCK,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.findall(r"^    (.*)\n", PAGE, re.MULTILINE)


@pytest.fixture
def place(weftd: Weftd, weft: Weft) -> Weft:
    """The networks, the router and the ports of the page."""
    for arguments in (
        "network create front --subnet 10.1.0.0/24",
        "network create back --subnet 10.2.0.0/24",
        "router create r1 --network front --network back",
        "group create db",
        "group default deny --ingress --group db",
        "attach web front --name web --ip 10.1.0.2",
        "attach web back --name store --ip 10.2.0.5 --group db",
    ):
        ran = weft(*arguments.split())
        assert ran.code == 0, ran
    return weft


def stages(lines: list[str]) -> tuple[Stage, ...]:
    return tuple(Stage(*line.split(maxsplit=1)) for line in lines)


def test_the_pages_commands_work(weftd: Weftd, place: Weft) -> None:
    weftd.traces.moved = [Moved(End.HOST, stages(["host has it"]))]
    lines = BLOCK.splitlines()
    for line in lines:
        ran = place(*shlex.split(line)[1:])
        assert ran.code == 0, (line, ran)
    assert len(weftd.traces.asked) == len(lines)


def test_what_the_page_shows_is_what_is_printed(weftd: Weftd, place: Weft) -> None:
    at = SHOWN.index("host h2")
    here, fix = stages(SHOWN[2:at]), SHOWN[-1].removeprefix("  -> ")
    there = stages(SHOWN[at + 1 : -2])
    dropped = Moved(End.DROPPED, (*here, *there), reason="policy", fix=fix)
    weftd.traces.moved = [dropped]
    ran = place("trace", "web", "store", "--tcp", "5432")
    printed = ran.out.replace("-> web on back", "-> store on back").splitlines()
    assert ran.code == 1
    wanted = [line for line in SHOWN if line != "host h2"]
    assert printed == [line.replace("on host h2 (", "on host h1 (") for line in wanted]
    assert all(len(line) <= 80 for line in printed[:-1])


def test_the_page_names_every_stage() -> None:
    source = "".join(Path(module.__file__ or "").read_text() for module in (moves, telling))
    used = set(re.findall(r'Stage\(\s*"([a-z]+)"', source)) | {"egress", "ingress"}
    listed = {
        word
        for row in re.findall(r"^\| (`[^|]*`) \|", PAGE, re.MULTILINE)
        for word in re.findall(r"`([a-z]+)`", row)
    }
    assert used == listed


def test_json_names_records(weftd: Weftd, place: Weft) -> None:
    stage = Stage("egress", "allowed: \x1b", "security-rule", "r1")
    weftd.traces.moved = [Moved(End.DELIVERED, (stage,), port_id="x")]
    told = json.loads(place("trace", "web", "store", "--udp", "53", "--json").out)
    (leg,) = told["legs"]
    assert leg["stages"] == [
        {"stage": "egress", "decision": "allowed: \\x1b", "kind": "security-rule", "id": "r1"}
    ]
    assert (told["port"], told["source_port"], told["icmp_type"]) == (53, 50000, None)
