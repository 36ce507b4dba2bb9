"""Workspaces: the stopped container of a lineage's last compile, in which its next one goes on.

A workspace that a build takes is on no record until it is kept again, so whatever ends that build (a crash, a kill, an
engine that starts again) leaves one that is discarded, never guessed about. Their number and size are bounded; what is
least worth its bytes goes first.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from cache.keys import Key
from cache.reuse import Standing, WhyNot
from cache.workspaces import WorkspaceRecord
from daemon.builds import DEFAULT_LINEAGE, BuildRequest
from daemon.engine.engine import SandboxState
from daemon.engine.settled import settled, to_the_end
from daemon.keyed_locks import KeyedLocks
from daemon.pipeline.sandboxes import BuildSandboxes


class Unforkable(Exception):  # noqa: N818 - reads as what it says
    """Why a workspace cannot be forked; the next rung is taken."""

    def __init__(self, why: WhyNot, detail: str) -> None:
        super().__init__(detail)
        self.why = why


Lineage = tuple[str, str, str]
"""Scope, project, lineage."""
_STOPPED = "exited"
_HALF_LIFE = 86400.0
"""Seconds after which a workspace that nobody used is worth half."""


class WorkspaceRecords(Protocol):
    """Where workspaces are remembered."""

    async def take_workspace(self, scope: str, project: str, lineage: str) -> WorkspaceRecord | None:
        """Remove and return the lineage's workspace: of several takers, one gets it."""
        ...

    async def workspace(self, scope: str, project: str, lineage: str) -> WorkspaceRecord | None:
        """The lineage's workspace, which stays."""
        ...

    async def parent_workspace(
        self, scope: str, project: str, lineage: str, key: Key, preferred: str
    ) -> WorkspaceRecord | None:
        """The one that this lineage would fork, which stays; with this exact key if there is such a one."""
        ...

    async def record_workspace(self, workspace: WorkspaceRecord) -> None:
        """Keep one, in place of the lineage's older one."""
        ...

    async def forget_workspace(self, sandbox: str) -> None:
        """Drop the one that is this container."""
        ...

    async def workspaces(self) -> tuple[WorkspaceRecord, ...]:
        """All that are not in use."""
        ...


class SandboxStates(Protocol):
    """What the engine says of a container."""

    async def sandbox(self, sandbox: str) -> SandboxState | None:
        """Its state; None where it is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceBounds:
    """How many workspaces there may be, and how many bytes they may have together."""

    count: int = 16
    size: int = 20 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The lineage whose workspace a new lineage's first one can be a copy of; absent where it has another key."""

    lineage: str
    standing: Standing
    workspace: WorkspaceRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowed:
    """A workspace that nobody runs as long as it is borrowed, and the image that it stands on."""

    workspace: WorkspaceRecord
    image_id: str


