"""One contestant's walk through the scenarios of one project: change, build, judge, one sample after another."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.checkout import Checkout, Resolver
from bench.contestants.contestant import Built, Contestant, Order
from bench.correctness import fault
from bench.edits import NoPlace, mark_of
from bench.engine import CommandFailed
from bench.project import Project, UnfitProject
from bench.samples import Sample, Walk
from bench.scenarios import COLD, OTHERS, Place, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Walker:
    """What all walks have in common."""

    work: Path
    """Where a contestant puts the binary."""
    resolver: Resolver
    said: Callable[[Path], str]
    """What a binary says when it is asked for its marks."""
    scenarios: Sequence[Scenario]
    other_locks: int
    """How many other locks a full store has seen."""
    version: str
    read_once: Callable[[], None]
    """Reads what a build reads, so that it begins with it in memory."""
    pause: float = 2.5
    """Seconds between a change and its build: to some clients a file counts as known when it is not new any more."""

    def walk(self, walk: Walk, project: Project, contestant: Contestant, folder: Path) -> Iterator[Sample]:
        """Walk in an empty folder of the work folder; a scenario that cannot be has a sample that says so."""
        marks = map(mark_of, itertools.count(1))
        contestant.reset()
        for number, other in zip(range(self.other_locks), self._others(project, folder, marks), strict=False):
            self._build(contestant, other, f"other-{number}")
            contestant.settle()
        checkout = Checkout.of(project, folder / project.name, marks)
        for scenario in self.scenarios:
            if scenario.members and project.deep is None:
                continue
            try:
                sample = self._step(walk, scenario, contestant, checkout)
            except (NoPlace, UnfitProject) as error:
                sample = Sample(walk=walk, scenario=scenario.name, seconds=None, note=f"cannot be tried: {error}")
            yield sample
            if scenario is COLD and sample.seconds is None:
                return

    def _step(self, walk: Walk, scenario: Scenario, contestant: Contestant, checkout: Checkout) -> Sample:
        if scenario.before is not None:
            lock = checkout.folder / "Cargo.lock"
            known = lock.read_bytes()
            scenario.before(checkout, self.resolver)
            if lock.read_bytes() != known:
                self._build(contestant, checkout, checkout.project.name)
                contestant.settle()
        place, line = checkout, checkout.folder.name
        if scenario.place is Place.BRANCH:
            place = checkout.branch(checkout.folder.with_name(f"{line}-branch"), "branch")
        elif scenario.place is Place.PROJECT:
            place = checkout.branch(checkout.folder.with_name(f"{line}-second"), "main")
            line = place.folder.name
        scenario.change(place, self.resolver)
        self.read_once()
        time.sleep(self.pause)
        load = os.getloadavg()[0]
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        told = {"walk": walk, "scenario": scenario.name, "load": load, "at": at, "version": self.version}
        try:
            built, wrong = self._build(contestant, place, line)
        except CommandFailed as failure:
            return Sample(**told, seconds=None, fault=f"did not build: {str(failure)[-1500:]}")
        return Sample(
            **told,
            seconds=built.seconds,
            cargo_seconds=built.cargo_seconds,
            fault=wrong,
            note=built.note,
            image_bytes=built.image_bytes,
            behind=contestant.settle(),
        )

    def _build(self, contestant: Contestant, checkout: Checkout, line: str) -> tuple[Built, str]:
        """Build, and judge what was shipped."""
        binary = self.work / "shipped"
        binary.unlink(missing_ok=True)
        order = Order(project=checkout.project, line=line, lineage=checkout.lineage, binary=binary)
        built = contestant.build(order)
        return built, fault(checkout.expected, self.said(binary))

    def _others(self, project: Project, folder: Path, marks: Iterator[str]) -> Iterator[Checkout]:
        """Projects that differ from this one in a dependency, each from all others."""
        lock = (project.root / "Cargo.lock").read_text(encoding="utf-8")
        for name, version in OTHERS.items():
            if f'name = "{name}"' not in lock:
                made = Checkout.of(project, folder / f"other-{name}", marks)
                made.rename(self.resolver, f"{project.package.name}-{name.replace('_', '-')}")
                made.add_dependency(self.resolver, {name: version})
                yield made
