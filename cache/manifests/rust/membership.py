"""Which packages of a tree make up one workspace: its root, its members, and the path packages beside them.

The algorithm is cargo's `Workspace::find_members`: members by pattern, then every path dependency below the root,
unless excluded; a path dependency elsewhere belongs if its own search for a root leads here.
"""

import posixpath
from collections.abc import Iterable

from cache.manifests.document import Table, parse
from cache.manifests.paths import above, join, relative, within
from cache.manifests.rust.inheritance import Inheritance
from cache.manifests.rust.layout import Layout
from cache.manifests.rust.package import Dependency, DependencyKind, Package
from cache.manifests.rust.reading import package_table, read_package
from cache.manifests.source import SourceFiles

_MANIFEST = "Cargo.toml"


class Membership:
    """The workspace that the package or workspace in a directory belongs to; reading it raises `BadManifest`."""

    def __init__(self, files: SourceFiles, layout: Layout, directory: str) -> None:
        self._files = files
        self._layout = layout
        self._tables: dict[str, Table] = {}
        self._packages: dict[str, Package] = {}
        self._directory = directory
        found = self._root_of(directory)
        self.root = directory if found is None else found
        self.document = self._manifest(self.root)
        self._members: set[str] = set()
        self._find_members(has_workspace=found is not None)
        self.members = self._read(self._members)
        self._unique_names()
        self.patches = frozenset(self._patched("patch"))
        self.replacements = frozenset(self._patched("replace"))
        self.path_packages = self._read(self._beside())
        self.other_roots = self._other_roots()

    # --- manifests

    def _manifest(self, directory: str) -> Table:
        table = self._tables.get(directory)
        if table is None:
            path = posixpath.join(directory, _MANIFEST)
            table = self._tables[directory] = parse(path, self._files.read(path))
        return table

    def _has_manifest(self, directory: str) -> bool:
        return posixpath.join(directory, _MANIFEST) in self._files

    def _package(self, directory: str) -> Package:
        package = self._packages.get(directory)
        if package is None:
            root = self._root_of(directory)
            inheritance = Inheritance(self._manifest(root), root) if root is not None else Inheritance()
            package = read_package(self._manifest(directory), directory, inheritance, self._layout)
            self._packages[directory] = package
        return package

    def _read(self, directories: Iterable[str]) -> tuple[Package, ...]:
        with_package = (place for place in sorted(directories) if package_table(self._manifest(place)) is not None)
        return tuple(self._package(place) for place in with_package)

    # --- the root

    def _root_of(self, directory: str) -> str | None:
        """The root of the workspace that a directory's package belongs to, or None where it is alone."""
        manifest = self._manifest(directory)
        if "workspace" in manifest:
            return directory
        pointed = self._pointer(manifest, directory)
        if pointed is not None:
            return pointed
        for place in above(directory):
            if not self._has_manifest(place):
                continue
            table = self._manifest(place)
            workspace = table.table("workspace")
            if workspace is not None and not self._excluded(workspace, place, directory):
                return place
            pointed = self._pointer(table, place) if workspace is None else None
            if pointed is not None:
                return pointed
        return None

    def _pointer(self, manifest: Table, directory: str) -> str | None:
        """Where `package.workspace` points."""
        package = package_table(manifest)
        pointer = package.text("workspace") if package else None
        if package is None or pointer is None:
            return None
        found = join(directory, pointer.removesuffix("/" + _MANIFEST))
        if found is None:
            raise package.failure(
                f"the workspace root `{pointer}` is outside the source tree: send a directory that holds both",
                "workspace",
            )
        if not self._has_manifest(found) or "workspace" not in self._manifest(found):
            raise package.failure(
                f"`package.workspace` points to `{pointer}`, which is no manifest with [workspace]", "workspace"
            )
        return found

    def _excluded(self, workspace: Table, root: str, directory: str) -> bool:
        excluded = any(_below(root, path, directory) for path in workspace.texts("exclude") or ())
        return excluded and not any(_below(root, path, directory) for path in workspace.texts("members") or ())

    # --- the members

    def _find_members(self, *, has_workspace: bool) -> None:
        workspace = self.document.table("workspace")
        if not has_workspace or workspace is None:
            if package_table(self.document) is None:
                raise self.document.failure("manifest is missing either a `[package]` or a `[workspace]`")
            self._members.add(self.root)
            return
        for pattern in workspace.texts("members") or ():
            for place in self._expanded(workspace, pattern, "members"):
                if not self._has_manifest(place):
                    if self._excluded(workspace, self.root, place):
                        continue  # cargo asks for no manifest there
                    words = f"failed to load manifest for workspace member `{place}`: there is no {_MANIFEST}"
                    raise workspace.failure(f"{words} (referenced by `{pattern}`)", "members")
                self._add(workspace, place, is_dependency=False)
        self._add(workspace, self.root, is_dependency=False)
        if self._directory not in self._members:
            self._believes_otherwise()
        self._validate()

    def _expanded(self, workspace: Table, pattern: str, key: str) -> tuple[str, ...]:
        place = join(self.root, pattern)
        if place is None:
            raise workspace.failure(
                f"the member `{pattern}` is outside the source tree: send a directory that holds it", key
            )
        return (self._layout.match(place) or (place,)) if place else ("",)

    def _add(self, workspace: Table, first: str, *, is_dependency: bool) -> None:
        waiting = [(first, is_dependency)]
        while waiting:
            place, is_dependency = waiting.pop()
            if place in self._members:
                continue
            if is_dependency and not within(place, self.root) and self._root_of(place) != self.root:
                continue
            if self._excluded(workspace, self.root, place):
                continue
            self._members.add(place)
            if package_table(self._manifest(place)) is not None:
                package = self._package(place)
                waiting += [(self._directory_of(package, dependency), True) for dependency in _paths(package)]

    def _directory_of(self, package: Package, dependency: Dependency) -> str:
        """Where a path dependency is; it must be in the tree."""
        words = f"failed to load manifest for dependency `{dependency.name}`"
        if dependency.directory is None:
            advice = "send a directory that holds both, and name the project's directory within it"
            raise package.document.failure(f"{words}: `{dependency.leaves}` is outside the source tree: {advice}")
        if not self._has_manifest(dependency.directory):
            raise package.document.failure(f"{words}: there is no {posixpath.join(dependency.directory, _MANIFEST)}")
        return dependency.directory

    def _believes_otherwise(self) -> None:
        current = self._manifest(self._directory)
        path = relative(self._directory, self.root)
        raise current.failure(
            "current package believes it's in a workspace when it's not: "
            f"add `{path}` to `workspace.members` of {self.document.file}, or to `workspace.exclude`, "
            "or add an empty `[workspace]` table to the package's manifest",
        )

    def _validate(self) -> None:
        for place in sorted(self._members - {self.root}):
            manifest = self._manifest(place)
            if "workspace" in manifest:
                raise manifest.failure(
                    f"multiple workspace roots found in the same workspace: {self.document.file} is another"
                )
            root = self._root_of(place)
            if root != self.root:
                actual = "none" if root is None else posixpath.join(root, _MANIFEST)
                words = f"is a member of the wrong workspace: expected {self.document.file}, found {actual}"
                raise manifest.failure(f"package `{place}` {words}")

    def _unique_names(self) -> None:
        known: dict[str, Package] = {}
        for member in self.members:
            other = known.setdefault(member.name, member)
            if other is not member:
                places = f"{other.manifest} and {member.manifest}"
                raise self.document.failure(f"two packages named `{member.name}` in this workspace: {places}")

    def default_members(self) -> tuple[Package, ...]:
        """What cargo would build from the directory: that package, or the root's default members."""
        workspace = self.document.table("workspace")
        if self._directory != self.root:
            chosen = {self._directory}
        elif workspace is not None and "default-members" in workspace:
            patterns = workspace.texts("default-members") or ()
            chosen = {place for pattern in patterns for place in self._expanded(workspace, pattern, "default-members")}
        elif package_table(self.document) is not None:
            chosen = {self.root}
        else:
            chosen = self._members
        return tuple(member for member in self.members if member.directory in chosen)

    # --- packages beside the members

    def _patched(self, key: str) -> Iterable[str]:
        """The directories that `[patch]` or `[replace]` of the root names."""
        table = self.document.table(key)
        sources = [table] if table and key == "replace" else [table.table(name) for name in table] if table else []
        for source in sources:
            for name in source or ():
                detail = source.table(name) if source and isinstance(source.values[name], dict) else None
                path = detail.text("path") if detail else None
                if detail is None or path is None:
                    continue
                place = join(self.root, path)
                if place is None:
                    raise detail.failure(f"the path `{path}` is outside the source tree", "path")
                if not self._has_manifest(place):
                    raise detail.failure(f"there is no {posixpath.join(place, _MANIFEST)}", "path")
                yield place

    def _beside(self) -> set[str]:
        """Path packages that are no members: what members, patches and they themselves depend on."""
        found: set[str] = set()
        waiting = [*self.patches, *self.replacements]
        for member in self.members:
            waiting += [self._directory_of(member, dependency) for dependency in _paths(member)]
        while waiting:
            place = waiting.pop()
            if place in self._members or place in found:
                continue
            found.add(place)
            package = self._package(place)
            needed = (path for path in _paths(package) if path.kind is not DependencyKind.DEV)
            waiting += [self._directory_of(package, dependency) for dependency in needed]
        roots = {root for place in found if (root := self._root_of(place)) is not None}
        with_package = {root for root in roots if package_table(self._manifest(root)) is not None}
        return found | (with_package - self._members)

    def _other_roots(self) -> tuple[Table, ...]:
        """The roots that path packages inherit from, where they are not themselves packages of this build."""
        roots = {self._root_of(package.directory) for package in self.path_packages}
        known = self._members | {package.directory for package in self.path_packages}
        return tuple(
            self._manifest(place) for place in sorted(root for root in roots if root is not None) if place not in known
        )


def _paths(package: Package) -> list[Dependency]:
    return [dependency for dependency in package.dependencies if dependency.directory is not None or dependency.leaves]


def _below(root: str, path: str, directory: str) -> bool:
    place = join(root, path)
    return place is not None and within(directory, place)
