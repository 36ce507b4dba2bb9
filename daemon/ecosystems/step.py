"""What runs in a sandbox and what came of it, as the pipeline and a language tell each other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from cache.errors import Failure
from daemon.builds import Diagnostic
from daemon.engine.engine import OutputStream
from daemon.tarball import Member

SOURCE_TIME = 978307200
"""2001-01-01: the one mtime of every source file and directory (law 1), and SOURCE_DATE_EPOCH."""


UNREAD_TIME = SOURCE_TIME + 1
"""The access time that source files are put with (law 13); what has it still was read by nobody.

It is no mtime, and layers of images keep no access times: there an engine makes one of the mtime. So a file that lies
in a lower layer, where reading leaves no trace, never has it.
"""


class Reads(StrEnum):
    """Whether an engine's access times tell which files a sandbox has read."""

    TOLD = "told"
    UNKNOWN = "unknown"


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
    in_memory_after: tuple[str, ...] = ()
    """Those of a sandbox in which the cook goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a compile left: files in the directory `taken` of its sandbox."""

    taken: str
    binaries: tuple[str, ...]
    """File names of stripped binaries; each has its symbols beside it as `NAME.debug`."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recompile:
    """A compile in a workspace: only what changed is put, and only what is dirty is compiled."""

    clear: Step | None
    """Runs first, before anything is put: None where nothing goes, or the step can take it away itself."""
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
