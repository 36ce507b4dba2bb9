"""One package's manifest, read: from a TOML table and the layout of the tree to a `Package`."""

import re

from cache.manifests.document import Table
from cache.manifests.rust.inheritance import Inheritance
from cache.manifests.rust.layout import Layout
from cache.manifests.rust.package import Package
from cache.manifests.rust.targets import Targets

_NAME = re.compile(r"[^\W\d][\w-]*")
_NUMBER = r"(?:0|[1-9]\d*)"
_LABELS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_LABELS})?(?:\+{_LABELS})?")
_NO_TARGETS = (
    "no targets specified in the manifest\n"
    "either src/lib.rs, src/main.rs, a [lib] section, or [[bin]] section must be present"
)


def package_table(manifest: Table) -> Table | None:
    """`[package]`, or what it was called long ago: `[project]`."""
    return manifest.table("package") or manifest.table("project")


def read_package(manifest: Table, directory: str, inheritance: Inheritance, layout: Layout) -> Package:
    """Read a manifest that has a `[package]`; what cargo would refuse raises `BadManifest`."""
    package = package_table(manifest)
    if package is None:
        raise manifest.failure("manifest is missing either a `[package]` or a `[workspace]`")
    name = package.text("name")
    if name is None:
        raise package.failure("missing field `name`")
    if not _NAME.fullmatch(name):
        raise package.failure(f"invalid character or empty package name: `{name[:100]}`", "name")
    version = inheritance.text(package, "version") or "0.0.0"
    if not _VERSION.fullmatch(version):
        raise package.failure(f"`{version[:100]}` is no semantic version, such as `1.2.3`", "version")
    edition = inheritance.text(package, "edition") or "2015"
    targets = Targets(manifest, package, name=name, directory=directory, edition=edition, layout=layout)
    library = targets.library()
    binaries = targets.binaries(has_library=library is not None)
    if library is None and not binaries and not targets.has_others():
        raise manifest.failure(_NO_TARGETS)
    default_run = package.text("default-run")
    if default_run is not None and default_run not in {binary.name for binary in binaries}:
        raise package.failure(f"default-run target `{default_run}` not found", "default-run")
    dependencies = tuple(inheritance.dependencies(manifest, directory))
    optional = {dependency.name for dependency in dependencies if dependency.optional}
    return Package(
        name=name,
        version=version,
        directory=directory,
        manifest=manifest.file,
        edition=edition,
        binaries=binaries,
        library=library,
        build_script=targets.build_script(),
        features=_features(manifest, optional),
        default_run=default_run,
        dependencies=dependencies,
        document=manifest,
    )


def _features(manifest: Table, optional: set[str]) -> tuple[str, ...]:
    """Declared features, and optional dependencies that no feature names with `dep:`."""
    table = manifest.table("features")
    declared: set[str] = set(table or ())
    named: set[str] = set()
    for feature in declared:
        values = (table.texts(feature) if table else None) or ()
        named.update(value.removeprefix("dep:") for value in values if value.startswith("dep:"))
    return tuple(sorted(declared | (optional - named)))
