"""The reuse ladder: the rungs, the policy that chooses one, and why it did not choose a higher one."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from cache.differences import Difference, FilesChanged, Subject, subject_of
from cache.forking import Weighed
from cache.keys import Key


class Rung(StrEnum):
    """What a build reused, best first."""

    RESULT = "result"
    """The image itself."""
    OBSERVED = "observed"
    """The image, too: only files have changed since that nothing opened which made it."""
    WORKSPACE = "workspace"
    """The lineage's last compile, or for its first build another lineage's."""
    LAYER = "layer"
    """The dependency layer with exactly this key."""
    UNITS = "units"
    """Dependencies, one by one, that were compiled before for whatever lock."""
    NONE = "none"
    """Only the toolchain image."""


class WhyNot(StrEnum):
    """The closed set of reasons against a rung, with `Subject` for what has changed; never free text."""

    FIRST_BUILD = "first_build"
    """The project has no earlier build in this scope."""
    KEY_CHANGED = "key_changed"
    """The nearest earlier entry has another key; `differences` says in what."""
    PRUNED = "pruned"
    """The entry existed and its image is gone from the engine."""
    DAMAGED = "damaged"
    """The entry existed and what was stored is not what it was."""
    NOT_STORED = "not_stored"
    """None of its dependencies was compiled before with the same toolchain, flags and environment."""
    BUSY = "busy"
    """Another build is using the workspace."""
    OPENED = "opened"
    """A file has changed that the lineage's builds have opened, or one came, went, or may be run now."""
    NOT_OBSERVED = "not_observed"
    """What the lineage's builds have opened is not known."""
    UNKNOWN_LAYOUT = "unknown_layout"
    """How the toolchain keeps what it compiles is not known: it works from layers alone."""
    COPYING_COSTS_MORE = "copying_costs_more"
    """Another lineage's workspace could be forked, and compiling over the layer should take less; see `weighed`."""
    ASKED_NOT_TO = "asked_not_to"
    """The request wanted a clean build."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one rung was not taken."""

    rung: Rung
    why: WhyNot
    differences: tuple[Difference, ...] = ()
    parent: str | None = None
    """The lineage whose workspace could have been forked; then the reason is against that."""
    weighed: Weighed | None = None
    """What forking it was expected to cost and to spare."""

    @property
    def reason(self) -> WhyNot | Subject:
        """A metric's label: of a changed key, what the first of the differences is about."""
        if self.why is WhyNot.KEY_CHANGED and self.differences:
            return subject_of(self.differences[0])
        return self.why


class Standing(StrEnum):
    """How an index answers for one key."""

    HELD = "held"
    ABSENT = "absent"
    PRUNED = "pruned"
    DAMAGED = "damaged"
    BUSY = "busy"
    OPENED = "opened"
    """Held for other sources, of which something may be in it."""
    UNKNOWN = "unknown"
    """Nothing tells whether it fits."""
    IMPOSSIBLE = "impossible"
    """The toolchain cannot have such an entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the index knows about one rung: whether its entry is held, else the nearest earlier entry's key."""

    rung: Rung
    standing: Standing
    wanted: Key
    nearest: Key | None = None
    parent: str | None = None
    """The lineage that the nearest entry is of, where it is another's and would be forked."""
    sources: FilesChanged | None = None
    """Which files of the source tree are others than the nearest entry's, where that is known."""


@dataclass(frozen=True, slots=True)
class ReusePlan:
    """The rung that a build will stand on, with a reason against each higher one."""

    rung: Rung
    refusals: tuple[Refusal, ...]


def choose(candidates: tuple[Candidate, ...]) -> ReusePlan:
    """The highest rung whose entry is held; `candidates` come best first, and none means: a clean build."""
    if not candidates:
        clean = tuple(Refusal(rung, WhyNot.ASKED_NOT_TO) for rung in Rung if rung is not Rung.NONE)
        return ReusePlan(Rung.NONE, clean)
    refusals: list[Refusal] = []
    for candidate in candidates:
        if candidate.standing is Standing.HELD:
            return ReusePlan(candidate.rung, tuple(refusals))
        refusals.append(_refusal(candidate))
    return ReusePlan(Rung.NONE, tuple(refusals))


_TOLD = {
    Standing.PRUNED: WhyNot.PRUNED,
    Standing.DAMAGED: WhyNot.DAMAGED,
    Standing.BUSY: WhyNot.BUSY,
    Standing.OPENED: WhyNot.OPENED,
    Standing.UNKNOWN: WhyNot.NOT_OBSERVED,
    Standing.IMPOSSIBLE: WhyNot.UNKNOWN_LAYOUT,
}


def _refusal(candidate: Candidate) -> Refusal:
    parent = candidate.parent
    if (why := _TOLD.get(candidate.standing)) is not None:
        return Refusal(candidate.rung, why, parent=parent)
    differences = tuple(_differences(candidate))
    if candidate.rung is Rung.UNITS and not differences:
        return Refusal(candidate.rung, WhyNot.NOT_STORED)
    if candidate.nearest is None:
        return Refusal(candidate.rung, WhyNot.FIRST_BUILD, parent=parent)
    return Refusal(candidate.rung, WhyNot.KEY_CHANGED, differences, parent)


def _differences(candidate: Candidate) -> Iterator[Difference]:
    sources = candidate.sources
    for one in candidate.nearest.differences(candidate.wanted) if candidate.nearest else ():
        yield sources if sources is not None and one.label == sources.label else one


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseReport:
    """What a build stood on; `seconds_saved` is the recorded cost of what was reused."""

    rung: Rung
    seconds_saved: float = 0.0
    dependencies: int = 0
    """Packages the lock brings in from outside."""
    reused: int = 0
    """Packages of these that were not compiled."""
    compiled: tuple[str, ...] = ()
    """`name version` of each package that cargo compiled, members included."""
    members: tuple[str, ...] = ()
    """Those of `compiled` that are packages of the tree."""
    compiled_twice: tuple[str, ...] = ()
    """Those of `compiled` of which the very unit that cargo made was stored before."""
    seconds: float | None = None
    """What the build took, from its plan on."""
    expected_seconds: float | None = None
    """What it was expected to take; None where nothing like it was measured."""
    cold_seconds: float | None = None
    """The same of a build that reuses nothing."""
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    """What the user should know: settings ignored, a lock made for them, files the build wrote."""
    forked_from: str | None = None
    """The lineage whose workspace this lineage's first one is a copy of; the rung is then `workspace`."""
