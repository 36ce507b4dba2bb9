"""What an image of a Python project starts, in the order in which people mean it.

`[image] entrypoint`, the `web` line of a Procfile or else its only one, the project's only console script, the only
file at the top that looks like a program. The last is a guess, and said to be one.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from cache.manifests.python.errors import AmbiguousEntrypoint, NoEntrypoint
from cache.manifests.python.procfile import PROCFILE, read_procfile
from cache.manifests.python.pyproject import Pyproject
from cache.manifests.source import SourceFiles

PYTHON = "python"
"""The word that stands for the interpreter in a command that was found here."""
_WEB = "web"
_PROGRAMS = ("app.py", "main.py", "__main__.py", "server.py", "run.py")
_DJANGO = "manage.py"
_SOURCE_ROOT = "src"
_INSTEAD = 'write in bloomery.toml what is meant, such as `[image] entrypoint = ["python", "app.py"]`'


class Origin(StrEnum):
    """Who says what is started."""

    SETTINGS = "settings"
    PROCFILE = "procfile"
    SCRIPT = "script"
    GUESS = "guess"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint:
    """A command; `said` are words for a note, empty where the project itself says what it starts."""

    command: tuple[str, ...]
    origin: Origin
    said: str = ""


def find_entrypoint(
    files: SourceFiles, directory: str, pyproject: Pyproject | None, settings: tuple[str, ...] | None = None
) -> Entrypoint:
    """What the image of a directory's project starts; `settings` is `[image] entrypoint`.

    Raises `NoEntrypoint`, `AmbiguousEntrypoint`, `UnsupportedEntrypoint`, or `BadManifest` for the Procfile.
    """
    if settings:
        return Entrypoint(command=settings, origin=Origin.SETTINGS)
    return _procfile(files, directory) or _script(pyproject) or _guess(files, directory)


def _procfile(files: SourceFiles, directory: str) -> Entrypoint | None:
    path = posixpath.join(directory, PROCFILE)
    processes = read_procfile(files.read(path), path) if path in files else {}
    if not processes:
        return None
    if _WEB not in processes and len(processes) > 1:
        raise _ambiguous(f"{path} has no `web` and more than one process", [*processes])
    process = processes.get(_WEB) or next(iter(processes.values()))
    return Entrypoint(command=process.words(), origin=Origin.PROCFILE)


def _script(pyproject: Pyproject | None) -> Entrypoint | None:
    project = pyproject.project if pyproject else None
    if pyproject is None or project is None or not project.scripts:
        return None
    if len(project.scripts) > 1:
        raise _ambiguous(f"{pyproject.path} has more than one console script", [*project.scripts])
    return Entrypoint(command=tuple(project.scripts), origin=Origin.SCRIPT)


def _guess(files: SourceFiles, directory: str) -> Entrypoint:
    candidates = dict(_candidates(files, directory))
    if len(candidates) > 1:
        raise _ambiguous("more than one file could be the program", [*candidates])
    for path, command in candidates.items():
        shown = " ".join(command)
        said = f"nothing says what the image starts: `{shown}` is a guess, as {path} is there; {_INSTEAD}"
        return Entrypoint(command=command, origin=Origin.GUESS, said=said)
    looked_for = ["[image] entrypoint", PROCFILE, "[project.scripts]", *_PROGRAMS]
    words = f"nothing says what the image starts: {_INSTEAD}"
    if posixpath.join(directory, _DJANGO) in files:
        words = (
            f"{_DJANGO} alone serves nothing: write in bloomery.toml what does, such as "
            '`[image] entrypoint = ["gunicorn", "--bind", "0.0.0.0:8000", "NAME.wsgi"]`'
        )
    raise NoEntrypoint(words, looked_for=[*looked_for])


def _candidates(files: SourceFiles, directory: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Files at the top that look like programs, and packages that can be run, each with its command."""
    for name in _PROGRAMS:
        if posixpath.join(directory, name) in files:
            yield name, (PYTHON, name)
    for root in (directory, posixpath.join(directory, _SOURCE_ROOT)):
        prefix = f"{root}/" if root else ""
        for path in files.paths():
            package, slash, rest = path.removeprefix(prefix).partition("/")
            if path.startswith(prefix) and slash and rest == "__main__.py" and package.isidentifier():
                if package in {"tests", "test", "docs"} or (root == directory and package == _SOURCE_ROOT):
                    continue
                yield posixpath.relpath(path, directory or "."), (PYTHON, "-m", package)


def _ambiguous(words: str, candidates: list[str]) -> AmbiguousEntrypoint:
    shown = ", ".join(candidates)
    return AmbiguousEntrypoint(f"{words}: {shown}; {_INSTEAD}", candidates=[*candidates])
