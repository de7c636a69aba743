"""A report as one page that is taken in at one look, drawn from what is stored of it.

The packet paths lie side by side, those with rules and routers below the plain ones: a row is a
figure, a column a variant, a bar the ratio to the first variant of its path. Below are other
comparisons, and the expectations that were missed.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Page

_SIZE_INCHES, _DPI = (18.0, 10.0), 100
_BANDS = (
    {
        "path": "one host",
        "hosts": "two hosts, one cable",
        "encryption": "two hosts, encrypted",
    },
    {
        "policy": "one host, rules and routers",
        "policyhosts": "two hosts, rules and routers",
    },
)
"""What begins the keys of a packet path's figures, and how the page calls it; those of a band lie
side by side."""
PATHS = {key: name for band in _BANDS for key, name in band.items()}
_HEAD, _NAME = 2.4, 1.95
"""Room above a band, and where in it the names of its paths are, in rows."""
PATH_TITLE = re.compile("^(Two hosts(, encrypted)?|Policy(, two hosts)?): ")
_LIMITS = ("raw veth", "underlay", "redirect_peer", "bpf vxlan", "the limit", "wireguard")
_OWN, _LIMIT, _OTHER = "#f0a35e", "#9db8d6", "#dfe3e8"
_LABELS, _GAP = 3.4, 0.5
"""Room for the rows' titles and between two paths, in columns."""
_ONE, _LONGEST, _WIDTH = 0.58, 1.5, 0.9
"""In a column: where a ratio of 1 ends, the ratio at which a bar is cut, and the column's width."""
_LEGEND = "ratios to the first of a path; line: lowest and highest sample; blue: limits"
_PANELS, _MISSED = (6, 3), 15
"""Of other comparisons, columns and rows at most; and how many missed expectations are named."""


class Spread(msgspec.Struct, frozen=True):
    """What the samples of one quantity say."""

    median: float
    low: float
    high: float


class Quantity(msgspec.Struct, frozen=True):
    """How one quantity is shown."""

    key: str
    title: str
    digits: int
    scale: float


class Figure(msgspec.Struct, frozen=True):
    """One figure; a variant that was not measured has empty spreads."""

    title: str
    quantities: tuple[Quantity, ...]
    spreads: dict[str, dict[str, Spread]]


class Expected(msgspec.Struct, frozen=True):
    """An expectation, and what became of it."""

    title: str
    measured: float | None
    limit: float
    sense: str
    verdict: str


class Report(msgspec.Struct, frozen=True):
    """What bench.json holds, as far as the page shows it."""

    environment: dict[str, str]
    figures: dict[str, Figure]
    expected: tuple[Expected, ...]


class Comparison(msgspec.Struct, frozen=True):
    """One quantity of several variants."""

    path: str | None
    """The packet path that it is of; None: another comparison."""
    title: str
    quantity: Quantity
    spreads: dict[str, Spread]
    """By variant; the first is what the others are related to."""

    def ratio(self, value: float) -> float:
        """To the median of the first variant."""
        first = next(iter(self.spreads.values())).median
        return value / first if first else 0.0


def comparisons(report: Report) -> list[Comparison]:
    """Of every figure its first quantity; of the packet paths' programs each."""
    return list(_comparisons(report))


def path_of(key: str) -> str | None:
    """The packet path that a figure with this key is of; None: it is of none."""
    begin = key.partition("_")[0]
    return begin if begin in PATHS else None


def draw(report: Report, file: Path) -> None:
    """Write the page."""
    drawn(report).savefig(file)


