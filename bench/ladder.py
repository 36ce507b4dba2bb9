"""The reuse ladder beside its alternatives: every scenario with every contestant, seconds and the right binary.

A run that was cut off is gone on with by the same command: a walk whose samples are all there is not walked again.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from bench import figures, options
from bench.bars import verdicts
from bench.comparison import Line, lines
from bench.container import started
from bench.contestants.contestant import Contestant, Rules
from bench.contestants.roster import ROSTER
from bench.daemon_process import ROOT
from bench.edits import NoPlace
from bench.engine import CommandFailed
from bench.page_cache import read_once
from bench.picture import svg
from bench.project import Project, UnfitProject, read_project
from bench.resolver import ContainedCargo
from bench.samples import Sample, SampleFile, Store, Walk, missing
from bench.scenarios import COLD, SCENARIOS, Scenario
from bench.shipped import said_by
from bench.tables import circumstances, markdown
from bench.walk import Walker

PROJECTS = (Path("examples/hyper-hello"), Path("bench/projects/letters"), Path("bench/projects/actix-hello"))
PUBLISHED = ROOT / "docs" / "benchmarks"
OTHER_LOCKS = 20


def main() -> int:
    """Measure what is missing, and report all that was measured."""
    found = _parser().parse_args()
    signal.signal(signal.SIGTERM, _end)  # so that what is ended from outside leaves no container behind
    try:
        projects = [read_project(each.resolve()) for each in found.projects or [ROOT / each for each in PROJECTS]]
    except UnfitProject as unfit:
        print(f"ladder: {unfit}", file=sys.stderr)
        return 2
    try:
        driver = options.read(found).engine.driver
        path = found.samples or figures.RESULTS / f"ladder-{driver}.jsonl"
        file = SampleFile(path)
        whole = found.report or _measure(found, projects, file)
    except CommandFailed as failure:
        print(f"ladder: {failure}\nWhat was measured before is kept; the same command goes on.", file=sys.stderr)
        return 1
    _report(
        [each for each in file.read() if each.tried], driver, [figures.RESULTS, *([PUBLISHED] if found.publish else [])]
    )
    return 0 if whole else 1


def _end(_signal: int, _frame: object) -> None:
    sys.exit(128 + signal.SIGTERM)


def _parser() -> argparse.ArgumentParser:
    parser = options.parser(__doc__)
    add = parser.add_argument
    names = [*ROSTER, *(scenario.name for scenario in SCENARIOS)]
    add("--project", action="append", type=Path, dest="projects", metavar="DIR", help="build this instead; repeatable")
    add(
        "--only",
        action="append",
        default=[],
        choices=names,
        metavar="NAME",
        help=f"only this contestant or scenario; repeatable: {', '.join(names)}",
    )
    add("--store", type=Store, choices=list(Store), default=Store.FRESH, help="fresh, or full of other locks")
    add("--other-locks", type=int, default=OTHER_LOCKS, metavar="N", help=f"what full means (default: {OTHER_LOCKS})")
    add(
        "--samples",
        type=Path,
        metavar="FILE",
        help="where samples are appended (default: a file for each storage driver)",
    )
    add("--report", action="store_true", help="measure nothing, report what there is")
    add("--publish", action="store_true", help=f"write table, picture and JSON to {PUBLISHED.relative_to(ROOT)}, too")
    add("--prune", action="store_true", help="empty the engine's whole build cache after each Dockerfile's walk")
    add("--buildkit", default="/usr/bin/docker", metavar="PROGRAM", help="a docker program that builds with BuildKit")
    return parser


def _measure(found: argparse.Namespace, projects: Sequence[Project], file: SampleFile) -> bool:
    """Returns whether every walk came to its end."""
    asked = options.read(found)
    contestants = [name for name in ROSTER if not set(found.only) & set(ROSTER) or name in found.only]
    with tempfile.TemporaryDirectory(prefix="bloomery-bench-") as name:
        rules = Rules(asked=asked, buildkit=found.buildkit, prunes=found.prune, work=Path(name))
        user = ("--user", f"{os.getuid()}:{os.getgid()}")  # it writes into checkouts, which are this user's
        cargo = started(
            asked.engine,
            asked.toolchain,
            work=rules.work,
            ca_bundle=asked.ca_bundle,
            network=asked.network,
            environment={"CARGO_HOME": f"{rules.work}/cargo"},
            flags=user,
        )
        try:
            walker = Walker(
                work=rules.work,
                said=lambda binary: said_by(asked.engine, asked.toolchain, binary),
                resolver=ContainedCargo(cargo),
                scenarios=chosen(found.only),
                other_locks=found.other_locks if found.store is Store.FULL else 0,
                version=str(figures.machine()["version"]),
                read_once=lambda: read_once(asked.engine, (ROOT / ".venv",)),
            )
            walks = _walks(projects, contestants, found.store, asked.runs)
            return _walk_all(walker, rules, walks, file)
        finally:
            cargo.remove()


def _walk_all(walker: Walker, rules: Rules, walks: Iterable[tuple[Walk, Project]], file: SampleFile) -> bool:
    """One after another; one that fails is said and left, for a night's measurement is more than one contestant."""
    made: dict[str, Contestant | None] = {}
    whole = True
    for walk, project in walks:
        if not missing(walk, _wanted(walker.scenarios, project), file.read()):
            continue
        name = walk.contestant
        try:
            if name not in made:
                made[name] = None  # what cannot be prepared is not tried again
                made[name] = _prepared(name, rules)
            contestant = made[name]
            if contestant is not None:
                _one(walker, walk, project, contestant, file)
        except CommandFailed as failure:
            print(f"ladder: {project.name}, run {walk.run}, {name}: {failure}", file=sys.stderr, flush=True)
            whole = False
    return whole


