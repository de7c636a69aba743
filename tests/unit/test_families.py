"""Of each family some case runs always: what `make test` leaves out is never all of it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests import families


class Thing(NamedTuple):
    """One value, although it is a tuple."""

    name: str
    size: int


@pytest.mark.parametrize(
    ("always", "left_out"), [(1, [False, True, True]), (2, [False, False, True])]
)
def test_the_first_cases_run_always(always: int, left_out: list[bool]) -> None:
    made = families.of(["a", "b", "c"], ids=["x", "y", "z"], always=always)
    assert [any(mark.name == "matrix" for mark in case.marks) for case in made] == left_out
    assert [case.id for case in made] == ["x", "y", "z"]


@pytest.mark.parametrize(("letter", "number"), families.of([("a", 1)]))
@pytest.mark.parametrize("thing", families.of([Thing("b", 2)], ids=["thing"]))
def test_a_tuple_is_several_values_and_a_class_of_tuples_one(
    letter: str, number: int, thing: Thing
) -> None:
    assert (letter, number) == ("a", 1)
    assert (thing.name, thing.size) == ("b", 2)
