"""A Python project as a value: what decides its dependencies, and the files that a step needs to lock them.

This is what the tree says; nothing is run and nobody is asked. The order is the one in which people mean it: `[python]
requirements` in `bloomery.toml`, a `pylock.toml`, a `uv.lock`, a `requirements.txt`, a `pyproject.toml`.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path

from packaging.pylock import is_valid_pylock_path
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cache.errors import Failure
from cache.manifests.document import parse
from cache.manifests.errors import BadManifest, BadSettings, NoManifest
from cache.manifests.paths import join
from cache.manifests.python.addresses import FETCHED, ONLY_FILES, shown
from cache.manifests.python.errors import UnknownExtra, UnsupportedRequirement
from cache.manifests.python.inputs import InputFile, input_file
from cache.manifests.python.lock import PYLOCK, PythonLock, read_lock
from cache.manifests.python.pyproject import PYPROJECT, ProjectMetadata, Pyproject, read_pyproject
from cache.manifests.python.requirements import Requirements, read_requirements
from cache.manifests.python.uv_workspace import UV_LOCK, members, uv_lock
from cache.manifests.python.wish import PythonWish, read_wish
from cache.manifests.settings import SETTINGS, ProjectSettings
from cache.manifests.source import SourceFiles

REQUIREMENTS = "requirements.txt"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_NAMELESS = "project"
_FOREIGN = {
    "poetry.lock": "a poetry.lock is not read: write a requirements.txt with `poetry export`",
    "pdm.lock": "a pdm.lock is not read: write a pylock.toml with `pdm export -f pylock`",
    "Pipfile.lock": "a Pipfile.lock is not read: write a requirements.txt with `pipenv requirements --hash`",
    "Pipfile": "a Pipfile is not read: write a requirements.txt",
    "environment.yml": "an environment.yml is not read: write a requirements.txt",
    PYPROJECT: "its pyproject.toml has no `[project]`: write one, or a requirements.txt",
    "setup.py": "a setup.py is not run to find dependencies: write them as `[project]` in a pyproject.toml",
}


class Decider(StrEnum):
    """What decides the dependencies of a project."""

    PYLOCK = "pylock"
    UV_LOCK = "uv_lock"
    REQUIREMENTS = "requirements"
    PYPROJECT = "pyproject"


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonProject:
    """A Python project. All paths are of the tree.

    `name` is the pyproject's, else what the caller calls the directory, normalized. `[project] name` in `bloomery.toml`
    goes over it.
    """

    name: str
    directory: str
    decider: Decider
    manifest: str
    """The file that decides."""
    inputs: tuple[InputFile, ...]
    """What a lock is made from, `manifest` first; of a pylock.toml the lock itself."""
    requirements: Requirements | None = None
    """Where a requirements file decides."""
    pyproject: Pyproject | None = None
    """The directory's own, whatever decides."""
    lock: PythonLock | None = None
    """Where a pylock.toml decides."""
    extras: tuple[str, ...] = ()
    """Those that are asked for, normalized, each known to the project."""
    groups: tuple[str, ...] = ()
    wish: PythonWish

    @property
    def hashed(self) -> bool:
        """Whether the requirements file gives any hashes, which the chosen files are then held to."""
        return bool(self.requirements and self.requirements.hashes)


def detects(files: SourceFiles, directory: str = "") -> bool:
    """Whether a directory of the tree looks like a Python project; a pyproject.toml that is no TOML does, too."""
    if any(posixpath.join(directory, name) in files for name in (REQUIREMENTS, PYLOCK, UV_LOCK)):
        return True
    path = posixpath.join(directory, PYPROJECT)
    if path not in files:
        return False
    try:
        return "project" in parse(path, files.read(path))
    except BadManifest:
        return True


def read_project(files: SourceFiles, directory: str, settings: ProjectSettings, called: str) -> PythonProject:
    """Read the project in a directory of a tree; `called` is what its name is where nothing says one.

    Raises `NoManifest`, `BadManifest`, `BadRequirements`, `UnsupportedRequirement`, `UnsupportedSetting`,
    `UnknownExtra`, and `BadSettings` where `[python] requirements` names no file.
    """
    place = join("", directory)
    if place is None:
        raise NoManifest(f"{directory} is not in the source tree", looked_for=directory)
    own = posixpath.join(place, PYPROJECT)
    pyproject = read_pyproject(files, own) if own in files else None
    decider, manifest = _decide(files, place, pyproject, settings)
    requirements = read_requirements(files, manifest) if decider is Decider.REQUIREMENTS else None
    lock = read_lock(files.read(manifest), manifest) if decider is Decider.PYLOCK else None
    deciding = read_pyproject(files, manifest) if decider is Decider.PYPROJECT and manifest != own else pyproject
    static = _static(deciding, manifest) if decider is Decider.PYPROJECT else None
    metadata = pyproject.project if pyproject else None
    wish = read_wish(files, place, settings, metadata.requires_python if metadata else None, own)
    extras, groups = _asked(settings, manifest, *_offered(decider, deciding, lock))
    if static is not None and deciding is not None:
        chosen = (*(static.optional_dependencies[name] for name in extras), *(deciding.groups[name] for name in groups))
        _require_files(manifest, chain(static.dependencies, *chosen))
    return PythonProject(
        name=canonicalize_name(metadata.name if metadata else _as_name(called)),
        directory=place,
        decider=decider,
        manifest=manifest,
        inputs=_inputs(files, decider, manifest, requirements, own if pyproject else None),
        requirements=requirements,
        pyproject=pyproject,
        lock=lock,
        extras=extras,
        groups=groups,
        wish=wish,
    )


