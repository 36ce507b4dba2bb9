"""What happens to a build, as it happens: events with replay.

Each event has the next number of its build (from 1), so a follower that lost its connection goes on where it was.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from cache.estimates import Forecast
from daemon.builds import Diagnostic, StageName


class EventKind(StrEnum):
    """What an event tells; its `data` by kind."""

    STATE = "state"
    """`{"state": BuildState, "attempt": int}`; a final state is the last event of its build."""
    STAGE = "stage"
    """`{"stage": StageName, "phase": "begin" | "end", "seconds": float}`; `seconds` at the end."""
    LOG = "log"
    """`{"text": str}`: one line without its newline, with ANSI colours."""
    COMPILED = "compiled"
    """`{"package": "name version", "fresh": bool, "done": int, "total": int}`; `total` 0 where unknown."""
    DIAGNOSTIC = "diagnostic"
    """A `Diagnostic`."""
    FORECAST = "forecast"
    """What the build should do: `{"rung": Rung, "reused": int, "dependencies": int, "members": int,
    "expected_seconds": float | None, "cold_seconds": float | None}`; both kinds of packages are to be compiled."""
    NOTE = "note"
    """`{"text": str}`: what the user should know; warnings of ours, not the compiler's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of one build; `at` is Unix seconds."""

    number: int
    at: float
    kind: EventKind
    data: dict[str, Any] = field(default_factory=dict)


class Progress(Protocol):
    """How the pipeline tells what it does; never waits, so it can be called from anywhere on the loop."""

    def stage(self, stage: StageName) -> AbstractAsyncContextManager[None]:
        """Bracket a stage: its begin and end become events, its duration a record and a metric."""
        ...

    def log(self, text: str) -> None:
        """One line of output."""
        ...

    def compiled(self, package: str, *, fresh: bool, done: int, total: int) -> None:
        """Cargo is done with a package."""
        ...

    def forecast(self, forecast: Forecast) -> None:
        """What the build is expected to do."""
        ...

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        """The compiler said something about the source."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know."""
        ...
