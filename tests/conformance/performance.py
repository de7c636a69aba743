"""A scene as it is played: its tenant, its workloads, and the steps of its behaviours."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Sequence

from click.testing import CliRunner

from tests.conformance import sentences
from tests.conformance.cast import Cast
from tests.conformance.flows import Flow
from tests.conformance.scenes import (
    CHANGES,
    Behaviour,
    Document,
    Placement,
    Scene,
    Step,
    documents,
    in_tenant,
)
from tests.conformance.trial import ANSWER_S, EARLY_S, SILENCE_S, Trial, is_answered
from tests.conformance.troupe import Troupe
from tests.system.workload import PATIENCE
from weft.cli.main import cli

SETTLED_S = 5.0 * PATIENCE
"""Within this a change is in force on all hosts."""
GIVEN_UP_S = 0.3 * PATIENCE
"""The same for what is to fail."""
_PORT = re.compile(r"%([\w-]+)")


class Performance:
    """One scene, on one host or on two."""

    def __init__(self, scene: Scene, placement: Placement, troupe: Troupe) -> None:
        self._scene = scene
        self._tenant = troupe.new_tenant()
        self._troupe = troupe
        self._cast = Cast(scene, self._tenant, placement, troupe)
        self._changed_s = time.monotonic()
        self._settled_s = SETTLED_S

    def begin(self) -> None:
        """Make everything, and wait until it is everywhere."""
        self._apply(self._scene.model)
        self._troupe.agree()
        self._cast.restore()
        self._settle()

    def end(self) -> None:
        """Remove everything."""
        self._cast.leave_all()
        self._troupe.agree()
        self._apply([])
        self._troupe.agree()

    def play(self, behaviour: Behaviour, version: int) -> None:
        """Take the steps; AssertionError: something is not as the behaviour says."""
        flows: dict[str, Flow] = {}
        self._settled_s = SETTLED_S if behaviour.lacks is None else GIVEN_UP_S
        try:
            for steps in _batches(behaviour.steps):
                self._take(steps, flows, version)
        finally:
            for flow in flows.values():
                flow.close()
            if behaviour.changes:
                self._apply(self._scene.model)
                self._troupe.agree()
                self._cast.restore()
                self._settle()

    def _take(self, steps: Sequence[Step], flows: dict[str, Flow], version: int) -> None:
        [(key, value), *_] = steps[0].items()
        word, _, name = key.partition(" ")
        match word:
            case "open":
                flows[name] = self._opened(value, version)
            case "weft":
                self._command(value)
            case "apply":
                self._apply(value, is_pruned=False)
            case "leave":
                self._cast.leave(value)
            case "enter":
                self._cast.enter(value)
            case _ if key in flows:
                self._check_flow(flows[key], key, value)
            case _:
                self._check([line for step in steps for line in step.items()], version)
        if word in CHANGES:
            self._settle()

    def _settle(self) -> None:
        self._changed_s = time.monotonic()
        self._troupe.agree()

    def _check(self, lines: Sequence[tuple[str, str]], version: int) -> None:
        """Send all, and see what becomes of them; again, while a change may be on its way."""
        pairs = [(sentences.probe(key), sentences.outcome(value)) for key, value in lines]
        for probe, outcome in pairs:
            self._cast.serve(probe, version, is_closed=outcome.word == "closed")
        while not self._is_settled():
            if not Trial(self._cast, pairs, version).wrong(EARLY_S):
                return
        wrong = Trial(self._cast, pairs, version).wrong(ANSWER_S)
        assert not wrong, "\n".join(wrong)

    def _opened(self, text: str, version: int) -> Flow:
        probe = sentences.probe(text)
        self._cast.serve(probe, version)
        while True:
            flow = Flow(probe, self._cast.ends(probe, version))
            is_last = self._is_settled()
            if is_answered(self._cast, flow, ANSWER_S if is_last else EARLY_S):
                return flow
            flow.close()
            assert not is_last, f"{text}: it is not answered"

    def _check_flow(self, flow: Flow, name: str, value: str) -> None:
        goes_on = value == "goes on"
        while True:
            is_last = self._is_settled()
            patience_s = ANSWER_S if goes_on and is_last else EARLY_S if goes_on else SILENCE_S
            if is_answered(self._cast, flow, patience_s) == goes_on:
                return
            assert not is_last, f"{name}: {value}: so it is not"

    def _is_settled(self) -> bool:
        return time.monotonic() > self._changed_s + self._settled_s

    def _apply(self, model: Sequence[Document], *, is_pruned: bool = True) -> None:
        wanted = documents(model, self._tenant)
        body = {"documents": wanted, "owner": self._tenant, "is_pruned": is_pruned}
        self._troupe.api(1).request("POST", ("apply",), body=body)

    def _command(self, line: str) -> None:
        """A command line of ``weft``, on the host of the port that it names by ``%WORKLOAD``."""
        host = 1
        words = shlex.split(in_tenant(line, self._tenant))
        for number, word in enumerate(words):
            match = _PORT.fullmatch(word)
            if match is not None:
                words[number], host = self._cast.changed_port(match[1])
        done = CliRunner().invoke(cli, words, env=self._troupe.environment(host))
        assert done.exit_code == 0, f"weft {line}: {done.output}{done.exception}"


def _batches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Probes that follow each other are sent together."""
    batch: list[Step] = []
    for step in steps:
        [key] = step
        if " -> " in key:
            batch.append(step)
            continue
        if batch:
            yield batch
        batch = []
        yield [step]
    if batch:
        yield batch
