"""A workspace under any sequence of changes: after each step the image is the clean build's, digest for digest.

A few steps, always the same, are a test; `make soak STEPS=1000` takes others for as long as you like. One daemon lives
through all of them, so every sequence begins in what the one before it has left.
"""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cache.reuse import Rung
from cache.workspaces import WorkspaceRecord
from tests.caching.mill import MILL, PROJECT, Mill, app_manifest, locked_as, modified, replaced
from tests.caching.workshop import both, workshop
from tests.conftest import Leftovers
from tests.fakes.docker import docker
from tests.fakes.rust_projects import Executable, Files, Link

pytestmark = pytest.mark.engine

T = TypeVar("T")

SOAK = int(os.environ.get("BLOOMERY_SOAK_STEPS", "0"))
TEXTS = (
    "README.md", "grain/README.md", "grain/side.txt", "grain/a täxt.txt", "grain/inner/src/inside.txt",
    "shared/note.txt", "shared/other.txt", "proto/api.txt", "opened.txt",
)  # fmt: skip
SOURCES = {
    "app/src/main.rs": ('"."', '"WORD"'),
    "grain/src/gone.rs": ('"gone"', '"WORD"'),
    "grain/inner/src/lib.rs": ('" "', '"WORD"'),
    "grain/build.rs": ("SIDE={}", "SIDE=WORD{}"),
    "rows/build.rs": ("API={}", "API=WORD{}"),
    "rows/src/lib.rs": ("{} {}", "{} WORD {}"),
    "macros/src/lib.rs": ("unwrap())", 'unwrap() + "WORD")'),
}
"""In each, what a word takes the place of."""
TURNS = {
    "extra": {"grain/extra": "", "grain/extra dir/with": "more"},
    "no tool": {"app/src/bin/tool.rs": None},
    "no readme": {"grain/README.md": None},
    "executable": {"grain/tool.sh": Executable("#!/bin/sh\n")},
    "elsewhere": {"app/link": Link("../elsewhere"), "elsewhere/other.txt": "far"},
    "no link": {"app/link": None, "app/link/other.txt": "near"},
    "greeting": {"bloomery.toml": '[build]\nenvironment = { GREETING = "hello" }\n'},
    "writing": {
        "rows/build.rs": 'fn main() {\n    let had = std::fs::read_to_string("made.txt").unwrap_or_default();\n'
        '    std::fs::write("made.txt", had.clone() + "x").unwrap();\n    println!("cargo:rustc-env=API={had}");\n'
        '    let out = std::env::var("OUT_DIR").unwrap() + "/made.rs";\n'
        '    std::fs::write(out, "pub const MADE: &str = \\"written\\";").unwrap();\n}\n'
    },
    "moved": {"grain/src/gone.rs": None, "grain/src/gone/mod.rs": 'pub const WORD: &str = "moved";\n'},
    "named here, too": {
        "grain/inner/src/lib.rs": 'pub fn words() -> &\'static str { include_str!("../../../proto/api.txt") }\n'
    },
}


@dataclass(frozen=True)
class State:
    """A tree, told by what it is made of."""

    texts: tuple[tuple[str, str], ...] = ()
    turns: frozenset[str] = frozenset()
    version: str = "0.1.0"

    def written(self, path: str, text: str) -> "State":
        return replace(self, texts=tuple(sorted({**dict(self.texts), path: text}.items())))

    def turned(self, turn: str) -> "State":
        return replace(self, turns=self.turns ^ {turn})

    def files(self) -> Files:
        files = modified(MILL, {"app/Cargo.toml": app_manifest(self.version), "Cargo.lock": locked_as(self.version)})
        for path, word in self.texts:
            files = modified(files, replaced(path, *_worded(path, word)) if path in SOURCES else {path: word})
        for turn in sorted(self.turns):
            files = modified(files, TURNS[turn])
        return files


def _worded(path: str, word: str) -> tuple[str, str]:
    old, new = SOURCES[path]
    return old, new.replace("WORD", word)


WORDS = st.sampled_from(["one", "two", "three"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([*TEXTS, *SOURCES]), WORDS),
        st.sampled_from(sorted(TURNS)),
        st.sampled_from(["0.1.0", "0.2.0"]).map(lambda version: ("version", version)),
    ),
    min_size=1,
    max_size=3,
)


def changed(state: State, changes: list[str | tuple[str, str]]) -> State:
    for change in changes:
        match change:
            case str(turn):
                state = state.turned(turn)
            case ("version", version):
                state = replace(state, version=version)
            case (path, word):
                state = state.written(path, word)
    return state