def chosen(only: Collection[str]) -> list[Scenario]:
    """The scenarios of a walk; without a first build there is no other, so `cold` is always among them."""
    named = set(only) - set(ROSTER)
    return [each for each in SCENARIOS if not named or each.name in named or each is COLD]


def _wanted(scenarios: Sequence[Scenario], project: Project) -> list[str]:
    return [each.name for each in scenarios if project.deep is not None or not each.members]


def _walks(
    projects: Sequence[Project], contestants: Sequence[str], store: Store, runs: int
) -> Iterator[tuple[Walk, Project]]:
    """Contestants take turns, so that a slow hour of the machine is nobody's alone."""
    for run in range(1, runs + 1):
        for project in projects:
            for contestant in contestants:
                yield Walk(project=project.name, store=store, run=run, contestant=contestant), project


def _prepared(name: str, rules: Rules) -> Contestant:
    contestant = ROSTER[name](rules)
    contestant.prepare()
    return contestant


def _one(walker: Walker, walk: Walk, project: Project, contestant: Contestant, file: SampleFile) -> None:
    folder = walker.work / "checkouts"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        for sample in walker.walk(walk, project, contestant, folder):
            file.append(sample)
            _tell(sample)
    except (NoPlace, UnfitProject) as unfit:
        print(f"{project.name} cannot be measured: {unfit}", flush=True)
    finally:
        contestant.close()


def _tell(sample: Sample) -> None:
    took = "-" if sample.seconds is None else f"{sample.seconds:.2f} s"
    walk = sample.walk
    words = (walk.project, f"run {walk.run}", walk.contestant, sample.scenario, took, sample.note, sample.fault)
    print("  ".join(word for word in words if word), file=sys.stderr, flush=True)


def _report(samples: Sequence[Sample], driver: str, folders: Sequence[Path]) -> None:
    compared = lines(samples)
    judged = verdicts(compared, driver)
    document = {
        "measurement": "ladder",
        "machine": figures.machine(),
        "driver": driver,
        "samples": [asdict(sample) for sample in samples],
        "bars": [{**asdict(each), "held": each.held} for each in judged],
    }
    text = f"{circumstances(samples)}\n{markdown(compared, judged, samples)}"
    print(f"\n{text}")
    name = f"ladder-{driver}"
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        pictures = _pictures(compared, folder, name)
        (folder / f"{name}.md").write_text(f"# The ladder, {driver}\n\n{pictures}\n{text}", encoding="utf-8")
        print(f"{folder.relative_to(ROOT)}/{name}.md, {name}.json and a picture of each project")


def _pictures(compared: Sequence[Line], folder: Path, start: str) -> str:
    """Draw each project; returns the links to the pictures."""
    links = []
    for (project, store), each in groupby(compared, key=lambda line: (line.project, line.store)):
        name = f"{start}-{project}-{store}.svg"
        (folder / name).write_text(svg(list(each), f"{project}, store {store}"), encoding="utf-8")
        links.append(f"![{project}, store {store}]({name})\n")
    return "\n".join(links)


if __name__ == "__main__":
    sys.exit(main())