def _as_name(called: str) -> str:
    """A directory's name with nothing in it that no project's name may have."""
    return _NOT_IN_NAMES.sub("-", called).strip("-._") or _NAMELESS


def _decide(
    files: SourceFiles, directory: str, pyproject: Pyproject | None, settings: ProjectSettings
) -> tuple[Decider, str]:
    if settings.python.requirements is not None:
        return _named(files, directory, settings.python.requirements)
    lock = posixpath.join(directory, PYLOCK)
    if lock in files:
        return Decider.PYLOCK, lock
    workspace_lock = uv_lock(files, directory) if pyproject is not None else None
    if workspace_lock is not None:
        return Decider.UV_LOCK, workspace_lock
    requirements = posixpath.join(directory, REQUIREMENTS)
    if requirements in files:
        return Decider.REQUIREMENTS, requirements
    if pyproject is not None and pyproject.project is not None:
        return Decider.PYPROJECT, pyproject.path
    raise _no_manifest(files, directory)


def _named(files: SourceFiles, directory: str, name: str) -> tuple[Decider, str]:
    path = join(directory, name)
    if path is None or path not in files:
        expected = "a file of the source tree, as seen from the project's directory"
        raise BadSettings(
            f"{SETTINGS}: `python.requirements` is `{name}`, and there is no such file: expected {expected}",
            file=SETTINGS,
            key="python.requirements",
            value=name,
            expected=expected,
        )
    base = Path(path)
    if is_valid_pylock_path(base):
        return Decider.PYLOCK, path
    if base.name == UV_LOCK:
        return Decider.UV_LOCK, path
    return (Decider.PYPROJECT if base.name == PYPROJECT else Decider.REQUIREMENTS), path


def _no_manifest(files: SourceFiles, directory: str) -> Failure:
    names = (PYLOCK, UV_LOCK, REQUIREMENTS, PYPROJECT)
    where = directory or "the root of the source tree"
    advice = next((words for name, words in _FOREIGN.items() if posixpath.join(directory, name) in files), "")
    elsewhere = [path for path in files.paths() if posixpath.basename(path) in names]
    elsewhere.sort(key=lambda path: (path.count("/"), path))
    if not advice and elsewhere:
        places = ", ".join(dict.fromkeys(posixpath.dirname(path) or "the root" for path in elsewhere[:8]))
        advice = f"there are some in {places}: name one of these as the directory to build"
    if not advice:
        advice = "write a requirements.txt, which may be empty"
    return NoManifest(
        f"{where} has no {', '.join(names[:-1])} or {names[-1]} with `[project]`; {advice}",
        looked_for=[posixpath.join(directory, name) for name in names],
        found=[*elsewhere[:50]],
    )


def _static(pyproject: Pyproject | None, manifest: str) -> ProjectMetadata:
    """`[project]`, where it says its dependencies itself: what only a build backend could tell is not to be had."""
    project = pyproject.project if pyproject else None
    if project is None:
        raise BadManifest(
            f"{manifest}: there is no `[project]` to take dependencies from", file=manifest, field="project"
        )
    for key in ("dependencies", "optional-dependencies"):
        if key in project.dynamic:
            raise UnsupportedRequirement(
                f"{manifest}: `{key}` is dynamic, and no code of the project runs to find it: list them in "
                f"`[project]`, or name a requirements file as `[python] requirements` in {SETTINGS}",
                file=manifest,
                text=f"dynamic: {key}",
            )
    return project


def _require_files(manifest: str, requirements: Iterable[Requirement]) -> None:
    """What is asked for comes from an index, or as a file over HTTP."""
    for requirement in requirements:
        if requirement.url is not None and not requirement.url.startswith(FETCHED):
            text = shown(str(requirement))
            raise UnsupportedRequirement(f"{manifest}: `{text}`: {ONLY_FILES}", file=manifest, text=text)


def _offered(
    decider: Decider, pyproject: Pyproject | None, lock: PythonLock | None
) -> tuple[frozenset[str], frozenset[str]]:
    """The extras and the groups that can be asked for."""
    if lock is not None:
        return lock.extras, lock.groups
    if decider is Decider.REQUIREMENTS or pyproject is None:
        return frozenset(), frozenset()
    extras = pyproject.project.optional_dependencies if pyproject.project else {}
    return frozenset(extras), frozenset(pyproject.groups)


def _asked(
    settings: ProjectSettings, manifest: str, extras: frozenset[str], groups: frozenset[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    asked = []
    for key, names, offered in (("extras", settings.python.extras, extras), ("groups", settings.python.groups, groups)):
        wanted = tuple(dict.fromkeys(canonicalize_name(name) for name in names))
        unknown = [name for name in wanted if name not in offered]
        if unknown:
            has = f"has {', '.join(sorted(offered))}" if offered else "has none"
            raise UnknownExtra(
                f"{SETTINGS}: `python.{key}` names `{unknown[0]}`, and {manifest} {has}",
                file=manifest,
                unknown=[*unknown],
                offered=[*sorted(offered)],
            )
        asked.append(wanted)
    return asked[0], asked[1]


def _inputs(
    files: SourceFiles, decider: Decider, manifest: str, requirements: Requirements | None, own: str | None
) -> tuple[InputFile, ...]:
    if requirements is not None:
        return requirements.files
    paths = [manifest]
    if decider is Decider.UV_LOCK:
        root = posixpath.join(posixpath.dirname(manifest), PYPROJECT)
        places = members(files, root) if root in files else ()
        paths += [root, *([own] if own else ()), *(posixpath.join(place, PYPROJECT) for place in places)]
    return tuple(input_file(files, path) for path in dict.fromkeys(paths) if path in files)
