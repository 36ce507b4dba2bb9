"""A workspace under any sequence of changes: after each step the image is the clean build's, digest for digest.

A few steps, always the same, are a test; `make soak STEPS=1000` takes others for as long as you like. One daemon lives
through all of them, so every walk begins in what the one before it has left. Times of files are played with as far as
a client can: they come in by the door for archives, and get no further.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.caching.foresight import Foresight, Lane
from tests.caching.harm import HARM
from tests.caching.seasons import MEMBERS_FEATURES, OUTSIDE, SOURCES, TEXTS, TURNS, Change
from tests.caching.walk import LANES, SCOPE, Step, Walk, World
from tests.caching.workshop import workshop
from tests.conftest import Leftovers

pytestmark = pytest.mark.engine

SOAK = int(os.environ.get("BLOOMERY_SOAK_STEPS", "0"))
LENGTH = 25
WALKS = 4
"""In one go: of more of them Hypothesis makes many out of earlier ones, and a soak is to see others."""
WORDS = st.sampled_from(["one", "two"])
OF_THE_TREE: st.SearchStrategy[Change] = st.one_of(
    st.tuples(st.sampled_from([*TEXTS, *SOURCES]), WORDS),
    st.sampled_from(sorted(TURNS)),
    st.sampled_from(["0.1.0", "0.2.0"]).map(lambda version: ("version", version)),
)
OF_DEPENDENCIES: st.SearchStrategy[Change] = st.sampled_from([*OUTSIDE, *MEMBERS_FEATURES])
TIMES = st.sampled_from([0, 978307200, 1_700_000_000.123456789, 4_102_444_800])
"""1970; the constant that all sources have; one with a fraction; 2100."""

KEPT: dict[str, tuple[Step, ...]] = {
    "a crate comes, moves at the bottom, loses a feature, and goes": (
        ("change", "quote"),
        ("change", "other ident", "plain quote", "polite"),
        ("back",),
        ("revert",),
    ),
    "another project has what is missing": (
        ("switch", "hedge", "itoa", "paste"),
        ("idle",),
        ("switch", "main"),
        ("harm", "workspace run", "itoa", "paste"),
        ("harm", "units lost", "itoa"),
    ),
    "what a program has is what its build script asks for": (
        ("change", "cfg-if"),
        ("change", "cfg-if", "cfg-if in a build"),
    ),
}
"""Walks of every day, and those that ever failed."""


class Walks(RuleBasedStateMachine):
    """Two branches of one project and a second project, over one daemon."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.walk = Walk(self.world)

    @rule(changes=st.lists(OF_THE_TREE, min_size=1, max_size=3))
    def edit(self, changes: list[Change]) -> None:
        self.walk.take(("change", *changes))

    @rule(
        changes=st.lists(OF_DEPENDENCIES, min_size=1, max_size=2, unique=True), more=st.lists(OF_THE_TREE, max_size=1)
    )
    def depend(self, changes: list[Change], more: list[Change]) -> None:
        self.walk.take(("change", *changes, *more))

    @rule(changes=st.lists(OF_THE_TREE | st.just("reformatted"), max_size=1))
    def look(self, changes: list[Change]) -> None:
        self.walk.take(("look", *changes))

    @rule(mtime=TIMES)
    def touch(self, mtime: float) -> None:
        self.walk.take(("touch", mtime))

    @rule(verb=st.sampled_from(["revert", "back", "back"]))
    def go_back(self, verb: str) -> None:
        self.walk.take((verb,))

    @rule(to=st.sampled_from(sorted(LANES)))
    def switch(self, to: str) -> None:
        self.walk.take(("switch", to))

    @rule(changes=st.lists(OF_THE_TREE | OF_DEPENDENCIES, max_size=1))
    def branch(self, changes: list[Change]) -> None:
        self.walk.take(("branch", *changes))

    @rule(changes=st.lists(OF_THE_TREE | OF_DEPENDENCIES, max_size=2))
    def fail(self, changes: list[Change]) -> None:
        self.walk.take(("fail", *changes))

    @rule(what=st.sampled_from(sorted(HARM)), changes=st.lists(OF_THE_TREE | OF_DEPENDENCIES, max_size=1))
    def harm(self, what: str, changes: list[Change]) -> None:
        self.walk.take(("harm", what, *changes))

    @rule()
    def idle(self) -> None:
        self.walk.take(("idle",))


def told_in_a_soak(step: str) -> None:
    """A soak takes hours, and may be stopped: each step is on the terminal at once."""
    if SOAK:
        os.write(sys.__stderr__.fileno(), f"{step}\n".encode())


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, toolchain_facts: tuple[str, bytes], leftovers: Leftovers
) -> Iterator[World]:
    """A daemon on an event loop of its own: Hypothesis calls the rules from outside of any."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        opened = AsyncExitStack()
        # A damaged crate ends an attempt, and is fetched again by the next.
        making = workshop(tmp_path_factory.mktemp("machine"), toolchain_facts, leftovers.images, attempts=3)
        shop = runner.run(opened.enter_async_context(making))
        leftovers.instances.add(shop.store.instance)
        lanes = {name: Lane(project, lineage) for name, (project, lineage) in LANES.items()}
        image, _ = toolchain_facts
        model = Foresight(store=shop.store, scope=SCOPE, toolchain=image, run=runner.run, lanes=lanes)
        try:
            yield World(shop, model, tell=told_in_a_soak)
        finally:
            runner.run(opened.aclose())


@pytest.mark.parametrize("name", KEPT)
def test_on_this_walk_every_image_is_the_clean_build_s(world: World, name: str):
    walk = Walk(world)
    for step in KEPT[name]:
        walk.take(step)


@pytest.mark.timeout(max(900, 120 * SOAK))
def test_after_any_changes_the_image_is_the_clean_build_s(world: World):
    """No shrinking: a step takes seconds, and what failed stands in the history."""
    try:
        for _ in range(max(1, SOAK // (LENGTH * WALKS))):
            run_state_machine_as_test(
                type("Branches", (Walks,), {"world": world}),
                settings=settings(
                    max_examples=WALKS if SOAK else 3,
                    stateful_step_count=LENGTH if SOAK else 5,
                    derandomize=not SOAK,
                    database=None,
                    deadline=None,
                    phases=(Phase.generate,),
                    suppress_health_check=list(HealthCheck),
                ),
            )
    finally:
        told_in_a_soak(world.told())
        assert world.failed is None, world.failed
