"""The commands of docs/flows.md do what they are there for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.unit.cli.conftest import Weft
from tests.unit.conftest import Weftd
from weft.kernel.bpf.flow_limits import FlowLimits
from weft.kernel.bpf.layouts import Collect
from weft.metrics.flows import MOST_RULES
from weft.observers.flows import history, pace, rule_log
from weft.observers.flows.sweep import FULL

PAGE = (Path(__file__).parents[3] / "docs/flows.md").read_text()


def test_the_pages_commands_work(weftd: Weftd, busy: Weft) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    for line in lines:
        result = busy(*shlex.split(line)[1:])
        assert result.code == 0, (line, result)
    asked = [line for line in lines if line.startswith("weft flows")]
    assert len(weftd.flows.asked) == len(asked) == 6


def test_the_pages_numbers_are_those_of_the_code() -> None:
    assert f"{history.MOST} on each host" in PAGE
    assert history.KEPT_S == 3600.0
    assert pace.IDLE_S == 5.0
    assert pace.SHARE == 0.01
    assert rule_log.MOST_BYTES == 64 * 1024 * 1024
    assert MOST_RULES == 100
    assert (FULL, Collect.CROWDED_S) == (0.8, 5)
    assert f"takes {FlowLimits().flows_of_port} entries" in PAGE
