"""Results as a table for people, JSON for programs, and a page to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import msgspec

from weft.bench import markdown, page
from weft.bench.results import Check, Figure, Quantity, Results
from weft.errors import InvalidError

_WIDTH = 80


def table(results: Results) -> str:
    """Everything, in 80 columns."""
    return "\n".join(_lines(results)) + "\n"


def write(results: Results, folder: Path) -> list[Path]:
    """Write bench.txt, bench.json and bench.png; gives their paths."""
    text, data, drawn = (folder / f"bench.{suffix}" for suffix in ("txt", "json", "png"))
    text.write_text(table(results))
    data.write_bytes(msgspec.json.format(msgspec.json.encode(as_json(results)), indent=1))
    stored = msgspec.json.decode(data.read_bytes(), type=page.Report)
    if not page.comparisons(stored):
        return [text, data]
    page.draw(stored, drawn)
    return [text, data, drawn]


def as_markdown(folder: Path) -> str:
    """The tables of the bench.json in a folder. InvalidError: there is none."""
    file = folder / "bench.json"
    try:
        stored = msgspec.json.decode(file.read_bytes(), type=page.Report)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidError(f"{file}: no report of weft bench: {error}") from error
    return markdown.tables(stored)


def as_json(results: Results) -> dict[str, object]:
    """Everything, samples included."""
    return {
        "environment": results.environment,
        "figures": {
            key: {
                "title": figure.title,
                "note": figure.note,
                "quantities": [asdict(quantity) for quantity in figure.quantities],
                "samples": results.samples[key],
                "spreads": {
                    variant: dict(_spreads(results, figure, variant))
                    for variant in results.samples[key]
                },
            }
            for key, figure in results.figures.items()
        },
        "skipped": results.skipped,
        "remarks": results.remarks,
        "expected": [{**asdict(check), "verdict": check.verdict} for check in results.checks],
    }


def _lines(results: Results) -> Iterator[str]:
    for key, value in results.environment.items():
        yield f"{key + ':':<14}{value}"
    for figure in results.figures.values():
        if any(results.samples[figure.key].values()):
            yield ""
            yield from _figure_lines(results, figure)
    if results.skipped:
        yield ""
        yield "Not measured"
        yield from (f"  {name}: {reason}" for name, reason in results.skipped.items())
    if results.remarks:
        yield ""
        yield from results.remarks
    if results.checks:
        yield ""
        yield from _check_lines(results.checks)


def _figure_lines(results: Results, figure: Figure) -> Iterator[str]:
    variants = [variant for variant, found in results.samples[figure.key].items() if found]
    first = variants[0]
    count = len(results.samples[figure.key][first])
    yield f"{figure.title} (median of {count}, lowest..highest)"
    if figure.note:
        yield f"  {figure.note}"
    main, *rest = figure.quantities
    head = f"  {'':<18}{main.title:>10} {'':<19}{'ratio':>6}"
    yield head + "".join(f"{quantity.title:>11}" for quantity in rest)
    for variant in variants:
        spread = results.spread(figure.key, variant, main.key)
        assert spread is not None
        limits = f"{_number(spread.low, main)}..{_number(spread.high, main)}"
        ratio = results.ratio(figure.key, variant, first, main.key)
        line = f"  {variant:<18}{_number(spread.median, main):>10} {limits:<19}"
        line += f"{ratio:6.2f}" if ratio is not None and len(variants) > 1 else " " * 6
        for quantity in rest:
            middle = results.median(figure.key, variant, quantity.key)
            line += f"{_number(middle or 0.0, quantity):>11}"
        yield line.rstrip()


def _check_lines(checks: list[Check]) -> Iterator[str]:
    yield f"{'Expected':<48}{'measured':>9}  {'limit':<14}"
    for check in checks:
        measured = "-" if check.measured is None else f"{check.measured:.4g}"
        limit = f"{'>=' if check.sense == 'at least' else '<='} {check.limit:g} {check.unit}"
        yield f"  {check.title:<46}{measured:>9}  {limit.strip():<10} {check.verdict}"


def _number(value: float, quantity: Quantity) -> str:
    return f"{value * quantity.scale:.{quantity.digits}f}"


def _spreads(
    results: Results, figure: Figure, variant: str
) -> Iterator[tuple[str, dict[str, float]]]:
    for quantity in figure.quantities:
        spread = results.spread(figure.key, variant, quantity.key)
        if spread is not None:
            yield quantity.key, spread._asdict()
