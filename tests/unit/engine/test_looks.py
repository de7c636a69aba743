"""When the engine looks at the kernel."""

from __future__ import annotations

import pytest

from weft.engine.looks import Looks, periodic_pause_s


@pytest.mark.parametrize(
    ("took_s", "pause_s"), [(0.0, 30.0), (0.1, 30.0), (0.3, 60.0), (1.0, 200.0), (60.0, 300.0)]
)
def test_looks_that_take_long_are_made_less_often_but_made(took_s: float, pause_s: float) -> None:
    assert periodic_pause_s(30.0, took_s) == pytest.approx(pause_s)


@pytest.mark.parametrize(("is_well", "due_s"), [(True, 160 + 300), (False, 160 + 30)])
def test_what_failed_is_tried_again_at_the_usual_pace_however_long_a_look_takes(
    is_well: bool, due_s: float
) -> None:
    looks = Looks(30.0)
    looks.begin()
    looks.end(160.0, 60.0, is_well=is_well)
    assert looks.due_s == due_s


def test_looks_that_are_asked_for_take_a_twentieth_of_the_time() -> None:
    looks = Looks(30.0)
    looks.begin()
    looks.end(100.0, 0.5, is_well=True)
    for _ in range(3):
        looks.ask()
        assert looks.due_s == 110.0
    looks.begin()
    looks.ask()
    looks.end(110.5, 0.5, is_well=True)
    assert looks.due_s == 120.5
    looks.need()
    assert looks.due_s == 0.0
