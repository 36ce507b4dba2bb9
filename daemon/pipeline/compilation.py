"""A build between its plan and its images: what is planned, what was made of it, and what that stood on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cache.costs import Way
from cache.digest import Digest
from cache.reuse import Refusal, Rung
from daemon.builds import Diagnostic
from daemon.ecosystems.ecosystem import CompiledProject, InstalledProject, Project
from daemon.ecosystems.planned import Plan, Source
from daemon.pipeline.reusable import Reusable
from daemon.units.cook import LiveUnit


class Made(Protocol):
    """What images are made of, whichever language it is; whoever makes them knows its own."""

    @property
    def spent(self) -> Mapping[str, float]:
        """`name version` of each package that was compiled or installed, and the seconds that it took."""
        ...

    @property
    def reused(self) -> tuple[str, ...]:
        """`name version` of each dependency that was not."""
        ...

    @property
    def live(self) -> tuple[LiveUnit, ...]:
        """The units of dependencies that were named."""
        ...

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What a compiler said."""
        ...

    @property
    def opened(self) -> frozenset[str] | None:
        """The files of the tree that any step may have read; None: nobody knows which."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be told."""
        ...

    @property
    def written(self) -> frozenset[Digest]:
        """The blobs that were written for these images alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A build that is planned: its sources, what is made of them, and what can be reused."""

    source: Source
    project: Project
    reusable: Reusable

    @property
    def plan(self) -> Plan:
        """What the project will do."""
        return self.project.plan

    @property
    def compiled(self) -> CompiledProject:
        """The project, where it is known to be one whose images hold binaries."""
        assert isinstance(self.project, CompiledProject)
        return self.project

    @property
    def installed(self) -> InstalledProject:
        """The project, where it is known to be one whose images hold installed packages."""
        assert isinstance(self.project, InstalledProject)
        return self.project


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """A compile and what it stood on; `seconds_saved` is what that had cost."""

    result: Made
    rung: Rung
    seconds_saved: float
    refusals: tuple[Refusal, ...]
    cooked: Mapping[str, float] = field(default_factory=dict)
    """`name version` of each dependency that was cooked, and the seconds that it took."""
    cooked_units: tuple[LiveUnit, ...] = ()
    way: Way | None = None
    """Where the rung does not say what had to be done."""
    seconds_below: float = 0.0
    """What coming by the layer took, where it was made just now."""
    forked_from: str | None = None
    """The lineage whose workspace it was a copy of."""
    copying: float | None = None
    """What making that copy took in seconds."""

    @property
    def spent(self) -> Mapping[str, float]:
        """The seconds of each package that was compiled."""
        return {**self.cooked, **self.result.spent}
