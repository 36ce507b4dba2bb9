"""A lineage's first workspace, made of another lineage's: a new sandbox of the same layer, and a copy of its artefacts.

The parent is only read, and is free as soon as it is copied. The copy stays within one project and trust scope, as the
parent's own next build would (law 4). What cannot be copied, or is not as it was left, is a slower build (law 9).
"""

import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from cache.digest import Digest
from cache.index import LayerRecord
from cache.reuse import WhyNot
from cache.tree import SourceTree
from daemon.builds import StageName
from daemon.ecosystems.ecosystem import CompiledProject
from daemon.ecosystems.planned import Plan
from daemon.ecosystems.step import Fork, Recompile
from daemon.engine.engine import Images, Sandboxes
from daemon.errors import EngineRefused, EngineUnavailable, ImageGone, SandboxGone
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.cook import is_layer
from daemon.pipeline.copying import Artefacts, UnsoundArtefacts, copied
from daemon.pipeline.workspaces import Borrowed, Unforkable, Workspaces
from daemon.units.cook import CookNotes
from daemon.units.holdings import Holdings, read_holdings
from daemon.units.layout import UnitId


class Known(Protocol):
    """What is on record."""

    async def tree(self, digest: Digest) -> SourceTree | None:
        """A tree that was uploaded."""
        ...

    async def layer(self, key: Digest, scope: str, project: str = "") -> LayerRecord | None:
        """The layer of this exact key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked:
    """A sandbox to compile in as in the parent, and what making the parent from nothing would cost in seconds."""

    sandbox: str
    again: Recompile
    seconds: float
    holdings: Holdings
    """The parent's: its artefacts are here, and its lock is this one."""
    copying: float
    """Seconds that the copy took, without what it waited for its turn."""


@dataclass(frozen=True, slots=True)
class _Base:
    """The image that a fork stands on, and the units that need no copy because it has them."""

    image_id: str
    held: frozenset[UnitId] = frozenset()


class Forks:
    """Copies workspaces."""

    def __init__(self, *, workspaces: Workspaces, known: Known, engine: Sandboxes, images: Images) -> None:
        self._workspaces = workspaces
        self._known = known
        self._engine = engine
        self._images = images

    @asynccontextmanager
    async def forked(self, project: CompiledProject, parent: str, attempt: Attempt) -> AsyncIterator[Forked]:
        """A fork of this lineage's workspace; removed at the end unless it was kept. Raises `Unforkable`."""
        lineage = (attempt.request.scope, project.plan.project, parent)
        async with AsyncExitStack() as stack:
            async with attempt.progress.stage(StageName.FORK), self._workspaces.borrowed(lineage) as borrowed:
                started = time.monotonic()
                fork = await self._fork(project, borrowed)
                base = await self._base(project.plan, attempt.request.scope, borrowed)
                sandbox = await self._created(base, fork, attempt, stack)
                await self._copy(borrowed, _artefacts(project.plan, fork, base), sandbox)
                copying = time.monotonic() - started
            copied_of = borrowed.workspace
            holdings = read_holdings(copied_of.holdings) or Holdings()
            yield Forked(
                sandbox=sandbox, again=fork.again, seconds=copied_of.seconds, holdings=holdings, copying=copying
            )

    async def _fork(self, project: CompiledProject, borrowed: Borrowed) -> Fork:
        workspace = borrowed.workspace
        if workspace.key.digest != project.plan.exact.digest:
            raise Unforkable(WhyNot.PRUNED, "it is another one by now")
        before = await self._known.tree(workspace.tree)
        fork = project.compiling.forked(before, workspace.ledger) if before else None
        if fork is None:
            raise Unforkable(WhyNot.DAMAGED, "what is known of it cannot be read")
        return fork

    async def _base(self, plan: Plan, scope: str, borrowed: Borrowed) -> _Base:
        """The parent's own layer; else the one that there is now, whose units are not the ones compiled against."""
        record = await self._known.layer(plan.exact.digest, scope, plan.project)
        if await self._is_layer(borrowed.image_id, plan):
            same = record is not None and record.image_id == borrowed.image_id
            holdings = read_holdings(borrowed.workspace.holdings) or Holdings()
            return _Base(borrowed.image_id, _units(record, holdings) if record is not None and same else frozenset())
        if record is not None and await self._is_layer(record.image_id, plan):
            return _Base(record.image_id)
        raise Unforkable(WhyNot.PRUNED, "the layer that it needs is gone")

    async def _is_layer(self, image_id: str, plan: Plan) -> bool:
        image = await self._images.inspect(image_id)
        return image is not None and is_layer(image, plan.exact.digest)

    async def _created(self, base: _Base, fork: Fork, attempt: Attempt, stack: AsyncExitStack) -> str:
        environment = fork.again.step.environment
        try:
            return await stack.enter_async_context(attempt.sandboxes.sandbox("compile", base.image_id, environment))
        except ImageGone as error:
            raise Unforkable(WhyNot.PRUNED, str(error)) from error

    async def _copy(self, borrowed: Borrowed, artefacts: Artefacts, sandbox: str) -> None:
        try:
            archive = self._engine.get(borrowed.workspace.sandbox, artefacts.directory)
            async with aclosing(copied(archive, artefacts)) as pieces:
                await self._engine.put(sandbox, pieces)
        except (SandboxGone, FileNotFoundError) as error:
            raise Unforkable(WhyNot.PRUNED, str(error)) from error
        except (UnsoundArtefacts, EngineRefused, EngineUnavailable) as error:
            # An engine that is away altogether ends the next step; here it may have broken off over the parent alone.
            raise Unforkable(WhyNot.DAMAGED, str(error)) from error


def _units(layer: LayerRecord, holdings: Holdings) -> frozenset[UnitId]:
    """What a layer has of packages from outside, as its cook's messages named them, and is so in the parent, too."""
    try:
        notes = msgspec.json.decode(layer.cook, type=CookNotes)
    except msgspec.DecodeError:
        return frozenset()
    given = {each.unit: each.digest for each in notes.given}
    same = {each.unit for each in holdings.units if each.sound and each.digest in {None, given.get(each.unit)}}
    return frozenset(live.unit for live in notes.live if live.unit in same)


def _artefacts(plan: Plan, fork: Fork, base: _Base) -> Artefacts:
    held: Collection[UnitId] = frozenset() if fork.remade or plan.units is None else base.held
    unit_of: Callable[[str], UnitId | None] = plan.units.layout.unit_of if plan.units is not None else lambda _: None

    def wanted(path: str) -> bool:
        own = any(path == name or path.startswith(f"{name}/") for name in fork.left_out)
        return not own and unit_of(path) not in held

    return Artefacts(directory=fork.directory, wanted=wanted, time=fork.time)
