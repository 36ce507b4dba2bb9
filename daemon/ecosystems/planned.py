"""What a project is before anything ran: its sources, and the plan that an ecosystem makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.keys import Key
from cache.manifests.source import SourceFiles
from cache.tree import SourceTree
from cache.units import UnitOrigin
from daemon.builds import BuildRequest, ImageRequest, Link
from daemon.toolchains.toolchain import Toolchain
from daemon.units.layout import UnitLayout

SOURCE_TREE = "source tree"
"""The part of a result key that is the digest of the sources; which files differ, the plan stage looks up."""


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
    PACKAGES = "packages"
    """Installed packages, each by itself; nothing is compiled of the sources, and no engine's image is made of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagesOf:
    """What is kept of installed packages for a project."""

    key: Digest
    """The unit key: what was installed under another may not be used."""
    parts: Key
    """What `key` is the digest of."""
    names: tuple[str, ...]
    """A line of the lock for each, as they are kept: `name version source checksum`."""


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
    named_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each package from outside those that it is compiled against, as far as a lock tells; all `name version`."""
    comparable: Digest | None = None
    """Workspaces with the same have units that are comparable; None: one fits its exact key alone."""
    private: str = ""
    """The project's name where its layer may not be shared with others (law 6)."""
    units: UnitsOf | None = None
    """None where nothing of its cook may be stored or put in."""
    packages: PackagesOf | None = None
    """What its environment is put together of, where packages are installed and not compiled."""
    grain: Grain = Grain.UNITS
    notes: tuple[str, ...] = ()
