"""What every contestant is to the ladder: something that builds a checkout, and can be made to forget everything."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.options import Options
from bench.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One build."""

    project: Project
    """Its root is the checkout."""
    line: str
    """The name of the line of checkouts: what shares it is one project to a contestant that knows projects."""
    lineage: str
    """The branch."""
    binary: Path
    """Where the binary that was shipped is put."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One build that ended well; the binary is where the order wanted it."""

    seconds: float
    """From the command's start to its end."""
    cargo_seconds: float | None = None
    """Cargo's own, of all its runs; none where it ran not at all or did not say."""
    image_bytes: int | None = None
    """Of the image that was shipped; none where only a binary is made."""
    note: str = ""
    """What else tells one sample from another, such as the rung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is the same for all contestants."""

    asked: Options
    buildkit: str
    """The docker program whose `docker build` has BuildKit."""
    prunes: bool
    """Whether the engine's whole build cache may be pruned after a walk."""
    work: Path
    """All checkouts are below it."""


class Contestant(Protocol):
    """A way to build."""

    @property
    def name(self) -> str:
        """As in tables and on the command line."""
        ...

    def prepare(self) -> None:
        """Make what it needs and what outlives a reset: its image with the tool in it."""
        ...

    def reset(self) -> None:
        """Forget everything, and be ready for a first build."""
        ...

    def build(self, order: Order) -> Built:
        """Build; raises `CommandFailed` with the words of what failed."""
        ...

    def settle(self) -> float:
        """Wait for what goes on behind the answer; returns the seconds that it took."""
        ...

    def close(self) -> None:
        """Leave nothing behind but what `prepare` made."""
        ...
