"""A planned Python project, and its sides that fetch and install."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from cache.blobs import BlobStore
from cache.manifests.python.interpreter import Interpreter
from cache.manifests.python.locked import FileKind, LockedPackage
from cache.manifests.python.project import PythonProject
from daemon.ecosystems.application import Application
from daemon.ecosystems.planned import Plan
from daemon.ecosystems.python.fetching import PythonFetching
from daemon.ecosystems.python.files import KeptFiles
from daemon.ecosystems.python.installing import PythonInstalling
from daemon.ecosystems.python.reading import PythonReader
from daemon.ecosystems.step import StepReader
from daemon.events import Progress
from daemon.toolchains.toolchain import PythonFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonSource:
    """All that is known of a Python project before anything runs."""

    project: PythonProject
    blobs: BlobStore
    python: PythonFacts
    interpreter: Interpreter
    environment: Mapping[str, str]
    """Of every step."""
    wanted: tuple[LockedPackage, ...]
    """What is to be installed."""
    building: tuple[LockedPackage, ...]
    """What sdists among these are built with."""
    locked: bool
    """Whether the lock is whole; else it is made first."""
    scope: str
    index: str = ""
    """The index that stands in for the usual one; empty: none does."""


class PlannedPython:
    """An `InstalledProject` over uv."""

    def __init__(self, plan: Plan, source: PythonSource, application: Application) -> None:
        self._plan = plan
        self._source = source
        self._application = application

    @property
    def plan(self) -> Plan:
        """What it will do."""
        return self._plan

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of every sandbox."""
        return self._source.environment

    @property
    def fetching(self) -> PythonFetching:
        """Its lock and its files."""
        source = self._source
        return PythonFetching(
            project=source.project,
            locked=self._locked if source.locked else None,
            python=source.python,
            interpreter=source.interpreter,
            blobs=source.blobs,
            scope=source.scope,
            image_id=self._plan.toolchain.facts.image_id,
            index=source.index,
        )

    @property
    def keeping(self) -> KeptFiles:
        """Its files one by one."""
        return self.fetching.keeping

    @property
    def installing(self) -> PythonInstalling:
        """Its side that installs packages."""
        source = self._source
        return PythonInstalling(wanted=source.wanted, python=source.python, blobs=source.blobs)

    @property
    def application(self) -> Application:
        """What of the tree its image holds, and what it starts."""
        return self._application

    def lacking(self, names: Collection[str]) -> tuple["PlannedPython", ...]:
        """All wheels at once, since nothing of theirs runs; each sdist by itself, so that it can spoil nothing else."""
        wanted = [package for package in self._source.wanted if package.line in names]
        wheels = tuple(package for package in wanted if package.kind is FileKind.WHEEL)
        sdists = [(package,) for package in wanted if package.kind is FileKind.SDIST]
        return tuple(self._only(part) for part in (wheels, *sdists) if part)

    def reader(self, progress: Progress) -> StepReader:
        """Uv's words."""
        return PythonReader(progress)

    @property
    def _locked(self) -> tuple[LockedPackage, ...]:
        """All that has to be there: a file once, also where it is both."""
        files = {package.file: package for package in (*self._source.wanted, *self._source.building)}
        return tuple(files.values())

    def _only(self, wanted: tuple[LockedPackage, ...]) -> "PlannedPython":
        builds = any(package.kind is FileKind.SDIST for package in wanted)
        building = self._source.building if builds else ()
        return PlannedPython(self._plan, replace(self._source, wanted=wanted, building=building), self._application)
