"""A model of the cache: which rung a build may stand on, and what of the crates from outside is compiled for it.

What is on record is looked up; whether it fits, and what a build then has to compile, is told from the states of the
trees alone. Where the model cannot tell, it says what is possible.
"""

import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cache.digest import Digest
from cache.index import LayerRecord
from cache.reuse import Rung
from cache.store import Store
from cache.workspaces import WorkspaceRecord
from daemon.units.holdings import read_holdings
from tests.caching.seasons import Exact, State, Unit
from tests.caching.workshop import Built

T = TypeVar("T")
ANYTHING_BELOW = frozenset({Rung.LAYER, Rung.UNITS, Rung.NONE})
OF_IMAGES = frozenset({Rung.RESULT, Rung.OBSERVED})


class Run(Protocol):
    """Waits on the daemon's event loop."""

    def __call__(self, asked: Coroutine[Any, Any, T]) -> T:
        """What it comes to."""
        ...


@dataclass(slots=True)
class Lane:
    """A lineage of a project."""

    project: str
    lineage: str
    held: frozenset[Unit] | None = None
    """What the last compile in its workspace named; None where that cannot be told."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a build may do; `held` is what its workspace, or the one it forks, has already of crates from outside."""

    rungs: frozenset[Rung]
    forked_from: str | None = None
    held: frozenset[Unit] | None = None


