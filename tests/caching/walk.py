"""Steps through the states of two projects over one daemon, each of them compared with a clean build and the model.

A walk is data, so that one that ever failed is kept as it was. What the steps before have left in the cache stays for
those after, and for the next walk.
"""

import time
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cache.digest import Digest
from cache.reuse import Rung
from tests.caching.foresight import OF_IMAGES, Foresight, Lane
from tests.caching.harm import HARM, Place, mend
from tests.caching.mill import PROJECT
from tests.caching.seasons import BINARY, HEDGE, Change, State
from tests.caching.workshop import Built, Workshop, both
from tests.fakes.docker import docker
from tests.fakes.rust_projects import Files

T = TypeVar("T")
Step = tuple[object, ...]
"""A verb of `Walk`, and what it is done with."""
LANES = {"main": (PROJECT, "main"), "branch": (PROJECT, "branch"), "hedge": (HEDGE, "main")}
SCOPE = "seasons"
START = "from the start"


@dataclass(slots=True)
class World:
    """What lives through all walks."""

    shop: Workshop
    foresight: Foresight
    tell: Callable[[str], None]
    """Where each step is told of when it is gone."""
    history: list[Step] = field(default_factory=list)
    """All steps, as they can be walked again."""
    failed: str | None = None
    """What went wrong first: nothing can be repeated in a world that goes on."""
    seconds: float = 0.0
    rungs: dict[Rung, int] = field(default_factory=dict)
    _clean: dict[tuple[str, Digest], str] = field(default_factory=dict)

    async def oracle(self, state: State, tree: Digest, files: Files) -> str:
        """The digest of a clean build's image; one of a tree is enough."""
        if (state.project, tree) not in self._clean:
            clean = await self.shop.clean(files, BINARY[state.project], project=state.project)
            self._clean[state.project, tree] = clean.digest
        return self._clean[state.project, tree]

    def told(self) -> str:
        """How far it was walked."""
        steps = sum(1 for verb, *_ in self.history if verb != START)
        rungs = ", ".join(f"{count} {rung}" for rung, count in sorted(self.rungs.items()))
        pace = f"{self.seconds / max(1, steps):.1f} s each"
        return f"{steps} steps, {pace}, {len(self._clean)} trees built clean; builds on each rung: {rungs}"


