"""Going on in a workspace under another lock: only what is new is fetched, put in or compiled.

Stored units are put in as far as what they were compiled against is known to be there; the rest cargo compiles, and
since first-party code has run there it is not harvested (law 6): a cook of the same lock follows behind the answer.
"""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain

from cache.errors import Failure
from cache.tree import SourceTree
from cache.units import UnitRecord
from cache.workspaces import WorkspaceRecord
from daemon.ecosystems.ecosystem import CompiledProject, Move, UntrustworthyWorkspace
from daemon.ecosystems.kept import Fetched
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.compile import CompileResult, CompileStage, Left
from daemon.pipeline.fetch import FetchStage, Provisions
from daemon.pipeline.given import GivenUnits
from daemon.pipeline.layers import Layer
from daemon.units.holdings import Holdings, read_holdings

KeepHeld = Callable[[Left, Holdings], Awaitable[None]]
"""Puts a sandbox on record with what it held before its compile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A workspace as it was left, the tree that is in it, and what is stored for the new lock."""

    workspace: WorkspaceRecord
    before: SourceTree
    units: tuple[UnitRecord, ...]


class Moves:
    """Takes workspaces from one lock to another."""

    def __init__(self, *, fetch: FetchStage, compile: CompileStage, given: GivenUnits) -> None:  # noqa: A002 - the stage
        self._fetch = fetch
        self._compile = compile
        self._given = given

    async def fetched(self, project: CompiledProject, attempt: Attempt) -> Fetched:
        """All that has to be there for the new lock."""

        async def brought(provisions: Provisions) -> Fetched:
            return provisions.fetched

        return await self._fetch.supplied(project, attempt, brought)

    async def of_layer(self, project: CompiledProject, layer: Layer) -> Holdings:
        """What a workspace begins with that stands on a layer."""
        return Holdings.of_layer(layer.notes, await self._fetch.held(project.fetching))

    async def compile(
        self, project: CompiledProject, found: Found, fetched: Fetched, attempt: Attempt, keep: KeepHeld
    ) -> CompileResult:
        """Compile there; `UntrustworthyWorkspace` where that cannot be, or where units may have spoilt it."""
        holdings = read_holdings(found.workspace.holdings)
        if holdings is None or holdings.fetched is None:
            raise UntrustworthyWorkspace("it is not known what it holds")
        if holdings.fetched.archives != fetched.archives:
            raise UntrustworthyWorkspace("it has other git repositories")
        units = project.plan.units
        change = holdings.change(found.units, units.own if units else ())
        move = Move(there=holdings.fetched, wanted=fetched, stay=change.stay, put=bool(change.put))
        again = project.compiling.again(found.before, found.workspace.ledger, move)
        if again is None:
            raise UntrustworthyWorkspace("what is known of it cannot be read")
        async with self._given.placing(units, attempt) if units else nullcontext() as placing:
            if placing is not None:
                members = chain(again.step.members, placing.members(change.put))
                again = replace(again, step=replace(again.step, members=members))

            async def keep_left(left: Left) -> None:
                held = holdings.with_put(placing.placed if placing else (), change.stay)
                await keep(left, replace(held, fetched=fetched))

            try:
                result = await self._compile.again(project, found.workspace.sandbox, again, attempt, keep_left)
            except Failure as failure:
                if again.given and project.compiling.may_be_given(failure):
                    raise UntrustworthyWorkspace(f"its compile over stored units failed: {failure}") from failure
                raise
        if units is not None and placing is not None:
            await self._given.used(units, placing.placed, attempt)
        return result
