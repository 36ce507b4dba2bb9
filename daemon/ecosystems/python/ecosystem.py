"""Python as an ecosystem: finds a project and plans it, reading requirements and lock, running nothing."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cache.errors import Evidence
from cache.manifests.errors import BadSettings, UnsupportedSetting
from cache.manifests.python.interpreter import Interpreter
from cache.manifests.python.lock import PYLOCK, PythonLock, read_lock
from cache.manifests.python.locked import FileKind, LockedPackage, require_hashes
from cache.manifests.python.project import Decider, PythonProject, detects, read_project
from cache.manifests.rust.errors import UnknownBinary
from cache.manifests.settings import SETTINGS, ProjectSettings, read_settings
from cache.manifests.source import SourceFiles
from daemon.builds import BuildRequest, ImageRequest, ImageSettings, Link
from daemon.ecosystems.ecosystem import Project
from daemon.ecosystems.image_settings import settings_of, tagged
from daemon.ecosystems.planned import Grain, PackagesOf, Plan, Source
from daemon.ecosystems.python.application import application
from daemon.ecosystems.python.environment import environment
from daemon.ecosystems.python.keys import exact_key, result_key, unit_key
from daemon.ecosystems.python.project import PlannedPython, PythonSource
from daemon.toolchains.pythons import choose
from daemon.toolchains.toolchain import PythonFacts, Toolchain

INDEX = "pypi"
"""The name of the usual index among the daemon's mirrors."""


class PythonEcosystem:
    """An `Ecosystem` over uv; `mirrors` map an index's name to the URL that stands in for it."""

    def __init__(self, mirrors: Mapping[str, str]) -> None:
        self._mirrors = mirrors

    @property
    def name(self) -> str:
        """As the API and the metrics have it."""
        return "python"

    def detects(self, files: SourceFiles, directory: str) -> bool:
        """Requirements, a project, or a lock."""
        return detects(files, directory)

    def plan(self, source: Source, offered: Sequence[Toolchain], default: str) -> Project:
        """Read everything that decides a key; raises what `cache.manifests.python.errors` has."""
        request, files = source.request, source.files
        settings = read_settings(files, request.directory)
        _require_fitting(settings, request)
        called = posixpath.basename(request.directory) or _named_by(request)
        project = read_project(files, request.directory, settings, called)
        toolchain, python = _toolchain(project, settings, request, offered, default)
        interpreter = _interpreter(toolchain, python)
        project.wish.require(interpreter)
        lock = read_lock(source.lock, PYLOCK) if source.lock is not None else project.lock
        packages, building = _selected(project, lock, interpreter)
        name = request.project or settings.project.name or project.name
        image = _image(name, settings, request)
        shipped, told = application(files, project, settings, image.settings, python)
        image = replace(image, settings=_with_defaults(image.settings, shipped.entrypoint, shipped.environment))
        variables = environment(python)
        unit = unit_key(request.scope, toolchain, python, variables)
        exact = exact_key(unit, packages, building)
        check = request.check or settings.check.command
        plan = Plan(
            ecosystem=self.name,
            project=name,
            toolchain=toolchain,
            exact=exact,
            result=result_key(exact, request, image, check),
            images=(image,),
            link=Link.DYNAMIC,
            check=check or None,
            dependencies=len(packages),
            packages=PackagesOf(key=unit.digest, parts=unit, names=tuple(package.line for package in packages)),
            grain=Grain.PACKAGES,
            notes=(*told, *_notes(project, source)),
        )
        known = PythonSource(
            project=project,
            blobs=source.blobs,
            python=python,
            interpreter=interpreter,
            environment=variables,
            wanted=packages,
            building=building,
            locked=source.lock is not None or (lock is not None and _is_whole(packages, building)),
            scope=request.scope,
            index=self._mirrors.get(INDEX, ""),
        )
        return PlannedPython(plan, known, replace(shipped, name=name))