class Walk:
    """One sequence of steps, from the start."""

    def __init__(self, world: World) -> None:
        world.history.append((START,))
        self._world, self._model = world, world.foresight
        self._at = "main"
        self._states = {name: State(project=project) for name, (project, _) in LANES.items()}
        self._before = dict(self._states)

    def take(self, step: Step) -> None:
        """Go one step; fails with all that was done before, and then at every step."""
        assert self._world.failed is None, self._world.failed
        self._world.history.append(step)
        verb, *given = step
        started = time.monotonic()
        try:
            getattr(self, f"_{verb}")(*given)
        except Exception as failure:
            self._world.failed = f"{failure}\n{self._at}: {self._state}\nthe steps: {self._world.history}"
            raise
        took = time.monotonic() - started
        self._world.seconds += took
        self._world.tell(f"{took:6.1f} s  {self._at}: {step}")

    def _change(self, *changes: Change) -> None:
        """The tree changes, and is built."""
        self._move(self._state.changed(changes))
        self._build()

    def _touch(self, mtime: float) -> None:
        """Every file is sent anew, with another time; then nothing at all has changed, and nothing is compiled."""
        self._told(
            self._run(self._shop.uploaded(self._state.files(), mtime=mtime)) == self._run(self._tree(self._state))
        )
        self._build()
        again = self._build()
        writes = "writing" in self._state.turns and self._state.project == PROJECT
        # What writes into its sources makes everything dirty.
        self._told(again.compiled == (self._state.members() if writes else set()))

    def _look(self, *changes: Change) -> None:
        """As `change`, where images are kept."""
        self._move(self._state.changed(changes))
        self._build(images_kept=True)

    def _revert(self) -> None:
        """Back to where every walk starts."""
        self._move(State(project=self._state.project))
        self._build()

    def _back(self) -> None:
        """Back to the state before this one: the lock A, B, A."""
        self._move(self._before[self._at])
        self._build()

    def _switch(self, to: str, *changes: Change) -> None:
        """Another lineage, or the other project; a branch has at first nothing to go on in but the other one's."""
        self._at = to
        self._move(self._state.changed(changes))
        self._build()

    def _branch(self, *changes: Change) -> None:
        """The lineage begins anew, from the state that the first one is in."""
        held = self._model.workspace(self._lane)
        if held is not None:
            self._run(self._shop.store.forget_workspace(held.sandbox))
            docker("rm", "--force", held.sandbox)
        base = self._states["main"] if self._at == "branch" else self._state
        self._move(base.changed(changes))
        self._build()

    def _fail(self, *changes: Change) -> None:
        """A build that does not compile, of which something may stay."""
        state = self._state.changed(changes)
        files = state.broken()
        with self._mended(state):
            asked = self._shop.attempt(files, BINARY[state.project], scope=SCOPE, **self._named())
            failure = self._run(asked).build.failure
            self._told(failure is not None and failure.kind == "compile_failed", failure)
            self._model.learn(self._lane, state, self._run(self._shop.tree(files)), None)

    def _harm(self, what: str, *changes: Change) -> None:
        """Something of the cache is damaged or gone; then the tree changes, and is built."""
        self._move(self._state.changed(changes))
        HARM[what](self._place(self._state))
        self._build()

    def _idle(self) -> None:
        """There is time for what waits behind the answers."""
        self._run(self._shop.idle())
        self._model.caught_up()

    def _build(self, *, images_kept: bool = False) -> Built:
        state, lane = self._state, self._lane
        files, tree = state.files(), self._run(self._tree(state))
        if not images_kept:
            self._run(self._shop.forget_results())
            self._model.images_forgotten()
        expected, kept = self._model.expected(lane, state), self._model.image_kept(tree)
        with self._mended(state):
            asked = self._shop.build(files, BINARY[state.project], scope=SCOPE, **self._named())
            built, clean = self._run(both(asked, self._world.oracle(state, tree, files)))
            self._told(built.digest == clean, "the image is another")
            images = {Rung.RESULT} if kept else OF_IMAGES - {Rung.RESULT} if images_kept else set[Rung]()
            rungs: Collection[Rung] = images if kept else images | expected.rungs
            self._told(built.rung in rungs, (built.rung, rungs, built.report.refusals))
            if built.rung is Rung.WORKSPACE:
                self._told(built.report.forked_from == expected.forked_from, built.report.forked_from)
            refuted = self._model.refuted(state, built, expected)
            self._told(refuted is None, refuted)
            self._model.learn(lane, state, tree, built)
        self._world.rungs[built.rung] = self._world.rungs.get(built.rung, 0) + 1
        return built

    @property
    def _shop(self) -> Workshop:
        return self._world.shop

    @property
    def _state(self) -> State:
        return self._states[self._at]

    @property
    def _lane(self) -> Lane:
        return self._model.lanes[self._at]

    def _run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._model.run(asked)

    def _tree(self, state: State) -> Coroutine[Any, Any, Digest]:
        return self._shop.tree(state.files())

    def _named(self) -> dict[str, str]:
        return {"project": self._lane.project, "lineage": self._lane.lineage}

    def _place(self, state: State) -> Place:
        return Place(self._shop, self._model, self._lane, state)

    def _move(self, state: State) -> None:
        self._before[self._at], self._states[self._at] = self._state, state

    @contextmanager
    def _mended(self, state: State) -> Iterator[None]:
        """Crates are damaged for one build."""
        yield
        mend(self._place(state))

    def _told(self, holds: bool, what: object = "") -> None:  # noqa: FBT001 - what an assertion is given
        assert holds, what
