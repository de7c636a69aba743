"""Every behaviour of the case files, on one host and on two, in both families."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import pytest

from tests.conformance.case_files import all_scenes
from tests.conformance.conftest import Staged
from tests.conformance.scenes import FAMILIES, Behaviour, Placement, Scene

pytestmark = pytest.mark.root
PLACEMENTS: tuple[Placement, ...] = ("one", "two")


class Case(NamedTuple):
    """A behaviour in one placement and one family."""

    scene: Scene
    behaviour: Behaviour
    placement: Placement
    family: int


def cases() -> Iterator[object]:
    numbers = count()
    for scene in all_scenes():
        for behaviour in scene.behaviours:
            number = next(numbers) if behaviour.is_smoke else 0
            for placement in PLACEMENTS:
                for family in FAMILIES:
                    if behaviour.placement in (None, placement) and behaviour.family in (
                        None,
                        family,
                    ):
                        yield _parameters(Case(scene, behaviour, placement, family), number)


def _parameters(case: Case, number: int) -> object:
    """Of a behaviour that a slow machine runs, it runs each family on one host or on two: which,
    takes turns by `number`."""
    behaviour = case.behaviour
    is_turn = (case.placement == PLACEMENTS[0]) == (FAMILIES.index(case.family) == number % 2)
    marks = [pytest.mark.smoke] if behaviour.is_smoke and is_turn else []
    if behaviour.lacks is not None:
        marks.append(pytest.mark.xfail(reason=f"lacks {behaviour.lacks}", strict=True))
    name = f"{case.scene.scene}: {behaviour.says}, {case.placement}, IPv{case.family}"
    return pytest.param(case, marks=marks, id=name)


@pytest.mark.parametrize("case", list(cases()))
def test_behaviour(case: Case, staged: Staged) -> None:
    staged(case.scene, case.placement).play(case.behaviour, case.family)
