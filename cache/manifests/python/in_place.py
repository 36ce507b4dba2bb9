"""What it takes to have the project itself installed where its files lie, without running its build backend.

An editable install in all but the name: metadata that `importlib.metadata` finds, and the console scripts. A project
whose backend would compile something cannot be had so.

Sources: https://packaging.python.org/en/latest/specifications/core-metadata/ and
https://packaging.python.org/en/latest/specifications/entry-points/
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from cache.manifests.document import Table
from cache.manifests.python.errors import CompiledProject
from cache.manifests.python.pyproject import ProjectMetadata, Pyproject
from cache.manifests.source import SourceFiles

_NO_VERSION = "0"
_COMPILING_BACKENDS = {"maturin", "mesonpy", "scikit_build_core", "sipbuild", "cmeel", "py_build_cmake", "enscons"}
_COMPILING_REQUIREMENTS = {
    "cffi",
    "cython",
    "mypy",
    "nanobind",
    "pybind11",
    "scikit-build",
    "setuptools-golang",
    "setuptools-rust",
}
"""What is required of a build only to compile something."""
_SETUPTOOLS = "setuptools"
_EXTENSIONS = re.compile(rb"^[^#\n]*\b(ext_modules|rust_extensions|cffi_modules)\s*=", re.MULTILINE)
_REFERENCE = re.compile(r"(?P<module>\w+(?:\.\w+)*) *(?:: *(?P<attribute>\w+(?:\.\w+)*))? *(?:\[[\w ,.-]*\])?")
_SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_GROUP = re.compile(r"\w+(?:\.\w+)*")
_ENTRY = re.compile(r"[^\s=\[#;](?:[^=\r\n]*[^\s=])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleScript:
    """A program that imports `module` and exits with what its `attribute`, called, returns."""

    name: str
    module: str
    attribute: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlace:
    """The files of a `*.dist-info` directory, and the console scripts, sorted by name."""

    directory: str
    """The name of the dist-info directory."""
    metadata: str
    """`METADATA`."""
    entry_points: str
    """`entry_points.txt`, empty where there is none to write."""
    scripts: tuple[ConsoleScript, ...] = ()
    notes: tuple[str, ...] = ()


def in_place(files: SourceFiles, pyproject: Pyproject | None) -> InPlace | None:
    """What the project's own installation is made of; None where no `[project]` says that there is one.

    Raises `CompiledProject`, and `BadManifest` for entry points that are none.
    """
    if pyproject is None or pyproject.project is None:
        return None
    _require_pure(files, pyproject)
    project = pyproject.project
    version = str(project.version) if project.version is not None else _NO_VERSION
    notes = () if project.version is not None else (_unknown_version(pyproject.path),)
    table = pyproject.document.table("project") or pyproject.document
    scripts = tuple(sorted(_scripts(table, "scripts", project.scripts), key=lambda script: script.name))
    stem = canonicalize_name(project.name).replace("-", "_")
    return InPlace(
        directory=f"{stem}-{version.replace('-', '_')}.dist-info",
        metadata=_metadata(project, version),
        entry_points=_entry_points(table, project),
        scripts=scripts,
        notes=notes,
    )


def _unknown_version(path: str) -> str:
    return f"{path}: the version is dynamic, and no code of the project runs to find it: the image says {_NO_VERSION}"


def _require_pure(files: SourceFiles, pyproject: Pyproject) -> None:
    for file, sign in _signs(files, pyproject):
        raise CompiledProject(
            f"{file}: {sign} says that the project itself has extension modules, and only projects that are Python all "
            "through are put into an image as they stand: release it as a wheel, and require that",
            file=file,
            sign=sign,
        )


def _signs(files: SourceFiles, pyproject: Pyproject) -> Iterator[tuple[str, str]]:
    """What says that something is compiled, with the file where it stands."""
    build = pyproject.build_system
    backend = re.split(r"[.:]", build.backend)[0] if build and build.backend else _SETUPTOOLS
    if build and backend in _COMPILING_BACKENDS:
        yield pyproject.path, f'`build-backend = "{build.backend}"`'
    for requirement in build.requires if build else ():
        if canonicalize_name(requirement.name) in _COMPILING_REQUIREMENTS:
            yield pyproject.path, f"`{requirement.name}` among what the build requires"
    if backend != _SETUPTOOLS:
        return
    if _tool(pyproject.document, "setuptools", "ext-modules"):
        yield pyproject.path, "`[tool.setuptools] ext-modules`"
    setup = posixpath.join(pyproject.directory, "setup.py")
    found = _EXTENSIONS.search(files.read(setup)) if setup in files else None
    if found:
        yield setup, f"`{found[1].decode()}`"


def _tool(document: Table, name: str, key: str) -> bool:
    tools = document.table("tool")
    tool = tools.table(name) if tools else None
    return tool is not None and bool(tool.values.get(key))


def _metadata(project: ProjectMetadata, version: str) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {project.name}", f"Version: {version}"]
    if project.requires_python is not None:
        lines.append(f"Requires-Python: {project.requires_python}")
    return "\n".join(lines) + "\n"


def _entry_points(table: Table, project: ProjectMetadata) -> str:
    groups: dict[str, Mapping[str, str]] = {"console_scripts": project.scripts, "gui_scripts": project.gui_scripts}
    points = table.table("entry-points") or table
    for group, entries in project.entry_points.items():
        if group in groups or not _GROUP.fullmatch(group):
            raise points.failure(f"`{group[:200]}` is no group of entry points that may stand here", group)
        groups[group] = entries
    for key, entries in (("scripts", project.scripts), ("gui-scripts", project.gui_scripts)):
        list(_scripts(table, key, entries))
    for group, entries in project.entry_points.items():
        for name, reference in entries.items():
            if not _ENTRY.fullmatch(name) or not _REFERENCE.fullmatch(reference):
                raise points.failure(f"`{name[:100]} = {reference[:100]}` is no entry point", group)
    sections = (
        "\n".join([f"[{group}]", *(f"{name} = {reference}" for name, reference in sorted(entries.items()))]) + "\n"
        for group, entries in sorted(groups.items())
        if entries
    )
    return "\n".join(sections)


def _scripts(table: Table, key: str, entries: Mapping[str, str]) -> Iterator[ConsoleScript]:
    for name, reference in entries.items():
        parts = _REFERENCE.fullmatch(reference)
        if parts is None or not parts["attribute"] or not _SCRIPT.fullmatch(name):
            words = f'`{name[:100]} = {reference[:100]}` is no script: expected `name = "module:function"`'
            raise table.failure(words, key)
        yield ConsoleScript(name=name, module=parts["module"], attribute=parts["attribute"])