def drawn(report: Report) -> Page:
    """The page."""
    from matplotlib.figure import Figure as _Page

    page = _Page(figsize=_SIZE_INCHES, dpi=_DPI)
    found = comparisons(report)
    paths = [each for each in found if each.path is not None]
    others = [each for each in found if each.path is None]
    bottom = 0.40 if others or report.expected else 0.02
    if paths:
        bands = [[each for each in paths if each.path in band] for band in _BANDS]
        _draw_bands(page, [band for band in bands if band], bottom)
        page.text(0.99, 0.975, _LEGEND, fontsize=9, va="center", ha="right", color="#555555")
    top = bottom - 0.03 if paths else 0.92
    columns, most = _PANELS
    rows = min(most, max(2, -(-len(others) // columns)))
    width, height = 0.70 / columns, top / rows
    for number, each in enumerate(others[: columns * rows]):
        left, down = number % columns, number // columns + 1
        own = height - 0.045
        place = (0.01 + left * width, top - down * height + 0.01, width - 0.012, own)
        _draw_panel(page.add_axes(place), each, own * _SIZE_INCHES[1])
    _write_expected(page.add_axes((0.72, 0.0, 0.27, top)), report.expected)
    said = [report.environment.get(key, "") for key in ("title", "kernel", "cpus")]
    page.text(0.01, 0.975, "   ".join(said), fontsize=10, va="center")
    return page


def _comparisons(report: Report) -> Iterator[Comparison]:
    for key, figure in report.figures.items():
        path, rest = path_of(key), key.partition("_")[2]
        title = PATH_TITLE.sub("", figure.title) if path else figure.title
        every = path is not None and rest == "programs"
        for quantity in figure.quantities if every else figure.quantities[:1]:
            spreads = {
                variant: of[quantity.key]
                for variant, of in figure.spreads.items()
                if quantity.key in of
            }
            if len(spreads) > 1:
                named = f"{quantity.title}: {title}" if every else title
                yield Comparison(path, named, quantity, spreads)


def _draw_bands(page: Page, bands: Sequence[Sequence[Comparison]], bottom: float) -> None:
    """One below the other, each as high as it has rows."""
    rows = [len(_titles(band)) + _HEAD for band in bands]
    top = 0.93
    a_row = (top - bottom) / sum(rows)
    for band, count in zip(bands, rows, strict=True):
        top -= count * a_row
        _draw_paths(page.add_axes((0.01, top, 0.98, count * a_row)), band)


def _titles(found: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(each.title for each in found))


def _draw_paths(axes: Axes, found: Sequence[Comparison]) -> None:
    titles = _titles(found)
    rows = {title: number for number, title in enumerate(titles)}
    edge = _LABELS
    for path, name in PATHS.items():
        own = [each for each in found if each.path == path]
        if not own:
            continue
        variants = list(dict.fromkeys(variant for each in own for variant in each.spreads))
        columns = {variant: edge + number for number, variant in enumerate(variants)}
        axes.text(edge, -_NAME, name, fontsize=11, fontweight="bold", va="center")
        for variant, column in columns.items():
            label = "\n".join(textwrap.wrap(variant.replace("_", "_ "), 11))
            axes.text(column, -0.62, label, fontsize=8, va="bottom")
            axes.plot([column + _ONE] * 2, [-0.5, len(rows) - 0.5], color="grey", lw=0.6, ls=":")
        for each in own:
            for variant, spread in each.spreads.items():
                _draw_bar(axes, columns[variant], rows[each.title], each, variant, spread)
        edge += len(variants) + _GAP
    for title, row in rows.items():
        label = "\n".join(textwrap.wrap(title, 44))
        axes.text(0, row, label, fontsize=7.5, va="center")
        axes.axhline(row + 0.5, color="#eeeeee", lw=0.8, zorder=0)
    axes.set(xlim=(0, edge - _GAP), ylim=(len(rows) - 0.5, -_HEAD))
    axes.axis("off")


def _draw_bar(
    axes: Axes, left: float, row: int, of: Comparison, variant: str, spread: Spread
) -> None:
    def end(value: float) -> float:
        return left + _ONE * min(of.ratio(value), _LONGEST)

    axes.barh(row, end(spread.median) - left, left=left, height=0.62, color=_colour(variant))
    axes.plot([end(spread.low), end(spread.high)], [row + 0.31] * 2, color="#444444", lw=1.2)
    ratio = f"{of.ratio(spread.median):.2f}"
    weight = "bold" if variant.startswith("weft") else "normal"
    axes.text(left + 0.03, row, ratio, fontsize=8.5, va="center", fontweight=weight)


def _draw_panel(axes: Axes, of: Comparison, height_inches: float) -> None:
    names = list(of.spreads)
    rows = max(len(names), 4)
    size = min(7.5, 0.8 * 72 * height_inches / rows)
    longest = max(spread.median for spread in of.spreads.values()) or 1.0
    for row, (variant, spread) in enumerate(of.spreads.items()):
        axes.barh(row, spread.median / longest, height=0.7, color=_colour(variant))
        value = f"{spread.median * of.quantity.scale:.{of.quantity.digits}f}"
        axes.text(0.01, row, f"{variant}  {value}", fontsize=size, va="center")
    unit = "" if f"({of.quantity.title})" in of.title else f": {of.quantity.title}"
    axes.set_title(textwrap.fill(of.title + unit, 40), fontsize=7, loc="left", pad=2)
    axes.set(xlim=(0, 1), ylim=(rows - 0.5, -0.5))
    axes.axis("off")


def _write_expected(axes: Axes, expected: Sequence[Expected]) -> None:
    axes.axis("off")
    if not expected:
        return
    counted = {verdict: 0 for verdict in ("met", "missed", "not measured")}
    for each in expected:
        counted[each.verdict] += 1
    head = ", ".join(f"{number} {verdict}" for verdict, number in counted.items() if number)
    missed = [each for each in expected if each.verdict == "missed"]
    lines = [f"Expected: {head}", *map(_missed, missed[:_MISSED])]
    if len(missed) > _MISSED:
        lines.append(f"and {len(missed) - _MISSED} more, see bench.txt")
    axes.text(0, 1, "\n".join(lines), fontsize=8.5, va="top", linespacing=1.45)


def _missed(one: Expected) -> str:
    sign = ">=" if one.sense == "at least" else "<="
    return f"{one.measured:.4g}, not {sign} {one.limit:g}:  {textwrap.shorten(one.title, 50)}"


def _colour(variant: str) -> str:
    if variant.startswith("weft"):
        return _OWN
    return _LIMIT if variant in _LIMITS else _OTHER
