"""How long a build should take: from measurements alone, and none where nothing like it was measured."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.costs import KEPT, Cost, CostKind, Measured, Way
from cache.estimates import Work, estimate
from cache.reuse import Rung
from cache.store import Store

names = st.sampled_from(["syn", "serde", "app", "util", *Rung])
seconds = st.lists(st.floats(0, 1e4), min_size=1, max_size=5).map(tuple)
measured = st.dictionaries(st.tuples(st.sampled_from(CostKind), names), seconds)
packages = st.lists(names, max_size=4, unique=True).map(tuple)
works = st.builds(Work, way=st.sampled_from([*Rung, *Way]), dependencies=packages, members=packages)
SYN, SERDE = (CostKind.DEPENDENCY, "syn"), (CostKind.DEPENDENCY, "serde")
APP = (CostKind.MEMBER, "app")
COLD, LAYER = (CostKind.REST, Rung.NONE), (CostKind.REST, Rung.LAYER)
KNOWN: Measured = {SYN: (8.0, 4.0, 6.0), SERDE: (2.0,), APP: (3.0,), COLD: (20.0,), LAYER: (2.0, 1.0)}


def work(*dependencies: str, way: Rung | Way = Rung.NONE, members: tuple[str, ...] = ("app",)) -> Work:
    return Work(way=way, dependencies=dependencies, members=members)


def test_packages_cost_their_medians_beside_what_the_rung_costs():
    assert estimate(work("syn", "serde"), KNOWN) == 20 + 6 + 2 + 3
    assert estimate(work(way=Rung.LAYER), KNOWN) == 1.5 + 3


def test_a_package_that_was_never_measured_costs_what_the_others_cost_on_average():
    assert estimate(work("syn", "tokio"), KNOWN) == 20 + 6 + (6 + 2) / 2 + 3


def test_a_rung_that_was_never_stood_on_costs_what_other_rungs_do_but_a_result_is_like_none():
    assert estimate(work("syn", way=Rung.UNITS), KNOWN) == 20 + 6 + 3
    assert estimate(work(way=Way.UNITS_ALONE), KNOWN) == 1.5 + 3
    assert estimate(work(way=Rung.WORKSPACE), KNOWN) == 1.5 + 3
    assert estimate(work(way=Rung.WORKSPACE), {APP: (3.0,), COLD: (20.0,)}) == 20 + 3
    assert estimate(work(way=Rung.RESULT, members=()), KNOWN) is None
    assert estimate(work(way=Rung.LAYER), {APP: (3.0,), (CostKind.REST, Rung.RESULT): (0.1,)}) is None


@pytest.mark.parametrize("lacking", [APP, SYN, COLD])
def test_without_anything_like_it_there_is_no_estimate(lacking: tuple[CostKind, str]):
    known = {thing: KNOWN[thing] for thing in (APP, SYN, COLD) if thing != lacking}

    assert estimate(work("syn"), known) is None


@given(first=works, measured=measured)
def test_an_estimate_is_no_less_for_more_work(first: Work, measured: Measured):
    less = Work(way=first.way, dependencies=first.dependencies[1:], members=first.members[1:])
    whole, part = estimate(first, measured), estimate(less, measured)

    assert whole is None or (part is not None and 0 <= part <= whole + 1e-6)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


async def test_measurements_are_a_scopes_and_members_are_a_projects(store: Store):
    costs = [Cost(CostKind.DEPENDENCY, "syn", 4.0), Cost(CostKind.MEMBER, "app", 3.0), Cost(CostKind.REST, "none", 9.0)]
    await store.record_costs("default", "shop", costs)

    assert await store.costs("default", "shop", ["syn", "tokio"]) == {SYN: (4.0,), APP: (3.0,), COLD: (9.0,)}
    assert await store.costs("default", "other", ["syn"]) == {SYN: (4.0,)}
    assert await store.costs("default", "shop", []) == {APP: (3.0,), COLD: (9.0,)}
    assert await store.costs("team", "shop", ["syn"]) == {}


async def test_only_the_newest_measurements_are_kept(store: Store):
    for number in range(KEPT + 3):
        await store.record_costs("default", "shop", [Cost(CostKind.DEPENDENCY, "syn", float(number))])

    assert await store.costs("default", "shop", ["syn"]) == {SYN: tuple(map(float, range(3, KEPT + 3)))}
