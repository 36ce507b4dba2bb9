"""`pyproject.toml`: what of it says what a project is and needs.

Sources: https://packaging.python.org/en/latest/specifications/pyproject-toml/ and
https://packaging.python.org/en/latest/specifications/dependency-groups/
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.dependency_groups import DependencyGroupResolver
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import Version

from cache.manifests.document import Table, parse
from cache.manifests.python.addresses import shown
from cache.manifests.source import SourceFiles

PYPROJECT = "pyproject.toml"
_DEEP = "it is nested too deeply"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectMetadata:
    """`[project]`; names of extras are normalized."""

    name: str
    """As written."""
    version: Version | None = None
    """None where it is dynamic."""
    dynamic: frozenset[str] = frozenset()
    requires_python: SpecifierSet | None = None
    dependencies: tuple[Requirement, ...] = ()
    optional_dependencies: Mapping[str, tuple[Requirement, ...]] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    gui_scripts: Mapping[str, str] = field(default_factory=dict)
    entry_points: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSystem:
    """`[build-system]`; without a backend it is setuptools' old way."""

    backend: str | None = None
    requires: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyproject:
    """A `pyproject.toml`; None where it has no such table."""

    path: str
    project: ProjectMetadata | None = None
    groups: Mapping[str, tuple[Requirement, ...]] = field(default_factory=dict)
    """Dependency groups by normalized name, with those that they include."""
    build_system: BuildSystem | None = None
    document: Table = field(repr=False, compare=False)

    @property
    def directory(self) -> str:
        """The directory of the tree that it stands in."""
        return posixpath.dirname(self.path)


def read_pyproject(files: SourceFiles, path: str) -> Pyproject:
    """Read a `pyproject.toml` of the tree; `BadManifest` where it is none, or says what the specification forbids."""
    document = parse(path, files.read(path))
    project = document.table("project")
    build = document.table("build-system")
    groups = document.table("dependency-groups")
    return Pyproject(
        path=path,
        project=_project(project) if project else None,
        groups=_groups(groups) if groups else {},
        build_system=_build_system(build) if build else None,
        document=document,
    )


def _project(table: Table) -> ProjectMetadata:
    name = table.text("name")
    if name is None:
        raise table.failure("missing field `name`")
    try:
        canonicalize_name(name, validate=True)
    except InvalidName:
        raise table.failure(
            f"`{name[:200]}` is no name of a project: letters, digits, `.`, `_` and `-`", "name"
        ) from None
    dynamic = frozenset(table.texts("dynamic") or ())
    twice = sorted(key for key in dynamic if key in table)
    if twice:
        raise table.failure(f"`{twice[0]}` is both given and dynamic", "dynamic")
    extras = table.table("optional-dependencies")
    points = table.table("entry-points")
    return ProjectMetadata(
        name=name,
        version=_version(table, dynamic),
        dynamic=dynamic,
        requires_python=_requires_python(table),
        dependencies=_requirements(table, "dependencies"),
        optional_dependencies=_extras(extras) if extras else {},
        scripts=_text_table(table, "scripts"),
        gui_scripts=_text_table(table, "gui-scripts"),
        entry_points={group: _text_table(points, group) for group in points} if points else {},
    )


def _version(table: Table, dynamic: frozenset[str]) -> Version | None:
    text = table.text("version")
    if text is None:
        if "version" not in dynamic:
            raise table.failure("missing field `version`: give one, or name it in `dynamic`")
        return None
    try:
        return Version(text)
    except ValueError:  # also of a number that is too long
        raise table.failure(f"`{text[:200]}` is no version", "version") from None


def _requires_python(table: Table) -> SpecifierSet | None:
    text = table.text("requires-python")
    if text is None:
        return None
    try:
        found = SpecifierSet(text)
        found.contains("3")
    except ValueError:
        raise table.failure(f"`{text[:200]}` is no version specifier", "requires-python") from None
    return found


def _requirements(table: Table, key: str) -> tuple[Requirement, ...]:
    return tuple(_requirement(table, key, text) for text in table.texts(key) or ())


def _requirement(table: Table, key: str, text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).partition("\n")[0]
    except RecursionError:
        reason = _DEEP
    raise table.failure(f"`{shown(text)}` is no requirement: {reason}", key)


def _extras(table: Table) -> dict[str, tuple[Requirement, ...]]:
    found: dict[str, tuple[Requirement, ...]] = {}
    for key in table:
        name = canonicalize_name(key)
        if name in found:
            raise table.failure(f"the extra `{name}` is there twice", key)
        found[name] = _requirements(table, key)
    return found


def _text_table(table: Table, key: str) -> dict[str, str]:
    inner = table.table(key)
    return {name: inner.text(name) or "" for name in inner} if inner else {}


def _groups(table: Table) -> dict[str, tuple[Requirement, ...]]:
    try:
        resolver = DependencyGroupResolver(dict(table.values))
        return {canonicalize_name(name): resolver.resolve(name) for name in table}
    except ExceptionGroup as errors:
        reason = str(errors.exceptions[0]).partition("\n")[0]
    except RecursionError:
        reason = _DEEP
    raise table.failure(reason)


def _build_system(table: Table) -> BuildSystem:
    return BuildSystem(backend=table.text("build-backend"), requires=_requirements(table, "requires"))
