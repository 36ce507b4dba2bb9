"""Walks with contestants made of paper: one that looks at contents, and one that believes in times."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.checkout import Resolver
from bench.contestants.contestant import Built, Order
from bench.engine import CommandFailed
from bench.ladder import chosen
from bench.project import read_project
from bench.samples import Sample, Store, Walk
from bench.scenarios import SCENARIOS, Scenario
from bench.walk import Walker

WALK = Walk(project="app", store=Store.FRESH, run=1, contestant="paper")


def compiled(order: Order) -> str:
    """What a program of these sources would say, read from its sources alone."""
    lines = []
    text = (order.project.root / order.project.main).read_text()
    mark = text.partition('"mark-')[2][:6]
    lines.append(f"bench-mark mark-{mark} version {order.project.version}")
    if order.project.deep is not None:
        (library,) = order.project.deep.libraries
        lines.append("bench-member mark-" + (order.project.root / library).read_text().partition("mark-")[2][:6])
    return "\n".join(lines)


@dataclass
class Paper:
    """A contestant without a cache, so it is right."""

    name: str = "paper"
    orders: list[tuple[str, str, str]] = field(default_factory=list)
    resets: int = 0

    def prepare(self) -> None:
        pass

    def reset(self) -> None:
        self.orders.clear()
        self.resets += 1

    def build(self, order: Order) -> Built:
        self.orders.append((order.line, order.lineage, order.project.package.name))
        order.binary.write_text(compiled(order))
        return Built(seconds=float(len(self.orders)))

    def settle(self) -> float:
        return 0.0

    def close(self) -> None:
        pass


@dataclass
class Stale(Paper):
    """Compiles only what is newer than what it compiled last, as cargo does."""

    newest: dict[str, tuple[int, str]] = field(default_factory=dict)

    def build(self, order: Order) -> Built:
        built = super().build(order)
        root = order.project.root
        mtime = max(file.stat().st_mtime_ns for file in root.rglob("*") if file.is_file())
        known = self.newest.get(str(root))
        if known is not None and mtime <= known[0]:
            order.binary.write_text(known[1])
        else:
            self.newest[str(root)] = (mtime, compiled(order))
        return built


@dataclass
class Broken(Paper):
    """Cannot build."""

    def build(self, order: Order) -> Built:
        raise CommandFailed(f"no {order.project.binary}")


Walked = Callable[..., dict[str, Sample]]


@pytest.fixture
def walked(tmp_path: Path, cargo: Resolver) -> Walked:
    def walk(root: Path, contestant: Paper, *only: str, other_locks: int = 0) -> dict[str, Sample]:
        work = tmp_path / "work"
        work.mkdir()
        walker = Walker(
            read_once=lambda: None,
            work=work,
            resolver=cargo,
            said=Path.read_text,
            scenarios=chosen(only),
            other_locks=other_locks,
            version="v1",
            pause=0,
        )
        return {sample.scenario: sample for sample in walker.walk(WALK, read_project(root), contestant, work / "all")}

    return walk


def names(scenarios: Iterator[Scenario]) -> list[str]:
    return [scenario.name for scenario in scenarios]


def test_every_scenario_is_walked_in_a_workspace(walked: Walked, workspace: Path):
    found = walked(workspace, Paper())

    assert list(found) == names(iter(SCENARIOS))
    assert [sample.fault for sample in found.values()] == [""] * len(SCENARIOS)


def test_a_crate_alone_has_no_member_to_edit(walked: Walked, crate: Path):
    assert list(walked(crate, Paper())) == names(each for each in SCENARIOS if not each.members)


def test_a_scenario_that_cannot_be_says_so_and_the_walk_goes_on(walked: Walked, crate: Path):
    lock = crate / "Cargo.lock"
    lock.write_text(lock.read_text().replace("bytes", "bits"))
    found = walked(crate, Paper(), "moved", "branch")

    assert list(found) == ["cold", "moved", "branch"]
    assert (found["moved"].seconds, found["moved"].fault) == (None, "")
    assert found["moved"].note.startswith("cannot be tried: bytes")


def test_a_binary_of_older_sources_is_seen(walked: Walked, crate: Path):
    found = walked(crate, Stale())

    assert {name for name, sample in found.items() if sample.fault} >= {"equal-mtime", "older-mtime"}
    assert not found["leaf"].fault
    assert "it says bench-mark mark-" in found["equal-mtime"].fault


def test_one_scenario_alone_has_what_must_be_built_before_it(walked: Walked, crate: Path):
    paper = Paper()
    found = walked(crate, paper, "lock-back")

    assert list(found) == ["cold", "lock-back"]
    assert len(paper.orders) == 3


def test_branch_and_second_project_are_told_apart(walked: Walked, crate: Path):
    paper = Paper()
    walked(crate, paper, "branch", "second")

    assert paper.orders == [
        ("app", "main", "app"),
        ("app", "branch", "app"),
        ("app-second", "main", "app-second"),
    ]


def test_a_full_store_has_seen_other_locks_before_the_first_build(walked: Walked, crate: Path):
    paper = Paper()
    found = walked(crate, paper, "nothing", other_locks=3)

    assert [line for line, _, _ in paper.orders] == ["other-0", "other-1", "other-2", "app", "app"]
    assert len({binary for _, _, binary in paper.orders[:3]}) == 3
    assert not found["cold"].fault


def test_a_contestant_that_cannot_build_ends_its_walk_with_its_words(walked: Walked, crate: Path):
    found = walked(crate, Broken())

    assert list(found) == ["cold"]
    assert found["cold"].seconds is None
    assert "no app" in found["cold"].fault