@dataclass(slots=True)
class World:
    """What lives through all sequences."""

    runner: asyncio.Runner
    mill: Mill
    history: list[str] = field(default_factory=list)

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        """What it comes to, on the daemon's event loop."""
        return self.runner.run(asked)

    def held(self, lineage: str) -> WorkspaceRecord | None:
        """The lineage's workspace."""
        return self.run(self.mill.shop.store.workspace(self.mill.scope, PROJECT, lineage))


class Lineages(RuleBasedStateMachine):
    """Two branches of one project, over one daemon."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.lineage = "main"
        self.trees = {"main": State(), "branch": State()}
        self.world.history.append("from the start")

    @rule(changes=CHANGES)
    def edit(self, changes: list[str | tuple[str, str]]) -> None:
        self.trees[self.lineage] = changed(self.trees[self.lineage], changes)
        self.build(f"edit {changes}")

    @rule()
    def touch(self) -> None:
        self.build("touch")

    @rule()
    def revert(self) -> None:
        self.trees[self.lineage] = State()
        self.build("revert")

    @rule()
    def switch(self) -> None:
        """The first time there is nothing to go on in but the other's."""
        self.lineage = "branch" if self.lineage == "main" else "main"
        self.build("switch")

    @rule(changes=CHANGES)
    def branch(self, changes: list[str | tuple[str, str]]) -> None:
        """The lineage begins anew, somewhere else than the other one is."""
        held = self.world.held(self.lineage)
        if held is not None:
            self.world.run(self.world.mill.shop.store.forget_workspace(held.sandbox))
            docker("rm", "--force", held.sandbox)
        self.trees[self.lineage] = changed(self.trees[self.lineage], changes)
        self.build(f"branch {changes}")

    @rule(changes=CHANGES)
    def fail(self, changes: list[str | tuple[str, str]]) -> None:
        """A build that does not compile, of which something may stay."""
        self.world.history.append(f"{self.lineage}: fail {changes}")
        state = changed(self.trees[self.lineage], changes)
        broken = modified(state.files(), {"rows/src/lib.rs": "pub fn words() -> String { nothing() }\n"})
        kind = self.world.run(self.world.mill.fails(broken, lineage=self.lineage))
        assert kind == "compile_failed", self.world.history

    @rule()
    def lose(self) -> None:
        """Somebody takes the workspace away."""
        held = self.world.held(self.lineage)
        if held is not None:
            docker("rm", "--force", held.sandbox)
        self.build("lose", expected=Rung.LAYER if held else None)

    def build(self, step: str, expected: Rung | None = None) -> None:
        self.world.history.append(f"{self.lineage}: {step}")
        files = self.trees[self.lineage].files()
        mill, run = self.world.mill, self.world.run
        run(mill.shop.forget_results())
        held = self.world.held(self.lineage)
        (other,) = self.trees.keys() - {self.lineage}
        parent = other if self.world.held(other) and not held else None
        built, clean = run(both(mill.build(files, lineage=self.lineage), mill.oracle(files)))
        assert built.rung is (expected or (Rung.WORKSPACE if held or parent else Rung.LAYER)), self.world.history
        assert built.report.forked_from == parent, self.world.history
        assert built.digest == clean.digest, self.world.history
        if step == "touch":
            run(mill.shop.forget_results())
            again = run(mill.build(files, lineage=self.lineage))
            assert again.compiled == _always_compiled(self.trees[self.lineage]), self.world.history
            assert again.digest == clean.digest, self.world.history


def _always_compiled(state: State) -> set[str]:
    """What writes into its sources makes everything dirty."""
    everyone = {f"app {state.version}", *(f"{name} 0.1.0" for name in ("grain", "inner", "macros", "rows"))}
    return everyone if "writing" in state.turns else set()


@pytest.fixture
def world(
    tmp_path_factory: pytest.TempPathFactory, toolchain_facts: tuple[str, bytes], leftovers: Leftovers
) -> Iterator[World]:
    """A daemon on an event loop of its own: Hypothesis calls the rules from outside of any."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        opened = AsyncExitStack()
        making = workshop(tmp_path_factory.mktemp("machine"), toolchain_facts, leftovers.images)
        shop = runner.run(opened.enter_async_context(making))
        leftovers.instances.add(shop.store.instance)
        try:
            made = World(runner, Mill(shop, "machine"))
            runner.run(made.mill.build(MILL))
            yield made
        finally:
            runner.run(opened.aclose())


@pytest.mark.timeout(max(900, 60 * SOAK))
def test_after_any_changes_the_image_is_the_clean_build_s(world: World):
    """No shrinking: a step takes seconds, and what failed stands in the history."""
    run_state_machine_as_test(
        type("Branches", (Lineages,), {"world": world}),
        settings=settings(
            max_examples=max(1, SOAK // 25) if SOAK else 3,
            stateful_step_count=25 if SOAK else 6,
            derandomize=not SOAK,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