def _named_by(request: BuildRequest) -> str:
    """The name of a project that says none: a tree has none either, so it is that of the image."""
    tags = (tag for image in request.images for tag in image.tags)
    name = next(tags, "").rpartition("/")[2].partition(":")[0].partition("@")[0]
    return request.project or name or "app"


def _toolchain(
    project: PythonProject, settings: ProjectSettings, request: BuildRequest, offered: Sequence[Toolchain], default: str
) -> tuple[Toolchain, PythonFacts]:
    def fits(version: str) -> bool:
        return project.wish.fits(Interpreter(version=version, glibc="2.17"))

    toolchain = choose(request.toolchain or settings.build.toolchain, fits, offered, default)
    assert toolchain.facts.python is not None
    return toolchain, toolchain.facts.python


def _interpreter(toolchain: Toolchain, python: PythonFacts) -> Interpreter:
    return Interpreter(version=python.version, glibc=toolchain.facts.libc.removeprefix("glibc").strip())


def _selected(
    project: PythonProject, lock: PythonLock | None, interpreter: Interpreter
) -> tuple[tuple[LockedPackage, ...], tuple[LockedPackage, ...]]:
    """What is installed, and what sdists among it are built with."""
    if lock is None:
        return (), ()
    extras, groups = (project.extras, project.groups) if project.decider is Decider.PYLOCK else ((), ())
    packages = lock.select(interpreter, extras, groups)
    if project.requirements is not None:
        require_hashes(packages, project.requirements.hashes, project.requirements.file)
    builds = any(package.kind is FileKind.SDIST for package in packages)
    return packages, lock.select_build(interpreter) if builds else ()


def _is_whole(packages: Sequence[LockedPackage], building: Sequence[LockedPackage]) -> bool:
    """Whether the source's own lock says what its sdists are built with, if it has any; a made one does."""
    return bool(building) or all(package.kind is FileKind.WHEEL for package in packages)


def _image(name: str, settings: ProjectSettings, request: BuildRequest) -> ImageRequest:
    asked = request.images[0] if request.images else ImageRequest()
    evidence: list[Evidence] = [name]
    if len(request.images) > 1 or (asked.binary is not None and asked.binary != name):
        raise UnknownBinary(f"a Python project has one image, and it is called {name}", binaries=evidence)
    return ImageRequest(
        binary=name,
        tags=tagged(asked.tags),
        settings=settings_of(settings.image_of(name), asked.settings, settings, request),
    )


def _with_defaults(settings: ImageSettings, entrypoint: tuple[str, ...], variables: Mapping[str, str]) -> ImageSettings:
    return replace(settings, entrypoint=entrypoint, environment={**variables, **settings.environment})


_COMPILED_ONLY = ("binary", "binaries", "features", "default_features", "profile", "link", "environment")
_ASKED_COMPILED_ONLY = ("features", "default_features", "profile", "link")


def _require_fitting(settings: ProjectSettings, request: BuildRequest) -> None:
    """What says how to compile says nothing here, and is not passed over in silence."""
    for field in _COMPILED_ONLY:
        if getattr(settings.build, field):
            key = f"build.{field.replace('_', '-')}"
            raise BadSettings(
                f"{SETTINGS}: `{key}` is for projects that are compiled, and this is a Python project",
                file=SETTINGS,
                key=key,
                expected="nothing",
            )
    for field in _ASKED_COMPILED_ONLY:
        if getattr(request, field) is not None:
            raise UnsupportedSetting(
                f"`{field}` was asked for: it is for projects that are compiled, and this is a Python project",
                setting=field,
            )


_MADE_LOCK = (
    "There is no lock: one was made and is kept for this project's next builds; "
    "`bloomery lockfile BUILD -o pylock.toml` gets it, to be committed."
)


def _notes(project: PythonProject, source: Source) -> tuple[str, ...]:
    pinned = project.requirements is not None and project.requirements.pinned
    made = source.lock is not None and project.decider in {Decider.REQUIREMENTS, Decider.PYPROJECT} and not pinned
    return (_MADE_LOCK,) if made else ()
