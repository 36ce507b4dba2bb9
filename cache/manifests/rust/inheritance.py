"""What a member takes from its workspace's root manifest: `[workspace.package]` and `[workspace.dependencies]`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cache.manifests.document import Table, described
from cache.manifests.paths import join
from cache.manifests.rust.package import Dependency, DependencyKind

DEPENDENCY_TABLES = {
    "dependencies": DependencyKind.NORMAL,
    "build-dependencies": DependencyKind.BUILD,
    "build_dependencies": DependencyKind.BUILD,
    "dev-dependencies": DependencyKind.DEV,
    "dev_dependencies": DependencyKind.DEV,
}
"""The underscored names are old and still read."""


@dataclass(frozen=True, slots=True)
class Inheritance:
    """A workspace root's manifest as its members see it; `root` is None for a package without a workspace."""

    root: Table | None = None
    directory: str = ""

    def text(self, package: Table, key: str) -> str | None:
        """A text of `[package]`, the root's where it says `{ workspace = true }`."""
        if not package.inherits(key):
            return package.text(key)
        return self.section(package, "package", key).text(key)

    def section(self, asker: Table, section: str, key: str) -> Table:
        """The root's table that holds what `asker` inherits under `key`."""
        workspace = self.root.table("workspace") if self.root else None
        table = workspace.table(section) if workspace else None
        if table is None or key not in table:
            where = f"workspace.{section}.{key}"
            at = self.root.file if self.root else "any workspace root"
            raise asker.failure(f"error inheriting `{key}`: `{where}` was not defined in {at}", key)
        return table

    def dependencies(self, manifest: Table, directory: str) -> Iterator[Dependency]:
        """All dependencies of a manifest that stands in this directory, whatever their target."""
        yield from self._tables(manifest, directory)
        targets = manifest.table("target")
        for name in targets or ():
            target = targets.table(name) if targets else None
            if target:
                yield from (replace(one, platform=name) for one in self._tables(target, directory))

    def _tables(self, holder: Table, directory: str) -> Iterator[Dependency]:
        for key, kind in DEPENDENCY_TABLES.items():
            table = holder.table(key)
            for name in table or ():
                if table:
                    yield self._dependency(table, name, kind, directory)

    def _dependency(self, table: Table, name: str, kind: DependencyKind, directory: str) -> Dependency:
        optional = False
        if table.inherits(name):
            here = table.table(name)
            optional = bool(here and here.flag("optional"))
            table, directory = self.section(table, "dependencies", name), self.directory
        if isinstance(table.values[name], str):
            return Dependency(name=name, package=name, kind=kind, optional=optional)
        if not isinstance(table.values[name], dict):
            what = described(table.values[name])
            raise table.failure(
                f'invalid type: {what}, expected a version such as "0.9.8" or a detailed dependency', name
            )
        detail = table.table(name)
        assert detail is not None
        if not any(key in detail for key in ("version", "path", "git")):
            words = "specified without providing a local path, Git repository, version, or workspace dependency to use"
            raise detail.failure(f"dependency ({name}) {words}")
        package = detail.text("package") or name
        optional = optional or bool(detail.flag("optional"))
        path = detail.text("path")
        if path is None:
            return Dependency(name=name, package=package, kind=kind, optional=optional)
        found = join(directory, path)
        leaves = path if found is None else None
        return Dependency(name=name, package=package, kind=kind, optional=optional, directory=found, leaves=leaves)
