"""Cargo's words as values: a package, its targets and its dependencies."""

from dataclasses import dataclass, field
from enum import StrEnum

from cache.manifests.document import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """A binary target. `path` is of the tree; `package` is the name of the package that has it."""

    name: str
    path: str
    package: str
    required_features: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """`package/binary`: how a request tells binaries of one name apart."""
        return f"{self.package}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library target; `path` is of the tree. Without `crate_types` it is what cargo calls `lib`."""

    name: str
    path: str
    proc_macro: bool = False
    crate_types: tuple[str, ...] = ()


class DependencyKind(StrEnum):
    """Which of a manifest's tables a dependency stands in."""

    NORMAL = "normal"
    BUILD = "build"
    DEV = "dev"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One line of a dependency table, inheritance resolved.

    `name` is the key, `package` what it stands for; `directory` is a path dependency's, of the tree; others have None.
    `leaves` is the path as written where it leads out of the tree. `platform` is what `[target]` says of it, a triple
    or `cfg(…)`; None: it is for every platform.
    """

    name: str
    package: str
    kind: DependencyKind
    optional: bool = False
    directory: str | None = None
    leaves: str | None = None
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package of the tree. `directory`, `manifest` and `build_script` are paths of the tree."""

    name: str
    version: str
    directory: str
    manifest: str
    edition: str
    binaries: tuple[Binary, ...] = ()
    library: Library | None = None
    build_script: str | None = None
    features: tuple[str, ...] = ()
    """Names that `--features` takes, optional dependencies included, sorted."""
    default_run: str | None = None
    dependencies: tuple[Dependency, ...] = ()
    document: Table = field(repr=False, compare=False)

    @property
    def has_library(self) -> bool:
        """Whether other packages can depend on it."""
        return self.library is not None
