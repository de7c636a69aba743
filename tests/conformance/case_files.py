"""Reads case files, and says where one is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.conformance import sentences
from tests.conformance.addresses import Addresses
from tests.conformance.scenes import CHANGES, Behaviour, Scene
from weft.cli import yaml_text

CASES = Path(__file__).with_name("cases")


def read(path: Path) -> Iterator[Scene]:
    """The scenes of a file. ValueError: it is not as it should be, and says where."""
    for value in yaml_text.parse(path.read_bytes(), path.name):
        where = f"{path.name}:{value.line}"
        try:
            scene = msgspec.convert(_listed(value.plain()), Scene)
            for behaviour in scene.behaviours:
                _check(scene, behaviour)
        except (msgspec.ValidationError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
        yield scene


def all_scenes() -> Iterator[Scene]:
    """Of all files."""
    for path in sorted(CASES.glob("*.yaml")):
        yield from read(path)


def _listed(raw: object) -> object:
    """One network may be given without brackets."""
    workloads = raw.get("workloads") if isinstance(raw, dict) else None
    for workload in workloads.values() if isinstance(workloads, dict) else ():
        if isinstance(workload, dict) and isinstance(workload.get("network"), str):
            workload["network"] = [workload["network"]]
    return raw


def _check(scene: Scene, behaviour: Behaviour) -> None:
    """ValueError: a step that says nothing, or of somebody who is not there."""
    opened: set[str] = set()
    for step in behaviour.steps:
        if len(step) != 1:
            raise ValueError(f"{behaviour.says}: a step is one line, not {step}")
        [(key, value)] = step.items()
        word, _, rest = key.partition(" ")
        if word == "open":
            opened.add(rest)
            _check_probe(scene, behaviour, value)
        elif word in ("leave", "enter"):
            if value not in scene.workloads:
                raise ValueError(f"{behaviour.says}: no workload {value!r}")
        elif key in opened:
            if value not in ("goes on", "is cut"):
                raise ValueError(f"{behaviour.says}: a flow goes on or is cut, not {value!r}")
        elif word not in CHANGES:
            _check_probe(scene, behaviour, key)
            sentences.outcome(value)


def _check_probe(scene: Scene, behaviour: Behaviour, text: str) -> None:
    probe = sentences.probe(text)
    if probe.sender not in scene.workloads:
        raise ValueError(f"{text}: no workload {probe.sender!r}")
    for target in (probe.source, probe.target):
        Addresses(scene).of(target, behaviour.family or 4)
