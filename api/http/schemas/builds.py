"""Builds: what is asked for, in a document or in a query, and pages of them."""

from typing import Annotated

from msgspec import Meta, Struct

from api.http.schemas.texts import PRINTABLE, DigestText, Name, Text
from daemon.builds import (
    DEFAULT_LINEAGE,
    Build,
    BuildRequest,
    BuildState,
    ImageRequest,
    ImageSettings,
    Link,
    Reuse,
    Revision,
)

Lineage = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=PRINTABLE,
        description="A line of builds of the project, such as a branch; each goes on where the last one stopped",
    ),
]
Parent = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=PRINTABLE,
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
Verify = Annotated[
    bool,
    Meta(description="Build it again clean behind the answer, and compare the images; the build's record tells"),
]
Push = Annotated[
    bool,
    Meta(description="Push the image to each registry that a tag names; null: as the daemon is configured"),
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
    verify: Verify = False
    push: Push | None = None

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
            verify=self.verify,
            push=self.push,
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
    verify: Verify = False
    push: Push | None = None
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
            verify=self.verify,
            push=self.push,
        )


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One page of the builds, newest first."""

    cursor: Annotated[str, Meta(pattern=r"^[0-9]{1,18}(?!\n)$", description="`next` of the page before")] | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="Builds on a page")] = 50
    state: BuildState | None = None


class BuildPage(Struct, frozen=True, kw_only=True):
    """Builds, newest first; `next` is the cursor of the page after, null on the last."""

    builds: tuple[Build, ...]
    next: str | None = None
