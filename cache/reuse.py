"""The reuse ladder's words: the rungs, and why a build did not stand on a higher one."""

from dataclasses import dataclass
from enum import StrEnum

from cache.keys import Difference


class Rung(StrEnum):
    """What a build reused, best first."""

    RESULT = "result"
    """The image itself."""
    LAYER = "layer"
    """The dependency layer with exactly this key."""
    NONE = "none"
    """Only the toolchain image."""


class WhyNot(StrEnum):
    """The closed set of reasons against a rung; a metric's label, so never free text."""

    FIRST_BUILD = "first_build"
    """The project has no earlier build in this scope."""
    KEY_CHANGED = "key_changed"
    """The nearest earlier entry has another key; `differences` names the parts."""
    PRUNED = "pruned"
    """The entry existed and its image is gone from the engine."""
    DAMAGED = "damaged"
    """The entry existed and what was stored is not what it was."""
    ASKED_NOT_TO = "asked_not_to"
    """The request wanted a clean build."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one rung was not taken."""

    rung: Rung
    why: WhyNot
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseReport:
    """What a build stood on; `seconds_saved` is the recorded cost of what was reused."""

    rung: Rung
    seconds_saved: float = 0.0
    dependencies: int = 0
    """Packages the lock brings in from outside."""
    compiled: tuple[str, ...] = ()
    """`name version` of each package that cargo compiled, members included."""
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    """What the user should know: settings ignored, a lock made for them, files the build wrote."""
