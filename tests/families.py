"""Families of cases: which of them run always, and which with `make test-all` alone.

What a family varies (an address family, a way to pack, what was damaged) is tested in process, case
by case, on records, rows and programs. In a lab, which takes seconds a case, the first cases show
that it holds there, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from _pytest.mark import ParameterSet


def of(cases: Iterable[object], *, ids: Sequence[str] = (), always: int = 1) -> list[ParameterSet]:
    """For `parametrize`, or the params of a fixture: all but the first cases are of the matrix.

    A tuple (and no class of tuples) holds the values of several names. Where a test has two
    families, the first cases of both run together, and all others are of the matrix.
    """
    made = []
    for number, case in enumerate(cases):
        values = case if type(case) is tuple else (case,)
        marks = () if number < always else (pytest.mark.matrix,)
        made.append(pytest.param(*values, marks=marks, id=ids[number] if ids else None))
    return made
