"""A unit as its files tell it, whatever its layout: cargo's own files, what they say, and what of the rest is kept."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from cache.tree import TreeEntry
from cache.units import UnitKind
from daemon.units.fingerprint import STAMP, Fingerprint, fingerprint_text, marked
from daemon.units.layout import CargoUnit, ReadFile, UnitId
from daemon.units.unit_files import wrote_into


class Parts(Protocol):
    """One unit's files as its layout has them; what it does not know there is `UnfitUnit`."""

    id: UnitId
    name: str
    """The package, as its directories name it."""
    own_directory: str
    """The directory of cargo's own files."""
    own: Mapping[str, TreeEntry]
    """Cargo's own files by their names."""

    def own_path(self, name: str) -> str:
        """Where a file of cargo's own is."""
        ...

    def library(self) -> Iterable[TreeEntry]:
        """What is kept of a library."""
        ...

    def build_script(self) -> Iterable[TreeEntry]:
        """What is kept of a build script."""
        ...

    def run(self) -> Iterable[TreeEntry]:
        """What is kept of a run."""
        ...

    def run_paths(self) -> tuple[str, str]:
        """Where a run noted the directory that it wrote into, and that directory."""
        ...


def read_unit(parts: Parts, target: str, read: ReadFile) -> CargoUnit:
    """What a unit of the target directory `target` is, and what of it is kept; raises `UnfitUnit`."""
    mark, kind = marked(parts.own_directory, parts.own)
    fingerprint = fingerprint_text(read(parts.own_path(mark)))
    said = Fingerprint.read(read(parts.own_path(f"{mark}.json")))
    kept = [entry for name, entry in parts.own.items() if name != STAMP]
    match kind:
        case UnitKind.LIBRARY:
            kept += parts.library()
        case UnitKind.BUILD_SCRIPT:
            kept += parts.build_script()
        case UnitKind.RUN:
            kept += parts.run()
            said.require_tracked(target)
            noted, out = parts.run_paths()
            wrote_into(read(noted), f"{target}/{out}")
    triple, _, _ = parts.id.home.rpartition("/")
    return CargoUnit(
        id=parts.id,
        package=parts.name,
        kind=kind,
        fingerprint=fingerprint,
        features=said.listed_features,
        profile=str(said.profile),
        platform=triple or "host",
        dependencies=said.dependencies,
        entries=tuple(sorted(kept, key=lambda entry: entry.path.encode())),
    )
