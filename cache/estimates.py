"""How long a build should take, from what the like of it has taken: pure functions, for people alone.

Nothing is decided by these. Where too little is known there is none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from cache.costs import CostKind, Measured, Way
from cache.reuse import Rung

_LIKE: Mapping[Rung | Way, Rung] = {
    Rung.WORKSPACE: Rung.LAYER,
    Rung.LAYER: Rung.WORKSPACE,
    Rung.UNITS: Rung.NONE,
    Rung.NONE: Rung.UNITS,
    Way.UNITS_ALONE: Rung.LAYER,
    Way.FORK: Rung.LAYER,
}
"""Rungs on which a build has nearly the same to do beside compiling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a build has to do: where it begins, and the names of the packages that it compiles."""

    way: Rung | Way
    dependencies: tuple[str, ...]
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is expected of a build: packages are `name version`, seconds None where nothing like it was measured."""

    rung: Rung
    reused: int
    """Dependencies that are not compiled."""
    compiled: tuple[str, ...]
    """Packages that are, members included."""
    members: tuple[str, ...]
    """Those of `compiled` that are packages of the tree."""
    expected_seconds: float | None
    cold_seconds: float | None
    """Of a build that reuses nothing."""


def estimate(work: Work, measured: Measured) -> float | None:
    """Seconds; None where nothing like it was measured.

    Each package takes the median of its measurements, one that was never measured the mean of the others of its kind.
    What a build takes beside compiling is its rung's, else that of the project's builds on a rung like it, else on any.
    """
    rest = _rest(work.way, measured)
    dependencies = _together(CostKind.DEPENDENCY, work.dependencies, measured)
    members = _together(CostKind.MEMBER, work.members, measured)
    if rest is None or dependencies is None or members is None:
        return None
    return rest + dependencies + members


def _together(kind: CostKind, names: Iterable[str], measured: Measured) -> float | None:
    wanted = tuple(names)
    if not wanted:
        return 0.0
    known = {name: median(seconds) for (one, name), seconds in measured.items() if one is kind}
    if not known:
        return None
    share = fmean(known.values())
    return sum(known.get(name, share) for name in wanted)


def _rest(way: Rung | Way, measured: Measured) -> float | None:
    for like in (way, _LIKE.get(way)):
        own = measured.get((CostKind.REST, str(like)))
        if own is not None:
            return median(own)
    if way in {Rung.RESULT, Rung.OBSERVED}:
        return None
    others = [
        median(seconds) for (kind, name), seconds in measured.items() if kind is CostKind.REST and name != Rung.RESULT
    ]
    return median(others) if others else None
