"""What the pipeline asks of a language, so that another one follows without an `if`.

An `Ecosystem` turns a source tree and a request into a `Project`; the project tells each stage what to run, and reads
what came of it. The stages (`daemon.pipeline`) own the containers, the project never sees one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from cache.digest import Digest
from cache.errors import Failure
from cache.manifests.source import SourceFiles
from cache.tree import SourceTree
from daemon.ecosystems.application import Application
from daemon.ecosystems.kept import Fetched, Keeping, KeptPackage
from daemon.ecosystems.planned import Plan, Source
from daemon.ecosystems.step import Compiled, FetchStep, Fork, Reads, Recompile, Remembered, Step, StepReader
from daemon.events import Progress
from daemon.toolchains.toolchain import Toolchain
from daemon.units.cook import LiveUnit
from daemon.units.layout import UnitId


class UntrustworthyLayer(Failure):
    """A layer held what no layer may hold, or a compile over it was not what it seemed: the layer is made again."""

    kind = "untrustworthy_layer"
    title = "A dependency layer could not be trusted"


class UntrustworthyWorkspace(Failure):
    """A workspace was not what its ledger says: it is discarded, and the build goes on from the layer."""

    kind = "untrustworthy_workspace"
    title = "A workspace could not be trusted"


class Fetching(Protocol):
    """The side of a planned project that needs the network."""

    def key(self) -> Digest:
        """The name of all that has to be there."""
        ...

    def lock_key(self) -> Digest | None:
        """The name under which a made lock is kept, or None where the source has one."""
        ...

    def lock_step(self) -> FetchStep:
        """The step that makes a lock."""
        ...

    def made_lock(self, archive: Path) -> bytes:
        """The lock, from the tar of what `lock_step` took."""
        ...

    def step(self, there: Fetched) -> FetchStep | None:
        """The step that fetches all that is needed beside what is `there`, or None where nothing is."""
        ...

    def admit(self, path: str, archive: Path) -> Fetched:
        """Keep what one taken path's tar holds, checked against the lock where it has checksums. Blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A workspace goes from one lock to another: what was fetched for each, and which units from outside stay."""

    there: Fetched
    wanted: Fetched
    stay: frozenset[UnitId]
    put: bool
    """Whether stored units are put in."""


class Compiling(Protocol):
    """The side of a planned project that compiles its own sources."""

    @property
    def leaves(self) -> str:
        """The directory of the sandbox that every compile leaves behind, also one that fails."""
        ...

    def step(self, fetched: Fetched | None = None) -> Step:
        """The sources over the layer; over the toolchain image itself with all that was fetched."""
        ...

    def again(self, before: SourceTree, ledger: bytes, move: Move | None = None) -> Recompile | None:
        """The sources over those of the lineage's last compile; None where its ledger is not to be trusted.

        With `move` for another lock: what is new of what was fetched, and without the units that go.
        """
        ...

    def forked(self, before: SourceTree, ledger: bytes) -> Fork | None:
        """The sources over a copy of what another lineage's last compile made; None where that is not to be trusted."""
        ...

    def may_be_given(self, failure: Failure) -> bool:
        """Whether what a compile was given, and not the sources alone, may be why it failed."""
        ...

    def compiled(self, reader: StepReader, again: Recompile | None = None) -> Compiled:
        """What the compile made; fails where a binary is not certainly the real, newly compiled one (law 3)."""
        ...

    def remembered(self, archive: Path, reads: Reads, again: Recompile | None = None) -> Remembered | None:
        """What has to be known for compiling in this sandbox again, from the tar of what its compile left.

        None: the sandbox cannot be used again. Blocks.
        """
        ...


class Cooking(Protocol):
    """The side of a planned project that compiles dependencies."""

    def step(self, fetched: Fetched | None) -> Step:
        """Dependencies alone, from stub sources; None in the sandbox that fetched, where all of it is already."""
        ...

    def settle(self, cooked: StepReader) -> Step:
        """After the cook, in the same sandbox: take out all but the units of dependencies, and stamp those."""
        ...

    def live(self, cooked: StepReader) -> tuple[LiveUnit, ...]:
        """The units of dependencies that the cook's messages name."""
        ...


class Installing(Protocol):
    """The side of a planned project that installs packages, each of them by itself."""

    @property
    def taken(self) -> str:
        """The tar file in the sandbox that has them afterwards."""
        ...

    @property
    def in_memory(self) -> tuple[str, ...]:
        """Directories of the sandbox that are better in memory."""
        ...

    def step(self, fetched: Fetched | None) -> Step:
        """Install all that the project lacks; None in the sandbox that fetched, where it lies already."""
        ...

    def installed(self, archive: Path, seconds: float) -> Mapping[str, KeptPackage]:
        """What each package has brought, from the tar of the taken file, as blobs; it took `seconds`. Blocks.

        Of several, one that others have reached is left out: it has to be installed alone.
        """
        ...


class Project(Protocol):
    """A planned project: what it will do, and what it needs from outside."""

    @property
    def plan(self) -> Plan:
        """What it will do."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What every sandbox of its dependencies is made with."""
        ...

    @property
    def fetching(self) -> Fetching:
        """Its side that needs the network."""
        ...

    @property
    def keeping(self) -> Keeping:
        """Its side that knows single packages again."""
        ...

    def reader(self, progress: Progress) -> StepReader:
        """A reader for the output of one step, whichever it is."""
        ...


@runtime_checkable
class CompiledProject(Project, Protocol):
    """One of a language whose images hold binaries."""

    @property
    def cooking(self) -> Cooking:
        """Its side that compiles dependencies."""
        ...

    @property
    def compiling(self) -> Compiling:
        """Its side that compiles the sources."""
        ...


@runtime_checkable
class InstalledProject(Project, Protocol):
    """One of a language whose images hold an interpreter, installed packages, and sources as they are."""

    @property
    def installing(self) -> Installing:
        """Its side that installs packages."""
        ...

    @property
    def application(self) -> Application:
        """What of the tree its image holds, and what it starts."""
        ...

    def lacking(self, names: Collection[str]) -> tuple["InstalledProject", ...]:
        """The same, where only these packages have to be fetched and installed, named as they are kept.

        In parts that are installed apart, for what runs in one of them must not reach the others.
        """
        ...


class Ecosystem(Protocol):
    """One language."""

    @property
    def name(self) -> str:
        """As the API and the metrics have it."""
        ...

    def detects(self, files: SourceFiles, directory: str) -> bool:
        """Whether these sources are of this language."""
        ...

    def plan(self, source: Source, offered: Sequence[Toolchain], default: str) -> Project:
        """Read the manifests and compute the keys; runs nothing."""
        ...
