"""A planned cargo project, and its sides that fetch, cook and compile."""

from collections.abc import Mapping

from daemon.ecosystems.ecosystem import Compiling, Cooking, Fetching
from daemon.ecosystems.kept import Keeping
from daemon.ecosystems.planned import Plan
from daemon.ecosystems.rust.compiling import RustCompiling
from daemon.ecosystems.rust.cooking import RustCooking
from daemon.ecosystems.rust.fetching import RustFetching
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.rust.source import RustSource
from daemon.ecosystems.step import StepReader
from daemon.events import Progress


class RustProject:
    """A `CompiledProject` over cargo."""

    def __init__(self, plan: Plan, source: RustSource, fetching: RustFetching) -> None:
        self._plan = plan
        self._source = source
        self._fetching = fetching

    @property
    def plan(self) -> Plan:
        """What it will do."""
        return self._plan

    @property
    def environment(self) -> Mapping[str, str]:
        """What every step of its has."""
        return self._source.environment

    @property
    def fetching(self) -> Fetching:
        """Its side that needs the network."""
        return self._fetching

    @property
    def keeping(self) -> Keeping:
        """Its crates one by one."""
        return self._fetching.keeping

    @property
    def cooking(self) -> Cooking:
        """Its side that compiles dependencies."""
        return RustCooking(self._plan, self._source)

    @property
    def compiling(self) -> Compiling:
        """Its side that compiles the sources."""
        return RustCompiling(self._plan, self._source)

    def reader(self, progress: Progress) -> StepReader:
        """Cargo's messages."""
        return CargoReader(progress, self._plan.link)
