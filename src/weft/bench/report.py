"""Results as a table for people, JSON for programs, and a plot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import msgspec

from weft.bench.results import Check, Figure, Quantity, Results

_WIDTH = 80


def table(results: Results) -> str:
    """Everything, in 80 columns."""
    return "\n".join(_lines(results)) + "\n"


def write(results: Results, folder: Path) -> list[Path]:
    """Write bench.txt, bench.json and bench.png; gives their paths."""
    text, data, plot = (folder / f"bench.{suffix}" for suffix in ("txt", "json", "png"))
    text.write_text(table(results))
    data.write_bytes(msgspec.json.format(msgspec.json.encode(as_json(results)), indent=1))
    written = [text, data]
    if any(_ratio_bars(results)):
        draw(results, plot)
        written.append(plot)
    return written


def as_json(results: Results) -> dict[str, object]:
    """Everything, samples included."""
    return {
        "environment": results.environment,
        "figures": {
            key: {
                "title": figure.title,
                "note": figure.note,
                "samples": results.samples[key],
                "spreads": {
                    variant: {
                        quantity.key: _spread_json(results, figure, variant, quantity)
                        for quantity in figure.quantities
                    }
                    for variant in results.samples[key]
                },
            }
            for key, figure in results.figures.items()
        },
        "skipped": results.skipped,
        "remarks": results.remarks,
        "expected": [{**asdict(check), "verdict": check.verdict} for check in results.checks],
    }


def draw(results: Results, path: Path) -> None:
    """Every compared figure as its ratio to the first variant, with lowest and highest."""
    from matplotlib.figure import Figure as Canvas

    bars = list(_ratio_bars(results))
    canvas = Canvas(figsize=(9, 1.5 + 0.22 * sum(len(rows) + 1.5 for _, rows in bars)))
    axes = canvas.add_subplot()
    colours = _colours(results)
    position, ticks, labels = 0.0, [], []
    for title, rows in bars:
        axes.text(0, position, title, fontsize=8, fontweight="bold", va="center")
        position += 1
        for variant, middle, low, high in rows:
            axes.barh(position, middle, color=colours[variant], height=0.8)
            axes.plot([low, high], [position, position], color="black", linewidth=1)
            ticks.append(position)
            labels.append(f"{variant}  {middle:.2f}")
            position += 1
        position += 0.5
    axes.set_yticks(ticks, labels, fontsize=7)
    axes.set_ylim(position, -1)
    axes.axvline(1, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel("ratio of medians to the first variant; lines: lowest and highest sample")
    axes.set_title(results.environment.get("title", "weft bench"), fontsize=9)
    canvas.tight_layout()
    canvas.savefig(path, dpi=120)


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


def _spread_json(
    results: Results, figure: Figure, variant: str, quantity: Quantity
) -> dict[str, float]:
    spread = results.spread(figure.key, variant, quantity.key)
    return {} if spread is None else dict(spread._asdict())


def _ratio_bars(
    results: Results,
) -> Iterator[tuple[str, list[tuple[str, float, float, float]]]]:
    for key, figure in results.figures.items():
        variants = results.samples[key]
        if len(variants) < 2:
            continue
        quantity = figure.quantities[0]
        base = results.median(key, next(iter(variants)), quantity.key)
        rows = []
        for variant in variants:
            spread = results.spread(key, variant, quantity.key)
            if spread is not None and base:
                rows.append((variant, spread.median / base, spread.low / base, spread.high / base))
        yield f"{figure.title} ({quantity.title})", rows


def _colours(results: Results) -> dict[str, str]:
    """Orange for Weft's own, another one for each of the rest."""
    names = dict.fromkeys(name for figure in results.samples.values() for name in figure)
    others = [f"C{number}" for number in (0, 2, 3, 4, 5, 6, 7, 8, 9)]
    return {
        name: "C1" if name.startswith("weft") else others[number % len(others)]
        for number, name in enumerate(names)
    }
