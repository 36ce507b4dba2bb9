"""How quick ours should be, each bar against a median of the same run; missing one is no error, and is said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bench.comparison import Line, shown
from bench.contestants.roster import BASELINE, OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Ours in a scenario takes at most `factor` times what another median is, and some seconds by storage driver."""

    scenario: str
    factor: float
    contestant: str
    of: str = ""
    """The other median's scenario; empty where it is the same."""
    more: Mapping[str, float] = field(default_factory=dict)
    """Seconds on top, by storage driver; with none for a driver the bar is not asked there."""

    def words(self, driver: str) -> str:
        """As in the table."""
        times = "" if self.factor == 1 else f"{self.factor} times "
        more = self.more.get(driver, 0.0)
        return f"{times}{self.contestant}{f', {self.of}' if self.of else ''}{f' + {more} s' if more else ''}"


_STEP = {"overlay2": 0.8, "fuse-overlayfs": 1.2}
_OVERLAY2 = {"overlay2": 0.0}

BARS = (
    Bar(scenario="cold", factor=1.05, contestant=BASELINE),
    Bar(scenario="nothing", factor=1.6, contestant="mounts"),
    Bar(scenario="documentation", factor=2.0, contestant=OURS, of="nothing"),
    *(Bar(scenario=each, factor=1.0, contestant=BASELINE, more=_STEP) for each in ("leaf", "member", "version")),
    *(Bar(scenario=each, factor=1.05, contestant="mounts") for each in ("leaf", "member", "version")),
    Bar(scenario="added", factor=0.12, contestant="cargo-chef"),
    Bar(scenario="added", factor=1.3, contestant="mounts"),
    Bar(scenario="second", factor=0.06, contestant=OURS, of="cold", more=_OVERLAY2),
    Bar(scenario="second", factor=1.1, contestant="mbx"),
    Bar(scenario="second", factor=0.25, contestant="sccache"),
    Bar(scenario="branch", factor=1.0, contestant=OURS, of="leaf", more={"overlay2": 2.0}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A bar beside what was measured."""

    project: str
    store: str
    scenario: str
    words: str
    """What the limit is made of."""
    ours: float
    limit: float
    right: bool
    """Whether ours was the right binary each time; a bar is not held by being wrong."""

    @property
    def held(self) -> bool:
        """Whether it is held, by the median."""
        return self.right and self.ours <= self.limit

    def __str__(self) -> str:
        if not self.right:
            return "MISSED, the binary was wrong"
        return "held" if self.held else f"MISSED, {shown(self.ours / self.limit)} times as long"


def verdicts(lines: Iterable[Line], driver: str) -> list[Verdict]:
    """Each bar for each project and store in which both its medians were measured, and the other was never wrong."""
    found = list(lines)
    cells = {
        (line.project, line.store, line.scenario, name): cell for line in found for name, cell in line.cells.items()
    }
    judged = []
    for line in found:
        for bar in BARS:
            if bar.scenario != line.scenario or (bar.more and driver not in bar.more):
                continue
            ours = cells.get((line.project, line.store, bar.scenario, OURS))
            theirs = cells.get((line.project, line.store, bar.of or bar.scenario, bar.contestant))
            if ours is None or theirs is None or ours.median is None or theirs.median is None or not theirs.right:
                continue
            judged.append(
                Verdict(
                    project=line.project,
                    store=line.store,
                    scenario=bar.scenario,
                    words=bar.words(driver),
                    ours=ours.median,
                    limit=bar.factor * theirs.median + bar.more.get(driver, 0.0),
                    right=ours.right,
                )
            )
    return judged
