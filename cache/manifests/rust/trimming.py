"""A manifest with all that cannot change a dependency removed: what the skeleton holds, and what the exact key sees.

Only what is listed here is kept, so a key that cargo learns tomorrow changes no cook until it is added.
"""

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from cache.manifests.document import Table
from cache.manifests.paths import relative
from cache.manifests.rust.inheritance import DEPENDENCY_TABLES
from cache.manifests.rust.package import Package
from cache.manifests.rust.reading import package_table

STUB_BUILD_SCRIPT = "bloomery-stub-build.rs"
STUB_EXAMPLE = "bloomery-stub-example.rs"

_PACKAGE = ("name", "edition", "rust-version", "links", "resolver", "workspace", "forced-target", "default-target")
_WORKSPACE = ("members", "default-members", "exclude", "resolver")
_WORKSPACE_PACKAGE = ("version", "edition", "rust-version")
_ROOT_ONLY = ("patch", "replace", "profile")
_NO_DISCOVERY = ("autobins", "autoexamples", "autotests", "autobenches")
_INHERITED_TEXTS = ("edition", "rust-version", "description", "homepage", "documentation", "repository", "license")
_INHERITED_LISTS = ("authors", "keywords", "categories", "include", "exclude", "publish")


def stub_manifest(package: Package, version: str, *, is_root: bool) -> dict[str, Any]:
    """The manifest of a package whose sources are stubs; `is_root` keeps what counts in a workspace's root alone."""
    manifest = _shared(package.document, is_root=is_root)
    table = package_table(package.document)
    assert table is not None
    trimmed = {key: table.values[key] for key in _PACKAGE if key in table}
    trimmed |= {"version": version, "build": STUB_BUILD_SCRIPT if package.build_script else False}
    trimmed |= dict.fromkeys(_NO_DISCOVERY, False)
    manifest["package"] = trimmed
    if package.library is not None:
        manifest["lib"] = {"name": package.library.name, "path": relative(package.library.path, package.directory)}
        if package.library.proc_macro:
            manifest["lib"]["proc-macro"] = True
        elif package.library.crate_types:
            manifest["lib"]["crate-type"] = list(package.library.crate_types)
    if package.binaries:
        manifest["bin"] = [
            {"name": binary.name, "path": relative(binary.path, package.directory)}
            | ({"required-features": list(binary.required_features)} if binary.required_features else {})
            for binary in package.binaries
        ]
    if package.library is None and not package.binaries:
        manifest["example"] = [{"name": posixpath.splitext(STUB_EXAMPLE)[0], "path": STUB_EXAMPLE}]
    return manifest


def root_manifest(document: Table) -> dict[str, Any]:
    """The manifest of a workspace root without a package."""
    return _shared(document, is_root=True)


def real_manifest(package: Package, root: Table | None, *, is_root: bool) -> dict[str, Any]:
    """The manifest of a package that is cooked for real: whole, and what it inherits written out.

    What it inherits must not come from the skeleton's root, whose versions are those of stubs. Of its dependencies on
    packages of the tree only the path is kept, as in a stub's.
    """
    kept: dict[str, Any] = {key: value for key, value in package.document.values.items() if key not in _ROOT_ONLY}
    if is_root:
        kept |= {key: package.document.values[key] for key in _ROOT_ONLY if key in package.document}
    manifest = kept | _shared(package.document, is_root=is_root)
    manifest.pop("project", None)
    table = package_table(package.document)
    assert table is not None
    manifest["package"] = _written_out(table, root) | {"version": package.version}
    lints = package.document.table("lints")
    if lints is not None and "workspace" in lints:
        workspace = root.table("workspace") if root else None
        inherited = workspace.table("lints") if workspace else None
        manifest["lints"] = dict(inherited.values) if inherited else {}
    return manifest


