"""Which files of the tree are the application: what runs, not what it is built, tested and described with.

A pure function of paths. Everything is accounted for: a path is kept, or left out for one reason.
"""

import posixpath
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from cache.manifests.errors import BadSettings
from cache.manifests.paths import join, within
from cache.manifests.settings import SETTINGS

_ENVIRONMENT_FILE = "pyvenv.cfg"
_SOURCE_ROOT = "src"


class LeftOut(StrEnum):
    """Why a file is no part of the application."""

    OUTSIDE = "outside"
    """It is not below the project's directory, or not among what `[python] application` names."""
    MANIFEST = "manifest"
    """It says what the dependencies are."""
    BUILDING = "building"
    """It is for building the image, or for tools of those who work on the project."""
    HIDDEN = "hidden"
    """Its name, or that of a directory above it, begins with a dot."""
    DOCUMENT = "document"
    """It is for people to read."""
    TEST = "test"
    """It is a test, or belongs to tests."""
    BYTECODE = "bytecode"
    """Python writes it."""
    ENVIRONMENT = "environment"
    """It is in a virtual environment."""


_PLACES: tuple[tuple[LeftOut, re.Pattern[str]], ...] = (
    (
        LeftOut.MANIFEST,
        re.compile(
            r"pyproject\.toml|pylock(\.[^./]+)?\.toml|uv\.lock|poetry\.lock|pdm\.lock|pipfile(\.lock)?|environment\.ya?ml"
            r"|(requirements|constraints)[^/]*\.(txt|in)|requirements/[^/]*\.(txt|in)|setup\.(py|cfg)"
        ),
    ),
    (
        LeftOut.BUILDING,
        re.compile(
            r"bloomery\.toml|procfile|(dockerfile|containerfile)([.-][^/]*)?|[^/]*\.dockerfile|(docker-)?compose[^/]*\.ya?ml"
            r"|makefile|justfile|jenkinsfile|vagrantfile|(tox|pytest|mypy)\.ini|ruff\.toml|noxfile\.py|manifest\.in"
            r"|mkdocs\.ya?ml|(.*/)?[^/]*\.egg-info/.*"
        ),
    ),
    (
        LeftOut.DOCUMENT,
        re.compile(
            r"(readme|changelog|changes|history|license|licence|copying|notice|authors|contributing)([.-][^/]*)?(?<!\.py)"
            r"|[^/]*\.(md|rst)|docs/.*"
        ),
    ),
)
"""Paths below the project's directory, in lower case."""
_TEST_DIRECTORIES = {"tests", "test"}
_TEST_FILE = re.compile(r"conftest\.py|test_.*\.py|.*_test\.py")
_BYTECODE = re.compile(r"(.*/)?__pycache__/.*|.*\.py[co]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The application's files; paths are of the tree, sorted. Each file of the tree is either kept or left out."""

    directory: str
    """The directory that the application is seen from, and that it runs in."""
    kept: tuple[str, ...]
    left: tuple[tuple[str, LeftOut], ...]
    import_roots: tuple[str, ...] = ("",)
    """Directories below `directory` that modules are imported from, in order."""


def find_application(
    paths: Iterable[str],
    directory: str = "",
    *,
    named: Collection[str] | None = None,
    manifests: Collection[str] = (),
) -> Application:
    """Tell the application's files from the others below a directory of the tree.

    `named` is `[python] application`: files and directories, as seen from the directory, that are taken instead.
    `manifests` are further files that say what the dependencies are. Raises `BadSettings` for a name of nothing.
    """
    files = sorted(paths)
    judge = _Found(files, directory, manifests).judge if named is None else _Named(files, directory, named).judge
    judged = [(path, judge(path)) for path in files]
    kept = tuple(path for path, reason in judged if reason is None)
    return Application(
        directory=directory,
        kept=kept,
        left=tuple((path, reason) for path, reason in judged if reason is not None),
        import_roots=_import_roots(kept, directory),
    )


class _Named:
    """What `[python] application` names, whole, but for what Python writes itself."""

    def __init__(self, files: list[str], directory: str, named: Collection[str]) -> None:
        self._places = [_place(files, directory, name) for name in named]

    def judge(self, path: str) -> LeftOut | None:
        if not any(within(path, place) for place in self._places):
            return LeftOut.OUTSIDE
        return LeftOut.BYTECODE if _BYTECODE.fullmatch(path) else None


def _place(files: list[str], directory: str, name: str) -> str:
    place = join(directory, name)
    if place is None or not any(within(path, place) for path in files):
        expected = "a file or directory of the source tree, as seen from the project's directory"
        raise BadSettings(
            f"{SETTINGS}: `python.application` names `{name}`, and nothing is there: expected {expected}",
            file=SETTINGS,
            key="python.application",
            value=name,
            expected=expected,
        )
    return place


class _Found:
    """What is found where nothing is named."""

    def __init__(self, files: list[str], directory: str, manifests: Collection[str]) -> None:
        self._directory = directory
        self._manifests = frozenset(manifests)
        found = (posixpath.dirname(path) for path in files if posixpath.basename(path) == _ENVIRONMENT_FILE)
        self._environments = {place for place in found if not within(directory, place)}

    def judge(self, path: str) -> LeftOut | None:
        """The first reason against a file."""
        if not within(path, self._directory):
            return LeftOut.OUTSIDE
        if any(within(path, environment) for environment in self._environments):
            return LeftOut.ENVIRONMENT
        inner = path[len(self._directory) :].lstrip("/")
        if path in self._manifests and not inner.startswith("."):
            return LeftOut.MANIFEST
        return _anywhere(inner) or next((reason for reason, places in _PLACES if places.fullmatch(inner.lower())), None)


def _anywhere(inner: str) -> LeftOut | None:
    """The reasons that hold for a name wherever it stands."""
    *directories, name = inner.split("/")
    if any(part.startswith(".") for part in (*directories, name)):
        return LeftOut.HIDDEN
    if _BYTECODE.fullmatch(inner):
        return LeftOut.BYTECODE
    if not _TEST_DIRECTORIES.isdisjoint(directories) or _TEST_FILE.fullmatch(name):
        return LeftOut.TEST
    return None


def _import_roots(kept: tuple[str, ...], directory: str) -> tuple[str, ...]:
    """The directory itself, and `src` where it holds modules and is no package."""
    root = posixpath.join(directory, _SOURCE_ROOT)
    inside = [path[len(root) + 1 :] for path in kept if path.startswith(root + "/")]
    modules = any(path.endswith(".py") and path.count("/") <= 1 for path in inside)
    return ("", _SOURCE_ROOT) if modules and "__init__.py" not in inside else ("",)
