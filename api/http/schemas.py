"""The shapes of what comes in and goes out; the same types validate, convert and make the OpenAPI document.

What comes in is strict: an unknown field or a value of another type is refused with its path. Requests mirror
`daemon.builds.BuildRequest` field by field, and a test holds that. What goes out are the daemon's own values
(`daemon.builds.Build`, `daemon.events.Event`, …) and the few shapes here that only HTTP has.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from cache.digest import Digest
from cache.gc import EntryKind as CacheEntryKind
from cache.tree import EntryKind, TreeEntry
from daemon.builds import (
    DEFAULT_LINEAGE,
    Build,
    BuildRequest,
    BuildState,
    ContentEntry,
    ImageRequest,
    ImageSettings,
    Link,
    Reuse,
    Revision,
)

_PRINTABLE = r"^[^\x00-\x1f\x7f]*(?!\n)$"  # a bare $ would let a last newline pass

Text = Annotated[str, Meta(max_length=1024, pattern=_PRINTABLE)]
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=_PRINTABLE)]
DigestText = Annotated[
    str, Meta(pattern=r"^sha256:[0-9a-f]{64}(?!\n)$", description="`sha256:` and 64 hexadecimal digits")
]
Lineage = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_PRINTABLE,
        description="A line of builds of the project, such as a branch; each goes on where the last one stopped",
    ),
]
Parent = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_PRINTABLE,
        description="The lineage that the first build of this one goes on from (default: `main`, else the last used)",
    ),
]
Scope = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(?!\n)$",
        description="The trust scope: who may share layers",
    ),
]
Directory = Annotated[
    str,
    Meta(
        max_length=1024,
        pattern=r"^(?!/)(?!(.*/)?\.\.(/|$))[^\x00-\x1f\x7f]*(?!\n)$",
        description="Where the manifest is within the tree, relative to its root; empty: at its root",
    ),
]
Tags = Annotated[tuple[Name, ...], Meta(max_length=64, description="Image references to load the image under")]


class ImageSettingsBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the image's configuration says beyond its binary; it goes over `bloomery.toml`'s, field by field."""

    entrypoint: tuple[str, ...] | None = None
    arguments: tuple[str, ...] | None = None
    ports: Annotated[tuple[str, ...], Meta(description="`3000` or `3000/tcp`")] | None = None
    environment: dict[str, str] = {}
    labels: dict[str, str] = {}
    stop_signal: str | None = None
    user: str | None = None
    working_directory: str | None = None
    include: (
        Annotated[
            tuple[str, ...], Meta(description="Paths of the tree, or sets: `ca`, `tzdata`, `gconv`, `openssl-legacy`")
        ]
        | None
    ) = None

    def value(self) -> ImageSettings:
        """The daemon's value."""
        return ImageSettings(
            entrypoint=self.entrypoint,
            arguments=self.arguments,
            ports=self.ports,
            environment=self.environment,
            labels=self.labels,
            stop_signal=self.stop_signal,
            user=self.user,
            working_directory=self.working_directory,
            include=self.include,
        )


class ImageBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One image out of the compile."""

    binary: Annotated[Name, Meta(description="Default: what `bloomery.toml` names, or the only one")] | None = None
    tags: Tags = ()
    settings: ImageSettingsBody = ImageSettingsBody()

    def value(self) -> ImageRequest:
        """The daemon's value."""
        return ImageRequest(binary=self.binary, tags=self.tags, settings=self.settings.value())


class RevisionBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the sources are a version of."""

    commit: Text = ""
    branch: Text = ""
    dirty: bool = False

    def value(self) -> Revision:
        """The daemon's value."""
        return Revision(commit=self.commit, branch=self.branch, dirty=self.dirty)


class BuildBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A build of a source tree that is already here; null means: as `bloomery.toml` or the sources say."""

    tree: DigestText
    directory: Directory = ""
    images: Annotated[tuple[ImageBody, ...], Meta(min_length=1, max_length=64)] = (ImageBody(),)
    toolchain: Name | None = None
    profile: Name | None = None
    features: tuple[Name, ...] | None = None
    default_features: bool | None = None
    link: Link | None = None
    check: (
        Annotated[tuple[str, ...], Meta(description="A command to run in the image before it is published")] | None
    ) = None
    reuse: Reuse = Reuse.ALL
    project: Name | None = None
    lineage: Lineage = DEFAULT_LINEAGE
    parent: Parent | None = None
    scope: Scope | None = None
    revision: RevisionBody = RevisionBody()

    def value(self, scope: str) -> BuildRequest:
        """The daemon's value, in the scope that the caller may use."""
        return BuildRequest(
            tree=self.tree,
            directory=self.directory.strip("/"),
            images=tuple(image.value() for image in self.images),
            toolchain=self.toolchain,
            profile=self.profile,
            features=self.features,
            default_features=self.default_features,
            link=self.link,
            check=self.check,
            reuse=self.reuse,
            project=self.project,
            lineage=self.lineage,
            parent=self.parent,
            scope=scope,
            revision=self.revision.value(),
        )


class BuildQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a build whose body is the archive itself; `tag` and `feature` may be repeated."""

    tag: Tags = ()
    binary: Name | None = None
    toolchain: Name | None = None
    profile: Name | None = None
    feature: tuple[Name, ...] | None = None
    default_features: bool | None = None
    link: Link | None = None
    directory: Directory = ""
    project: Name | None = None
    lineage: Lineage = DEFAULT_LINEAGE
    parent: Parent | None = None
    scope: Scope | None = None
    reuse: Reuse = Reuse.ALL
    commit: Text = ""
    branch: Text = ""
    dirty: bool = False

    def value(self, tree: str, scope: str) -> BuildRequest:
        """The daemon's value, once the tree is known."""
        return BuildRequest(
            tree=tree,
            directory=self.directory.strip("/"),
            images=(ImageRequest(binary=self.binary, tags=self.tag),),
            toolchain=self.toolchain,
            profile=self.profile,
            features=self.feature,
            default_features=self.default_features,
            link=self.link,
            reuse=self.reuse,
            project=self.project,
            lineage=self.lineage,
            parent=self.parent,
            scope=scope,
            revision=Revision(commit=self.commit, branch=self.branch, dirty=self.dirty),
        )


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One page of the builds, newest first."""

    cursor: Annotated[str, Meta(pattern=r"^[0-9]{1,18}(?!\n)$", description="`next` of the page before")] | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="Builds on a page")] = 50
    state: BuildState | None = None


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to go on."""

    after: Annotated[int, Meta(ge=0, description="The number of the last event seen; 0: from the start")] | None = None
    follow: Annotated[bool, Meta(description="false: only the events so far")] = True


class ImageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which image of a build that made several."""

    binary: Name | None = None


class EntryBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One path of a source tree: a file, a symbolic link, or an empty directory."""

    path: str
    kind: EntryKind = EntryKind.FILE
    size: Annotated[int, Meta(ge=0, description="Bytes; a file's")] = 0
    executable: bool = False
    digest: DigestText | None = None
    target: str = ""

    def value(self) -> TreeEntry:
        """The daemon's value."""
        return TreeEntry(
            path=self.path,
            kind=self.kind,
            size=self.size,
            executable=self.executable,
            digest=None if self.digest is None else Digest.parse(self.digest),
            target=self.target,
        )


class TreeBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A listing of a source tree."""

    entries: tuple[EntryBody, ...]


class TreeAnswer(Struct, frozen=True, kw_only=True):
    """A listing's tree and the blobs that are still wanted; none: the tree can be built."""

    tree: DigestText
    missing: tuple[DigestText, ...] = ()


class TreeSummary(Struct, frozen=True, kw_only=True):
    """A tree that is here and whole."""

    tree: DigestText
    entries: int
    size: Annotated[int, Meta(description="Bytes of all files together")]


class BlobAnswer(Struct, frozen=True, kw_only=True):
    """A blob that is here now."""

    digest: DigestText


class BuildPage(Struct, frozen=True, kw_only=True):
    """Builds, newest first; `next` is the cursor of the page after, null on the last."""

    builds: tuple[Build, ...]
    next: str | None = None


class ContentsAnswer(Struct, frozen=True, kw_only=True):
    """Every file of an image and why it is there, in the order of the image's layer."""

    binary: str
    digest: DigestText
    entries: tuple[ContentEntry, ...]


class ToolchainAnswer(Struct, frozen=True, kw_only=True):
    """A toolchain that is offered."""

    name: str
    image: Annotated[str, Meta(description="The image's reference")]
    image_id: str
    release: Annotated[str, Meta(description="rustc's, such as `1.95.0`")]
    commit_date: Annotated[str, Meta(description="The day of rustc's newest commit, or empty")]
    host: Annotated[str, Meta(description="The host triple")]
    cargo: str
    libc: str


class ToolchainsAnswer(Struct, frozen=True, kw_only=True):
    """The toolchains that are offered, by name."""

    toolchains: tuple[ToolchainAnswer, ...]


class CacheKindAnswer(Struct, frozen=True, kw_only=True):
    """Records of one kind and their bytes; what several records share counts once."""

    kind: CacheEntryKind
    records: int
    size: Annotated[int, Meta(description="Bytes")]


class CacheAnswer(Struct, frozen=True, kw_only=True):
    """What is kept from build to build."""

    ceiling: Annotated[int, Meta(description="The bytes that all of it may have, whosever it is")]
    size: Annotated[int, Meta(description="Bytes; less than the kinds' together where kinds share files")]
    kinds: tuple[CacheKindAnswer, ...]


class PruneBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far to prune."""

    keep: Annotated[int, Meta(ge=0, description="Bytes that may stay; 0: nothing")]
    dry_run: Annotated[bool, Meta(description="Only tell what would go")] = False


class PruneAnswer(Struct, frozen=True, kw_only=True):
    """What went, or would go."""

    dry_run: bool
    size: Annotated[int, Meta(description="Bytes")]
    kinds: tuple[CacheKindAnswer, ...]


class CheckAnswer(Struct, frozen=True, kw_only=True):
    """One thing that readiness depends on."""

    name: str
    ready: bool
    detail: str = ""


class ReadyAnswer(Struct, frozen=True, kw_only=True):
    """Whether builds would run now, and each check."""

    ready: bool
    checks: tuple[CheckAnswer, ...]


class HealthAnswer(Struct, frozen=True, kw_only=True):
    """The loop turns."""

    alive: bool = True


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457: why a request was not done, whose turn it is, and what a program can act on."""

    type: Annotated[str, Meta(description="`urn:bloomery:problem:<kind>`")]
    title: str
    status: int
    detail: str
    kind: Annotated[str, Meta(description="The stable name of the cause; docs/errors.md lists them all")]
    blame: Annotated[str, Meta(description="`request`, `source`, `limit` or `infrastructure`")]
    evidence: dict[str, Any] = {}
    instance: str | UnsetType = UNSET