def _written_out(package: Table, root: Table | None) -> dict[str, Any]:
    workspace = root.table("workspace") if root else None
    shared = workspace.table("package") if workspace else None
    found: dict[str, Any] = {}
    for key, value in package.values.items():
        if not package.inherits(key):
            found[key] = value
        elif shared is not None and key in shared and key in (*_INHERITED_TEXTS, *_INHERITED_LISTS):
            found[key] = shared.values[key]
    return found


def _shared(document: Table, *, is_root: bool) -> dict[str, Any]:
    """What stubs, real packages and virtual roots treat alike: dependencies, features and the workspace."""
    manifest: dict[str, Any] = {}
    if "cargo-features" in document:
        manifest["cargo-features"] = document.values["cargo-features"]
    manifest |= _dependency_tables(document)
    targets = document.table("target")
    kept = {name: _dependency_tables(table) for name in targets or () if targets and (table := targets.table(name))}
    if any(kept.values()):
        manifest["target"] = {name: tables for name, tables in kept.items() if tables}
    if "features" in document:
        manifest["features"] = document.values["features"]
    workspace = document.table("workspace")
    if workspace is not None:
        manifest["workspace"] = _workspace(workspace)
    if is_root:
        for key in _ROOT_ONLY:
            if key in document:
                manifest[key] = _without_versions(document.values[key]) if key == "patch" else document.values[key]
    return manifest


def _workspace(workspace: Table) -> dict[str, Any]:
    kept = {key: workspace.values[key] for key in _WORKSPACE if key in workspace}
    package = workspace.table("package")
    if package is not None:
        kept["package"] = {key: package.values[key] for key in _WORKSPACE_PACKAGE if key in package}
    if "dependencies" in workspace:
        kept["dependencies"] = _without_version(workspace.values["dependencies"])
    return kept


def _dependency_tables(holder: Table) -> dict[str, Any]:
    return {key: _without_version(holder.values[key]) for key in DEPENDENCY_TABLES if key in holder}


def _without_versions(sources: Mapping[str, Any]) -> dict[str, Any]:
    return {source: _without_version(table) for source, table in sources.items() if isinstance(table, dict)}


def _without_version(table: Mapping[str, Any]) -> dict[str, Any]:
    """Dependencies without the version that is required of a package of the tree."""
    return {name: _path_alone(detail) for name, detail in table.items()}


def _path_alone(detail: object) -> object:
    if isinstance(detail, dict) and "path" in detail:
        return {key: value for key, value in detail.items() if key != "version"}
    return detail


_UNORDERED = ("features", "required-features", "members", "exclude", "default-members", "crate-type")


def counted(manifest: Mapping[str, Any], *, versions: Iterable[str], nameless: bool = False) -> dict[str, Any]:
    """What of a stub's manifest can change how a dependency is compiled; lists without an order are sorted.

    Which binaries there are, and where sources lie, cannot; nor can a version that is one of `versions`, the stubs';
    nor, where it is to be `nameless`, the package's name.
    """
    kept = {key: value for key, value in manifest.items() if key not in {"bin", "example"}}
    package = dict(kept.get("package", {}))
    own = [*(["version"] if package.get("version") in set(versions) else []), *(["name"] if nameless else [])]
    for key in (*_NO_DISCOVERY, *own):
        package.pop(key, None)
    if package:
        kept["package"] = package
    workspace = kept.get("workspace", {})
    if "version" in workspace.get("package", {}):
        shared = {key: value for key, value in workspace["package"].items() if key != "version"}
        kept["workspace"] = workspace | {"package": shared}
    if "lib" in kept:
        kept["lib"] = {key: value for key, value in kept["lib"].items() if key not in {"name", "path"}}
    ordered = _sorted(kept)
    assert isinstance(ordered, dict)
    return ordered


def _sorted(value: object, key: str = "") -> object:
    if isinstance(value, dict):
        inner = {name: _sorted(item, name) for name, item in value.items()}
        if key == "features":
            return {name: sorted(item) if isinstance(item, list) else item for name, item in inner.items()}
        return inner
    if isinstance(value, list):
        plain = [_sorted(item) for item in value]
        return sorted(plain, key=str) if key in _UNORDERED else plain
    return value
