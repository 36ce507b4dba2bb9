"""Which version each package of the tree has in the skeleton, and which packages cannot be stubs at all.

A stub must never pass for the real package (law 3), and a new version of a member must not change a key. So a stub has
a version that no real package has. A package that `[patch]` puts in must still satisfy the requirements on what it
stands for: it keeps its version and gains build metadata, which requirements ignore.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cache.manifests.rust.lock import LockedPackage, Lockfile, References
from cache.manifests.rust.package import Package
from cache.manifests.rust.workspace import Workspace

STUB = "0.0.0-bloomery.stub"
_STUB_BUILD = "bloomery.stub"


class Masking(StrEnum):
    """Which versions a skeleton shows."""

    STUB = "stub"
    """Those of stubs: for the cook."""
    KEEP = "keep"
    """The real ones: for making a lock where the source has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StubVersions:
    """The skeleton's versions by package directory; `unstubbable` are the packages that are cooked for real."""

    by_directory: dict[str, str]
    unstubbable: tuple[Package, ...]

    def of(self, package: Package) -> str:
        """The version that a package has in the skeleton."""
        return self.by_directory[package.directory]


def stub_versions(workspace: Workspace, masking: Masking = Masking.STUB) -> StubVersions:
    """Decide them for a workspace; with no lock yet, whatever `[patch]` names counts as unstubbable."""
    if masking is Masking.KEEP:
        return StubVersions(by_directory={p.directory: p.version for p in workspace.packages}, unstubbable=())
    unstubbable = _unstubbable(workspace)
    real = {package.directory for package in unstubbable}
    taken = {package.version for package in workspace.packages}
    namesakes: Counter[str] = Counter()
    versions: dict[str, str] = {}
    for package in workspace.packages:
        if package.directory in real:
            versions[package.directory] = package.version
        elif package.directory in workspace.patches:
            versions[package.directory] = f"{package.version}{'.' if '+' in package.version else '+'}{_STUB_BUILD}"
        else:
            versions[package.directory] = _free(namesakes, package.name, taken)
    return StubVersions(by_directory=versions, unstubbable=unstubbable)


def _free(namesakes: Counter[str], name: str, taken: set[str]) -> str:
    """The first stub version that neither a namesake nor any real package has."""
    while True:
        number = namesakes[name]
        namesakes[name] += 1
        version = f"{STUB}.{number}" if number else STUB
        if version not in taken:
            return version


def local_packages(workspace: Workspace, lock: Lockfile) -> dict[LockedPackage, Package]:
    """Which package of the tree each sourceless package of a lock is."""
    return _matched(workspace, (*lock.local(), *(package for package in lock.unused if not package.external)))


def _matched(workspace: Workspace, locked: Iterable[LockedPackage]) -> dict[LockedPackage, Package]:
    by_name: dict[str, list[Package]] = {}
    for package in workspace.packages:
        by_name.setdefault(package.name, []).append(package)
    found = {}
    for entry in locked:
        candidates = by_name.get(entry.name, [])
        if len(candidates) > 1:
            candidates = [package for package in candidates if package.version == entry.version]
        if candidates:
            found[entry] = candidates[0]
    return found


def _unstubbable(workspace: Workspace) -> tuple[Package, ...]:
    by_directory = {package.directory: package for package in workspace.packages}
    if workspace.lock is None:
        waiting = [by_directory[place] for place in sorted(workspace.patches | workspace.replacements)]
    else:
        waiting = [*_needed_from_outside(workspace, workspace.lock)]
        waiting += [by_directory[place] for place in sorted(workspace.replacements)]
    found: dict[str, Package] = {}
    members = {member.directory for member in workspace.members}
    while waiting:
        package = waiting.pop()
        if package.directory in found:
            continue
        found[package.directory] = package
        for dependency in package.dependencies:
            relevant = package.directory in members or dependency.kind != "dev"
            if relevant and dependency.directory in by_directory:
                waiting.append(by_directory[dependency.directory])
    return tuple(found[place] for place in sorted(found))


def _needed_from_outside(workspace: Workspace, lock: Lockfile) -> Iterable[Package]:
    """Packages of the tree that a package from outside depends on."""
    local = local_packages(workspace, lock)
    references = References(lock)
    for package in lock.external():
        for reference in (*package.dependencies, *([package.replace] if package.replace else [])):
            named = references.resolve(reference)
            if named is not None and named in local:
                yield local[named]