class Workspaces:
    """Lends a lineage's workspace to one build at a time."""

    def __init__(self, *, records: WorkspaceRecords, states: SandboxStates, bounds: WorkspaceBounds) -> None:
        self._records = records
        self._states = states
        self._bounds = bounds
        self._lent: set[Lineage] = set()
        self._read = KeyedLocks()
        """Held by whoever copies a workspace, and by the build that takes it."""
        self._keeping = asyncio.Lock()
        """Two builds of one lineage may end at once: one of their containers stays."""

    async def find(self, lineage: Lineage) -> tuple[Standing, WorkspaceRecord | None]:
        """Whether there is one; the engine is asked only when it is taken."""
        if lineage in self._lent:
            return Standing.BUSY, None
        record = await self._records.workspace(*lineage)
        return (Standing.HELD if record else Standing.ABSENT), record

    @asynccontextmanager
    async def taken(self, lineage: Lineage, sandboxes: BuildSandboxes) -> AsyncIterator[WorkspaceRecord | None]:
        """The workspace, for this build alone, removed at the end unless it was kept.

        None where another build has it, where it is gone, or where it is not as it was left.
        """
        if lineage in self._lent:
            yield None
            return
        self._lent.add(lineage)
        try:
            async with self._read.hold(lineage):
                record = await settled(self._records.take_workspace(*lineage), undo=self._put_back)
                if record is None:
                    yield None
                    return
                async with sandboxes.adopted(record.sandbox):
                    yield record if await self._is_sound(record) else None
        finally:
            self._lent.discard(lineage)

    async def parent_of(self, lineage: Lineage, named: str | None, key: Key) -> Parent | None:
        """Whose workspace this lineage, which has none, would fork; `key` is the exact one that it needs.

        The named lineage's alone, or one with this key, `main`'s before others; the engine is asked when it is copied.
        """
        scope, project, own = lineage
        if named is not None:
            standing, found = await self.find((scope, project, named))
            return _parent(named, standing, found, key) if named != own else None
        nearest = await self._records.parent_workspace(*lineage, key, DEFAULT_LINEAGE)
        if nearest is not None and nearest.key.digest == key.digest:
            return _parent(nearest.lineage, Standing.HELD, nearest, key)
        lent = {name for *whose, name in self._lent if whose == [scope, project]} - {own}
        if lent:
            busy = DEFAULT_LINEAGE if DEFAULT_LINEAGE in lent else min(lent)
            return Parent(lineage=busy, standing=Standing.BUSY)
        return _parent(nearest.lineage, Standing.HELD, nearest, key) if nearest is not None else None

    @asynccontextmanager
    async def borrowed(self, lineage: Lineage) -> AsyncIterator[Borrowed]:
        """The workspace of a lineage, to be read and not run; whoever wants to build in it waits until then.

        It stays on record, so that however the block ends it is what it was. Raises `Unforkable` where a build has it,
        and where it is not, or at the end of the block no longer is, as it was left.
        """
        if lineage in self._lent:
            raise Unforkable(WhyNot.BUSY, "another build is using it")
        async with self._read.hold(lineage):
            record = await self._records.workspace(*lineage)
            if record is None:
                raise Unforkable(WhyNot.PRUNED, "it is gone")
            yield Borrowed(workspace=record, image_id=(await self._sound(record)).image_id)
            await self._sound(record)

    async def keep(self, workspace: WorkspaceRecord, sandboxes: BuildSandboxes) -> None:
        """Put a stopped container on record as its lineage's workspace; a cancellation waits for that."""
        if self._bounds.count > 0 and workspace.size <= self._bounds.size:
            await to_the_end(self._keep(workspace, sandboxes))

    async def _keep(self, workspace: WorkspaceRecord, sandboxes: BuildSandboxes) -> None:
        state = await self._states.sandbox(workspace.sandbox)
        if state is None or state.state != _STOPPED:
            return
        async with self._keeping:
            older = await self._records.take_workspace(workspace.scope, workspace.project, workspace.lineage)
            await self._records.record_workspace(replace(workspace, generation=state.generation))
            sandboxes.keep(workspace.sandbox)
            if older is not None and older.sandbox != workspace.sandbox:
                await sandboxes.remove(older.sandbox)
            held = [one for one in await self._records.workspaces() if one.sandbox != workspace.sandbox]
            left = WorkspaceBounds(count=self._bounds.count - 1, size=max(0, self._bounds.size - workspace.size))
            for evicted in surplus(held, left, time.time()):
                await self._records.forget_workspace(evicted.sandbox)
                await sandboxes.remove(evicted.sandbox)

    async def _put_back(self, record: WorkspaceRecord | None) -> None:
        if record is not None:
            await self._records.record_workspace(record)

    async def _sound(self, record: WorkspaceRecord) -> SandboxState:
        state = await self._states.sandbox(record.sandbox)
        if state is None:
            raise Unforkable(WhyNot.PRUNED, "its container is gone")
        if state.state != _STOPPED or state.generation != record.generation:
            raise Unforkable(WhyNot.DAMAGED, "somebody else has run it")
        return state

    async def _is_sound(self, record: WorkspaceRecord) -> bool:
        state = await self._states.sandbox(record.sandbox)
        return state is not None and state.state == _STOPPED and state.generation == record.generation


def _parent(lineage: str, standing: Standing, found: WorkspaceRecord | None, key: Key) -> Parent:
    if found is not None and found.key.digest != key.digest:
        standing = Standing.ABSENT
    return Parent(lineage=lineage, standing=standing, workspace=found)


def lineage_of(request: BuildRequest, project: str) -> Lineage:
    """Whose workspace a build may take."""
    return request.scope, project, request.lineage


def surplus(held: Sequence[WorkspaceRecord], bounds: WorkspaceBounds, now: float) -> Iterator[WorkspaceRecord]:
    """What is beyond the bounds, the least valuable first: cost to make again times likelihood of use, by the byte."""

    def value(one: WorkspaceRecord) -> float:
        halvings = max(0.0, now - one.used_at) / _HALF_LIFE
        return one.seconds * math.pow(0.5, halvings) / max(one.size, 1)

    count, size = len(held), sum(one.size for one in held)
    for one in sorted(held, key=value):
        if count <= bounds.count and size <= bounds.size:
            return
        count, size = count - 1, size - one.size
        yield one
