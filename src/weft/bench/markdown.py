"""A stored report as Markdown: the tables of docs/measurements.md.

Of a packet path one table, whose columns are variants, with ratios to the first; of every other
figure one whose rows are; then what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weft.bench.page import PATH_TITLE, PATHS, Expected, Figure, Quantity, Report, path_of

_UNSHOWN = frozenset({"mss_bytes"})
"""Quantities that are alike by design."""
_UNMEASURED = "-"


def tables(report: Report) -> str:
    """All of it, each table below its title."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    for key, value in report.environment.items():
        yield f"{key}: {value}"
    paths: dict[str, list[Figure]] = {}
    for key, figure in report.figures.items():
        path = path_of(key)
        if path is not None:
            paths.setdefault(path, []).append(figure)
    for path, name in PATHS.items():
        if path in paths:
            yield from ("", f"## {name}", "", *_path_table(paths[path]))
    for key, figure in report.figures.items():
        if path_of(key) is None and any(figure.spreads.values()):
            yield from ("", f"## {figure.title}", "", *_figure_table(figure))
    if report.expected:
        yield from ("", "## Expected", "", *_expected_table(report.expected))


def _path_table(figures: Sequence[Figure]) -> Iterator[str]:
    named = (name for figure in figures for name, spreads in figure.spreads.items() if spreads)
    variants = list(dict.fromkeys(named))
    yield from _head("", *variants)
    for figure in figures:
        title = PATH_TITLE.sub("", figure.title)
        shown = [each for each in figure.quantities if each.key not in _UNSHOWN]
        for number, quantity in enumerate(shown):
            said = f"{title}, {quantity.title}" if number == 0 else quantity.title
            cells = (_cell(figure, variant, quantity, number == 0) for variant in variants)
            yield _row(said, *cells)


def _figure_table(figure: Figure) -> Iterator[str]:
    yield from _head("", *(quantity.title for quantity in figure.quantities))
    for variant, spreads in figure.spreads.items():
        if spreads:
            cells = (_with_limits(figure, variant, each) for each in figure.quantities)
            yield _row(variant, *cells)


def _expected_table(expected: Sequence[Expected]) -> Iterator[str]:
    yield from _head("", "measured", "expected", "")
    for each in expected:
        measured = _UNMEASURED if each.measured is None else f"{each.measured:.4g}"
        yield _row(each.title, measured, f"{each.sense} {each.limit:g}", each.verdict)


def _cell(figure: Figure, variant: str, quantity: Quantity, has_ratio: bool) -> str:
    found = figure.spreads.get(variant, {}).get(quantity.key)
    if found is None:
        return _UNMEASURED
    value = _number(found.median, quantity)
    measured = [spreads[quantity.key] for spreads in figure.spreads.values() if spreads]
    first = measured[0].median
    if not has_ratio or found is measured[0] or not first:
        return value
    return f"{value} ({found.median / first:.2f})"


def _with_limits(figure: Figure, variant: str, quantity: Quantity) -> str:
    found = figure.spreads[variant].get(quantity.key)
    if found is None:
        return _UNMEASURED
    value = _number(found.median, quantity)
    if found.low == found.high:
        return value
    return f"{value} ({_number(found.low, quantity)}..{_number(found.high, quantity)})"


def _number(value: float, quantity: Quantity) -> str:
    return f"{value * quantity.scale:.{quantity.digits}f}"


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield "|---" * len(cells) + "|"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
