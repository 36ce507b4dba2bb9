"""A build: what was asked, where it stands, what came of it.

These values are stored as JSON with the build and are what the API shows; msgspec reads and writes them as they stand.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cache.differences import FilesChanged
from cache.reuse import ReuseReport

DEFAULT_SCOPE = "default"
"""The trust scope of whoever names none, where there are no tokens."""
DEFAULT_LINEAGE = "main"
"""The line of builds of whoever names none."""


class BuildState(StrEnum):
    """Where a build stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Nothing will change any more."""
        return self in {BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED}


class StageName(StrEnum):
    """The stages, in the order in which a cold build goes through them."""

    PLAN = "plan"
    FETCH = "fetch"
    COOK = "cook"
    COMMIT = "commit"
    INSTALL = "install"
    """Packages, where a language's dependencies are installed and not compiled, instead of the two before it."""
    FORK = "fork"
    """Of another lineage's workspace, instead of the three before it."""
    COMPILE = "compile"
    ASSEMBLE = "assemble"
    CHECK = "check"
    PUSH = "push"
    """To registries; only where that is asked."""
    PUBLISH = "publish"


class Link(StrEnum):
    """How the binary is linked."""

    DYNAMIC = "dynamic"
    STATIC = "static"
    """The gnu target with +crt-static: an image with one file."""


class Reuse(StrEnum):
    """How much of the cache a request wants."""

    ALL = "all"
    NOTHING = "nothing"
    """A clean build, as if the cache were empty; its results are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """What an image's configuration says beyond its binary; None or empty means: not said here.

    The request's settings go over `bloomery.toml`'s, field by field; `environment` and `labels` are merged by name.
    """

    entrypoint: tuple[str, ...] | None = None
    arguments: tuple[str, ...] | None = None
    ports: tuple[str, ...] | None = None
    """`3000` or `3000/tcp`."""
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str | None = None
    user: str | None = None
    """Default `nonroot`."""
    working_directory: str | None = None
    """Default `/app`."""
    include: tuple[str, ...] | None = None
    """Paths of the tree (`templates/`, `diesel.toml`), put under the working directory, and sets: `ca`, `tzdata`,
    `gconv`, `openssl-legacy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """One image out of a compile."""

    binary: str | None = None
    """None: what `bloomery.toml` names, or the only binary there is."""
    tags: tuple[str, ...] = ()
    settings: ImageSettings = field(default_factory=ImageSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What the sources are a version of; it travels beside the tree and changes nothing unless `bloomery.toml` asks."""

    commit: str = ""
    branch: str = ""
    dirty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What a client asked for. None means: as `bloomery.toml` or the sources say."""

    tree: str
    """The source tree's digest."""
    directory: str = ""
    """Where the manifest is within the tree; empty: at its root."""
    images: tuple[ImageRequest, ...] = (ImageRequest(),)
    toolchain: str | None = None
    profile: str | None = None
    features: tuple[str, ...] | None = None
    default_features: bool | None = None
    link: Link | None = None
    check: tuple[str, ...] | None = None
    """A command that is run in the image before it is published."""
    reuse: Reuse = Reuse.ALL
    project: str | None = None
    """Default: the workspace's name."""
    lineage: str = DEFAULT_LINEAGE
    parent: str | None = None
    """The lineage whose workspace the first build of this one forks; None: `main`'s, else the one used last."""
    scope: str = DEFAULT_SCOPE
    revision: Revision = field(default_factory=Revision)
    verify: bool = False
    """Build it again clean behind the answer and compare, whatever the sample."""
    push: bool | None = None
    """Push to the registries that tags name; None: as the daemon is configured, which admission has made yes or no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """One stage of one build: wall-clock start (Unix seconds) and duration (seconds)."""

    stage: StageName
    started_at: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """What the compiler said about the source, as data."""

    level: str
    """`error`, `warning`, …"""
    message: str
    code: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    package: str | None = None
    rendered: str = ""
    """The compiler's own text, with its colours as ANSI codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentEntry:
    """One file of an image and why it is there."""

    path: str
    kind: str
    """`file`, `symlink` or `directory`."""
    size: int
    mode: int
    reason: str
    """Such as `binary users`, `library: needed by /app/users`, `included: templates/`."""
    digest: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image that came out."""

    binary: str
    reference: str
    """What `docker run` takes: the first tag, or the image ID where none was asked."""
    tags: tuple[str, ...]
    digest: str
    """The OCI image manifest's digest: the image's name in the cache and in every comparison."""
    image_id: str
    """The config's digest: the image's ID in a classic engine."""
    size: int
    """Bytes of all files in the image."""
    files: int
    contents: str
    """Blob digest of the JSON list of `ContentEntry`."""
    symbols: str | None = None
    """Blob digest of the debug symbols that were kept apart."""
    pushed: tuple[str, ...] = ()
    """Where it was pushed, by digest, as `registry.example/team/users@sha256:…`."""
    warnings: tuple[str, ...] = ()
    """Such as a library that the binary may `dlopen` and the image does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFailure:
    """Why a build failed; the same members as an RFC 9457 problem."""

    kind: str
    title: str
    detail: str
    blame: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the pipeline hands back for a build that succeeded."""

    images: tuple[BuiltImage, ...]
    reuse: ReuseReport
    project: str
    ecosystem: str
    toolchain: str
    diagnostics: tuple[Diagnostic, ...] = ()
    lockfile: str | None = None
    """Blob digest of the lock that was made because the source has none."""


class Verified(StrEnum):
    """What came of building a build again clean."""

    WAITING = "waiting"
    """It is to be done behind the answers."""
    EQUAL = "equal"
    """Every image has the same digest."""
    DIFFERENT = "different"
    """An image that two clean builds agree on is another one: what was reused was wrong, and is revoked."""
    UNSTABLE = "unstable"
    """Two clean builds differ from each other: the source is not reproducible, and nothing can be told."""
    FAILED = "failed"
    """The clean build could not be done."""
    DROPPED = "dropped"
    """It was not done: the daemon ended, too many waited, or the sources are not here any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDifference:
    """An image that a clean build of the same sources made otherwise."""

    binary: str
    digest: str
    """Of the build's own image manifest."""
    clean: str | None
    """Of the clean build's; None: it failed where this one did not."""
    files: FilesChanged
    """From this image to the clean one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A clean build beside one that reused something; `seconds` is what it took, `at` when it ended, in Unix time."""

    result: Verified
    detail: str = ""
    """Why it failed or was dropped; how the clean build failed."""
    at: float | None = None
    seconds: float = 0.0
    images: tuple[ImageDifference, ...] = ()
    units: tuple[str, ...] = ()
    """`name version` of packages of which a stored unit has other bytes than the clean build's."""
    revoked: int = 0
    """How many entries of the cache were revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build's record. Times are Unix seconds; `sequence` orders builds by acceptance."""

    id: str
    sequence: int
    request: BuildRequest
    state: BuildState
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    attempt: int = 0
    stages: tuple[StageRecord, ...] = ()
    outcome: Outcome | None = None
    failure: BuildFailure | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    """Also of a build that failed."""
    verification: Verification | None = None
    """None: it is not in the sample."""
