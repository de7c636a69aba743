"""What was measured: samples of figures, their spread, and whether they are what is expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, NamedTuple

Sample = Mapping[str, float]
"""Names of what was measured, and its values."""


class Spread(NamedTuple):
    """What many samples of one quantity say."""

    median: float
    low: float
    high: float
    number: int

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of at least one value."""
        return cls(median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class Quantity:
    """One number that each sample of a figure holds."""

    key: str
    title: str
    digits: int = 0
    scale: float = 1.0


@dataclass(frozen=True)
class Figure:
    """Something that was measured the same way for several variants."""

    key: str
    title: str
    quantities: tuple[Quantity, ...]
    """The first is what variants are compared by."""
    note: str = ""


@dataclass(frozen=True)
class Check:
    """An expectation of the design, and what was measured. Never a failure: machines differ."""

    title: str
    measured: float | None
    """None: it could not be measured here."""
    limit: float
    sense: Literal["at least", "at most"] = "at least"
    unit: str = ""

    @property
    def verdict(self) -> str:
        """met, missed, or not measured."""
        if self.measured is None:
            return "not measured"
        is_met = (
            self.measured >= self.limit if self.sense == "at least" else self.measured <= self.limit
        )
        return "met" if is_met else "missed"


@dataclass
class Results:
    """Everything that one run found.

    The first variant of a figure is what the others are related to.
    """

    environment: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    """By figure and variant."""
    skipped: dict[str, str] = field(default_factory=dict)
    """What could not be measured, and why."""
    remarks: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def announce(self, figure: Figure, variants: Iterable[str]) -> None:
        """Fix the order in which variants are shown."""
        self.figures[figure.key] = figure
        self.samples[figure.key] = {variant: [] for variant in variants}

    def add(self, figure: Figure, variant: str, sample: Sample) -> None:
        """Keep a sample."""
        self.figures.setdefault(figure.key, figure)
        self.samples.setdefault(figure.key, {}).setdefault(variant, []).append(sample)

    def spread(self, figure: str, variant: str, quantity: str) -> Spread | None:
        """Of one quantity; None when it was not measured."""
        samples = self.samples.get(figure, {}).get(variant, [])
        return Spread.of([sample[quantity] for sample in samples]) if samples else None

    def median(self, figure: str, variant: str, quantity: str) -> float | None:
        """None when it was not measured."""
        spread = self.spread(figure, variant, quantity)
        return None if spread is None else spread.median

    def ratio(self, figure: str, variant: str, other: str, quantity: str) -> float | None:
        """Of the medians of two variants; None when either was not measured."""
        one, two = self.median(figure, variant, quantity), self.median(figure, other, quantity)
        return None if one is None or not two else one / two
