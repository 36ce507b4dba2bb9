"""What samples say: medians, ratios to bare cargo and to the best alternative, right or wrong, and the issue's bars."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.contestants.roster import BASELINE, OURS, ROSTER
from bench.samples import Sample, Store
from bench.scenarios import SCENARIOS


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All samples of one contestant in one scenario."""

    contestant: str
    seconds: tuple[float, ...]
    """Of the builds that ended well, right or wrong."""
    faults: tuple[str, ...]
    """What was wrong, for each that was."""
    tried: int
    notes: tuple[str, ...] = ()

    @property
    def median(self) -> float | None:
        """The middle one; none where nothing was built."""
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def right(self) -> bool:
        """Whether every build shipped the right binary."""
        return not self.faults

    def __str__(self) -> str:
        median = self.median
        if median is None:
            return "failed"
        spread = f" ({shown(min(self.seconds))} to {shown(max(self.seconds))})" if len(self.seconds) > 1 else ""
        wrong = "" if self.right else f" **WRONG {len(self.faults)} of {self.tried}**"
        return f"{shown(median)}{spread}{wrong}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One scenario of one project, all contestants beside each other."""

    project: str
    store: Store
    scenario: str
    words: str
    cells: dict[str, Cell]

    @property
    def best_alternative(self) -> Cell | None:
        """The quickest of the others that was never wrong; bare cargo is the measure, not one of them."""
        others = (cell for name, cell in self.cells.items() if name not in {OURS, BASELINE})
        sound = [
            (cell.median, name, cell)
            for name, cell in ((each.contestant, each) for each in others)
            if cell.right and cell.median
        ]
        return min(sound)[2] if sound else None

    def ratio(self, contestant: str, other: str) -> float | None:
        """How many times as long one takes as another; none where one of them has no median."""
        one, two = self.cells.get(contestant), self.cells.get(other)
        if one is None or two is None or one.median is None or not two.median:
            return None
        return one.median / two.median


def lines(samples: Iterable[Sample]) -> list[Line]:
    """Group samples; projects as they come, scenarios and contestants in their own order."""
    grouped: dict[tuple[str, Store], dict[str, dict[str, list[Sample]]]] = {}
    for sample in (each for each in samples if each.tried):
        scenarios = grouped.setdefault((sample.walk.project, sample.walk.store), {})
        scenarios.setdefault(sample.scenario, {}).setdefault(sample.walk.contestant, []).append(sample)
    return [
        Line(
            project=project,
            store=store,
            scenario=scenario.name,
            words=scenario.words,
            cells={
                name: _cell(name, scenarios[scenario.name][name]) for name in ROSTER if name in scenarios[scenario.name]
            },
        )
        for (project, store), scenarios in sorted(grouped.items())
        for scenario in SCENARIOS
        if scenario.name in scenarios
    ]


def _cell(contestant: str, samples: Sequence[Sample]) -> Cell:
    return Cell(
        contestant=contestant,
        seconds=tuple(each.seconds for each in samples if each.seconds is not None),
        faults=tuple(each.fault for each in samples if each.fault),
        tried=len(samples),
        notes=tuple(sorted({each.note for each in samples if each.note})),
    )


def shown(value: float) -> str:
    """Seconds or a ratio in three digits."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"  # noqa: PLR2004 - three digits say it