@dataclass(slots=True)
class Foresight:
    """What there is to reuse, in one trust scope."""

    store: Store
    scope: str
    toolchain: str
    """Its image's id: what a damaged record of a layer names instead."""
    run: Run
    lanes: dict[str, Lane]
    unsound: set[str] = field(default_factory=set)
    """Containers and images that somebody has meddled with."""
    spoilt: dict[Path, bytes | None] = field(default_factory=dict)
    """Files of kept crates that are damaged, or gone, and are read some day."""
    _digests: dict[Exact, Digest] = field(default_factory=dict)
    _exacts: dict[Digest, State] = field(default_factory=dict)
    _possible: set[Unit] = field(default_factory=set)
    """May be in the unit store."""
    _certain: set[Unit] = field(default_factory=set)
    """Are there, with all that they stand on."""
    _emptied_at: float = 0.0
    _built: set[Digest] = field(default_factory=set)
    """The trees whose images are kept."""

    def workspace(self, lane: Lane) -> WorkspaceRecord | None:
        """The lane's, as it is on record."""
        return self.run(self.store.workspace(self.scope, lane.project, lane.lineage))

    def layer(self, state: State) -> LayerRecord | None:
        """What is on record for the state's dependencies."""
        digest = self._digests.get(state.exact())
        return self.run(self.store.layer(digest, self.scope, state.project)) if digest else None

    def expected(self, lane: Lane, state: State) -> Expected:
        """What the next build of the lane may do where no image is reused."""
        record, below = self.workspace(lane), self._below(state)
        lower = below | ANYTHING_BELOW if self._doubtful() else below
        if record is None:
            return self._forking(lane, state, lower)
        before = self._exacts.get(record.key.digest)
        if before is None or ("optimised" in before.turns) is not ("optimised" in state.turns):
            return Expected(lower)
        holdings = read_holdings(record.holdings)
        moves = before.exact() != state.exact()
        if not self._is_sound(record) or (moves and (holdings is None or holdings.fetched is None)):
            return Expected(lower)
        standing = frozenset({Rung.WORKSPACE}) | (lower if self._doubtful() and moves else frozenset())
        return Expected(standing, held=lane.held)

    def image_kept(self, tree: Digest) -> bool:
        """Whether the image of this very tree is there."""
        return tree in self._built

    def images_forgotten(self) -> None:
        """No image is on record any more."""
        self._built.clear()

    def refuted(self, state: State, built: Built, expected: Expected) -> str | None:
        """What of a build is not as expected, if anything is."""
        units = state.units()
        outside, own = built.compiled & units.keys(), built.compiled - units.keys()
        if own - state.members():
            return f"nobody knows {own - state.members()}"
        if built.rung in OF_IMAGES:
            return f"{built.compiled} was compiled for an image that is there" if built.compiled else None
        if built.rung is not Rung.WORKSPACE and own != state.members():
            return f"of the tree only {own} was compiled"
        least, most = self._outside(state, built, expected)
        if self._doubtful() and built.rung is not Rung.LAYER:
            most = set(units)
        if not least <= outside <= most:
            return f"{outside} was compiled, which should have been at least {least} and at most {most}"
        return None

    def learn(self, lane: Lane, state: State, tree: Digest, built: Built | None) -> None:
        """A build has ended; None: it did not compile."""
        named = frozenset[Unit]().union(*state.units().values())
        record = self.workspace(lane)
        if record is not None and record.tree == tree:
            self._meet(state, record)
        if built is None:
            # What a workspace has, it still has; of what is new nobody knows how far cargo came.
            lane.held = lane.held if lane.held is not None and named <= lane.held else None
        elif built.rung not in OF_IMAGES:
            lane.held = named
        if built is not None:
            self._built.add(tree)
        self._possible |= named

    def caught_up(self) -> None:
        """All is done that waited for the answers: every layer that was cooked since is harvested."""
        for state in self._exacts.values():
            layer = self.layer(state)
            if layer is not None and layer.created_at > self._emptied_at and self.is_whole(layer):
                self._certain |= frozenset[Unit]().union(*state.units().values())

    def units_doubtful(self) -> None:
        """Some stored unit may be damaged or gone."""
        self._certain.clear()
        self._emptied_at = time.time()

    def units_gone(self) -> None:
        """The unit store is empty, and nothing waits to be harvested."""
        self.units_doubtful()
        self._possible.clear()

    def _meet(self, state: State, record: WorkspaceRecord) -> None:
        """One key for what comes from outside, and another for everything else."""
        met = self._exacts.setdefault(record.key.digest, state)
        assert met.exact() == state.exact(), f"{met} and {state} have one key"
        digest = self._digests.setdefault(state.exact(), record.key.digest)
        assert digest == record.key.digest, f"{state} has two keys"

    def _forking(self, lane: Lane, state: State, lower: frozenset[Rung]) -> Expected:
        for other in self.lanes.values():
            parent = self.workspace(other) if other.project == lane.project and other is not lane else None
            if parent is None or parent.key.digest != self._digests.get(state.exact()):
                continue
            if not self._is_sound(parent):
                return Expected(lower)
            # Where its own layer is gone it needs another one.
            perhaps = lower if self.unsound & {*self._images()} else frozenset[Rung]()
            return Expected(frozenset({Rung.WORKSPACE}) | perhaps, other.lineage, other.held)
        return Expected(lower)

    def _below(self, state: State) -> frozenset[Rung]:
        layer = self.layer(state)
        if layer is not None and self.is_whole(layer):
            return frozenset({Rung.LAYER})
        wanted = state.units().values()
        if any(units <= self._certain for units in wanted):
            return frozenset({Rung.UNITS})
        return frozenset({Rung.NONE, *([Rung.UNITS] if any(units & self._possible for units in wanted) else [])})

    def _outside(self, state: State, built: Built, expected: Expected) -> tuple[set[str], set[str]]:
        """Which packages from outside are compiled: at least, and at most."""
        units = state.units()
        match built.rung:
            case Rung.NONE:
                return set(units), set(units)
            case Rung.UNITS:
                never = {package for package, found in units.items() if not found <= self._possible}
                return never, {package for package, found in units.items() if not found <= self._certain}
            case Rung.WORKSPACE:
                if expected.held is None:
                    return set(), set(units)
                new = {package for package, found in units.items() if not found <= expected.held}
                known = expected.held | self._possible
                return {package for package in new if not units[package] <= known}, new
            case _:
                return set(), set()

    def _images(self) -> list[str]:
        return [image for image in self.unsound if image.startswith("sha256:")]

    def is_whole(self, layer: LayerRecord) -> bool:
        """Whether a build may stand on it."""
        return layer.image_id not in self.unsound and layer.image_id != self.toolchain

    def _is_sound(self, record: WorkspaceRecord) -> bool:
        return record.sandbox not in self.unsound and self.run(self.store.tree(record.tree)) is not None

    def _doubtful(self) -> bool:
        return any((path.read_bytes() if path.exists() else None) == content for path, content in self.spoilt.items())
