"""What the pipeline asks of a language, so that another one follows without an `if`.

An `Ecosystem` turns a source tree and a request into a `Project`; the project tells each stage what to run, and reads
what came of it. The stages (`daemon.pipeline`) own the containers, the project never sees one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.errors import Failure
from cache.keys import Key
from cache.manifests.source import SourceFiles
from cache.tree import SourceTree
from cache.units import UnitOrigin
from daemon.builds import BuildRequest, Diagnostic, ImageRequest, Link
from daemon.ecosystems.kept import Fetched, Keeping
from daemon.engine.engine import OutputStream
from daemon.events import Progress
from daemon.tarball import Member
from daemon.toolchains.toolchain import Toolchain
from daemon.units.cook import LiveUnit
from daemon.units.layout import UnitId, UnitLayout

SOURCE_TIME = 978307200
"""2001-01-01: the one mtime of every source file and directory (law 1), and SOURCE_DATE_EPOCH."""

SOURCE_TREE = "source tree"
"""The part of a result key that is the digest of the sources; which files differ, the plan stage looks up."""

UNREAD_TIME = SOURCE_TIME + 1
"""The access time that source files are put with (law 13); what has it still was read by nobody.

It is no mtime, and layers of images keep no access times: there an engine makes one of the mtime. So a file that lies
in a lower layer, where reading leaves no trace, never has it.
"""


class Reads(StrEnum):
    """Whether an engine's access times tell which files a sandbox has read."""

    TOLD = "told"
    UNKNOWN = "unknown"


class UntrustworthyLayer(Failure):
    """A layer held what no layer may hold, or a compile over it was not what it seemed: the layer is made again."""

    kind = "untrustworthy_layer"
    title = "A dependency layer could not be trusted"


class UntrustworthyWorkspace(Failure):
    """A workspace was not what its ledger says: it is discarded, and the build goes on from the layer."""

    kind = "untrustworthy_workspace"
    title = "A workspace could not be trusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The sources of one build, readable without an engine."""

    tree: SourceTree
    files: SourceFiles
    blobs: BlobStore
    request: BuildRequest
    lock: bytes | None = None
    """A lock that was made for sources that have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsOf:
    """What the unit store is asked for a project, and where its compiler keeps units."""

    key: Digest
    """The unit key: under another nothing may be reused."""
    parts: Key
    """What `key` is the digest of."""
    origins: tuple[UnitOrigin, ...]
    """The packages whose sources the lock proves."""
    layout: UnitLayout
    artefact_time: int
    """The constant mtime of artefacts."""
    direct: tuple[UnitOrigin, ...] | None = None
    """The packages from outside that the project names itself, as far as manifests tell; None: nobody knows."""
    own: frozenset[str] = frozenset()
    """The names of the packages of the tree."""
    profile: str = ""
    """The last part of the directories in which units of the build's profile lie."""


class Grain(StrEnum):
    """How finely what a toolchain has compiled can be reused."""

    UNITS = "units"
    LAYERS = "layers"
    """Whole layers alone: how it keeps what it compiles is not known (law 12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a build will do, before anything ran."""

    ecosystem: str
    project: str
    toolchain: Toolchain
    exact: Key
    result: Key
    images: tuple[ImageRequest, ...]
    """Each with its binary named and its settings complete."""
    link: Link
    check: tuple[str, ...] | None
    dependencies: int
    members: tuple[str, ...] = ()
    """`name version` of each package of the tree that the build compiles where nothing of it is reused."""
    comparable: Digest | None = None
    """Workspaces with the same have units that are comparable; None: one fits its exact key alone."""
    private: str = ""
    """The project's name where its layer may not be shared with others (law 6)."""
    units: UnitsOf | None = None
    """None where nothing of its cook may be stored or put in."""
    grain: Grain = Grain.UNITS
    notes: tuple[str, ...] = ()


class StepReader(Protocol):
    """Reads a step's output as it comes."""

    def feed(self, stream: OutputStream, piece: bytes) -> None:
        """Take a piece of output; pieces need not end where lines do."""
        ...

    def close(self) -> None:
        """The output has ended."""
        ...

    def failure(self, code: int) -> Failure:
        """What a step that ended with this code failed of."""
        ...

    def compiled(self) -> Mapping[str, float]:
        """`name version` of each package that was compiled, not reused, and its share of the seconds."""
        ...

    def reused(self) -> tuple[str, ...]:
        """`name version` of each dependency that was not compiled."""
        ...

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        """What the compiler said."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run in a sandbox: what is put in first, and the script."""

    script: str
    members: Iterable[Member] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Afterwards(StrEnum):
    """What becomes of a fetch step's sandbox."""

    REMOVED = "removed"
    COOKS = "cooks"
    """The cook may go on in it, where its network can be taken away: what the step unpacked is there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStep:
    """The step that has network."""

    step: Step
    take: tuple[str, ...]
    """Paths that come out of its sandbox, each handed to `Project.admit` as a tar."""
    afterwards: Afterwards = Afterwards.REMOVED
    in_memory: tuple[str, ...] = ()
    """Directories for what is not taken out, in a sandbox that is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a compile left: files in the directory `taken` of its sandbox."""

    taken: str
    binaries: tuple[str, ...]
    """File names of stripped binaries; each has its symbols beside it as `NAME.debug`."""
    notes: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Recompile:
    """A compile in a workspace: only what changed is put, and only what is dirty is compiled."""

    clear: Step | None
    """Runs first where files are gone from the sources: what it takes away must not be put."""
    step: Step
    dirty: frozenset[str]
    """Packages that cargo must not find fresh."""
    given: bool = False
    """Whether it is given stored units."""
    opened: frozenset[str] | None = None
    """The files of the tree that the compiles before may have read; None: nobody knows which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A compile over a copy of the artefacts of another lineage's workspace, in a new sandbox."""

    again: Recompile
    directory: str
    """Where artefacts lie."""
    left_out: tuple[str, ...]
    """Paths there that belong to the other's last compile alone, each with all that is below it."""
    time: int
    """The constant mtime of artefacts."""
    remade: frozenset[str]
    """Packages from outside that the other may have compiled anew, because their build scripts read the sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is known of a sandbox in which a compile has run: the ecosystem's own ledger (JSON), and bytes on disk."""

    ledger: bytes
    size: int
    opened: frozenset[str] | None = None
    """The files of the tree that this compile and those before it there may have read; None: nobody knows which."""


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


class Project(Protocol):
    """A planned project: what each step does, and what came of it."""

    @property
    def plan(self) -> Plan:
        """What it will do."""
        ...

    @property
    def fetching(self) -> Fetching:
        """Its side that needs the network."""
        ...

    @property
    def keeping(self) -> Keeping:
        """Its side that knows single packages again."""
        ...

    @property
    def cooking(self) -> Cooking:
        """Its side that compiles dependencies."""
        ...

    @property
    def compiling(self) -> Compiling:
        """Its side that compiles the sources."""
        ...

    def reader(self, progress: Progress) -> StepReader:
        """A reader for the output of one step, whichever it is."""
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
