"""The skeleton: the manifests, lock and stub sources from which the cook compiles dependencies alone.

Every stub has a version that its real package has not, and a stub build script stands at a path of its own, so that
nothing made from a stub can pass for the real thing (law 3). What cannot be a stub is put in as it is, and makes the
layer private to its project (laws 6 and 11).
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from cache.manifests.document import Table
from cache.manifests.paths import above, within
from cache.manifests.rust.lock import write_lock
from cache.manifests.rust.masking import masked_lock, verify_lock
from cache.manifests.rust.package import Package
from cache.manifests.rust.stub_versions import STUB, Masking, StubVersions, stub_versions
from cache.manifests.rust.trimming import (
    STUB_BUILD_SCRIPT,
    STUB_EXAMPLE,
    real_manifest,
    root_manifest,
    stub_manifest,
)
from cache.manifests.rust.workspace import Workspace

_EMPTY_MAIN = b"fn main() {}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """What the cook's source directory holds. Paths are of the tree."""

    files: Mapping[str, bytes]
    """Written: manifests, lock, stubs."""
    verbatim: tuple[str, ...]
    """Copied from the tree: what counts by content."""
    unstubbable: tuple[Package, ...]
    """Packages that a package from outside depends on: they are cooked for real."""
    private: bool
    """Whether the layer may serve this project alone, and nothing of it may be harvested."""
    manifests: Mapping[str, Mapping[str, Any]]
    """The written manifests by path, before they are text."""
    versions: StubVersions


def skeleton(workspace: Workspace, masking: Masking = Masking.STUB) -> Skeleton:
    """Make the skeleton of a workspace; `LockMismatch` where its lock cannot be right.

    With `Masking.KEEP` versions stay real: for making a lock where there is none.
    """
    verify_lock(workspace)
    versions = stub_versions(workspace, masking)
    manifests = _manifests(workspace, versions)
    files: dict[str, bytes] = {path: tomli_w.dumps(manifest).encode() for path, manifest in manifests.items()}
    real = {package.directory for package in versions.unstubbable}
    for package in workspace.packages:
        if package.directory not in real:
            files |= _stubs(package)
    if workspace.lock is not None:
        files[workspace.lock_path] = write_lock(masked_lock(workspace, workspace.lock, versions))
    verbatim = _verbatim(workspace, versions) - set(files)
    return Skeleton(
        files=files,
        verbatim=tuple(sorted(verbatim)),
        unstubbable=versions.unstubbable,
        private=bool(verbatim or versions.unstubbable),
        manifests=manifests,
        versions=versions,
    )


def _manifests(workspace: Workspace, versions: StubVersions) -> dict[str, dict[str, Any]]:
    found = {root.file: root_manifest(root) for root in workspace.other_roots}
    if workspace.virtual:
        found[workspace.document.file] = root_manifest(workspace.document)
    real = {package.directory for package in versions.unstubbable}
    roots = [workspace.document, *workspace.other_roots, *(package.document for package in workspace.packages)]
    for package in workspace.packages:
        is_root = package.directory == workspace.root
        if package.directory in real:
            found[package.manifest] = real_manifest(package, _root_of(package, roots), is_root=is_root)
        else:
            found[package.manifest] = stub_manifest(package, versions.of(package), is_root=is_root)
    for manifest in found.values():
        shared = manifest.get("workspace", {}).get("package", {})
        if "version" in shared:
            shared["version"] = STUB
    return dict(sorted(found.items()))


def _root_of(package: Package, roots: list[Table]) -> Table | None:
    """The nearest workspace root among the manifests of the build at or above a package."""
    by_directory = {posixpath.dirname(root.file): root for root in roots if "workspace" in root}
    places = (package.directory, *above(package.directory))
    return next((by_directory[place] for place in places if place in by_directory), None)


def _stubs(package: Package) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if package.library is not None:
        found[package.library.path] = b""
    found |= {binary.path: _EMPTY_MAIN for binary in package.binaries}
    if package.build_script is not None:
        found[posixpath.join(package.directory, STUB_BUILD_SCRIPT)] = _EMPTY_MAIN
    if package.library is None and not package.binaries:
        found[posixpath.join(package.directory, STUB_EXAMPLE)] = _EMPTY_MAIN
    return found


def _verbatim(workspace: Workspace, versions: StubVersions) -> set[str]:
    found = {named.path for named in workspace.config.named}
    for source in workspace.config.local_sources:
        found.update(workspace.layout.below(source))
    for package in versions.unstubbable:
        found.update(files_of(workspace, package))
    return found


def files_of(workspace: Workspace, package: Package) -> tuple[str, ...]:
    """The files of a package: all below its directory, up to where another package of the tree begins."""
    inner = [
        other.directory
        for other in workspace.packages
        if other.directory != package.directory and within(other.directory, package.directory)
    ]
    below = workspace.layout.below(package.directory)
    return tuple(path for path in below if not any(within(path, place) for place in inner))
