"""What a compile stands on, the best that proves sound: the lineage's workspace, a layer, stored units, or a new layer.

Something that turns out gone or damaged is discarded and the next rung taken, with a note: a slower build, never a
wrong one (law 9).
"""

import time
from typing import Protocol

from cache.costs import Way
from cache.digest import Digest
from cache.reuse import Refusal, Rung, WhyNot
from cache.tree import SourceTree
from cache.workspaces import WorkspaceRecord
from daemon.ecosystems.ecosystem import UntrustworthyLayer, UntrustworthyWorkspace
from daemon.errors import FetchFailed, SandboxGone
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.compilation import Compilation, Planned
from daemon.pipeline.compile import CompileResult, CompileStage, Left
from daemon.pipeline.expectations import Expectations
from daemon.pipeline.fork import Forks
from daemon.pipeline.ladder import Ladder
from daemon.pipeline.later import LaterLayers
from daemon.pipeline.layers import Layers
from daemon.pipeline.moves import Found, KeepHeld, Moves
from daemon.pipeline.over_layer import CompiledOverLayer, OverLayer
from daemon.pipeline.over_units import KeepFor, OverUnits
from daemon.pipeline.reusable import Reusable
from daemon.pipeline.underway import Underway
from daemon.pipeline.workspaces import Unforkable, Workspaces, lineage_of
from daemon.units.holdings import Holdings, read_holdings, write_holdings


class Trees(Protocol):
    """The source trees of earlier builds."""

    async def tree(self, digest: Digest) -> SourceTree | None:
        """A tree that was uploaded."""
        ...


class Grounds:
    """Compiles, on the best ground that holds."""

    def __init__(
        self,
        *,
        ladder: Ladder,
        layers: Layers,
        compile: CompileStage,  # noqa: A002 - the stage's name
        over_units: OverUnits,
        over_layer: OverLayer,
        later: LaterLayers,
        moves: Moves,
        workspaces: Workspaces,
        forks: Forks,
        trees: Trees,
        underway: Underway,
        expectations: Expectations,
    ) -> None:
        self._expectations = expectations
        self._ladder = ladder
        self._layers = layers
        self._compile = compile
        self._over_units = over_units
        self._over_layer = over_layer
        self._later = later
        self._moves = moves
        self._workspaces = workspaces
        self._forks = forks
        self._trees = trees
        self._underway = underway

    async def compile(self, planned: Planned, attempt: Attempt) -> Compilation:
        """Compile once, or again on lower ground."""
        if planned.reusable.choice.rung is not Rung.WORKSPACE:
            return await self._below_workspace(planned, planned.reusable, attempt)
        parent = planned.reusable.forked_from
        done = await (
            self._in_workspace(planned, attempt) if parent is None else self._forked(planned, parent, attempt)
        )
        if isinstance(done, Compilation):
            return done
        await attempt.sandboxes.removed()
        reusable = await self._ladder.below_workspace(planned.plan, attempt.request, planned.reusable, done)
        return await self._below_workspace(planned, reusable, attempt)

    async def after_build(self, build: str) -> None:
        """Do what waits for the end of this build, however it ended."""
        await self._layers.after_build(build)
        self._later.after_build(build)

    async def _in_workspace(self, planned: Planned, attempt: Attempt) -> Compilation | WhyNot:
        lineage = lineage_of(attempt.request, planned.plan.project)
        expected = planned.reusable.workspace
        moves = expected is not None and expected.key.digest != planned.plan.exact.digest
        # Before the workspace is taken: a fetch that fails does not cost it.
        fetched = await self._moves.fetched(planned.compiled, attempt) if moves else None
        async with self._workspaces.taken(lineage, attempt.sandboxes) as workspace:
            if workspace is None or expected is None or workspace.key.digest != expected.key.digest:
                attempt.progress.note("The workspace of this lineage is in use or gone; compiling over the layer.")
                return WhyNot.PRUNED
            before = await self._trees.tree(workspace.tree)
            if before is None:
                attempt.progress.note("What is known of the lineage's workspace cannot be read; it is discarded.")
                return WhyNot.DAMAGED

            async def keep(left: Left, holdings: Holdings) -> None:
                if moves:
                    # Also of sources that do not compile: who forks it needs the layer.
                    self._later.owe(planned.compiled, attempt)
                await self._keep(workspace.seconds, planned, left, attempt, holdings)

            started = time.monotonic()
            try:
                if fetched is None:
                    result = await self._as_it_is(planned, workspace, before, attempt, keep)
                else:
                    found = Found(workspace=workspace, before=before, units=planned.reusable.units)
                    result = await self._moves.compile(planned.compiled, found, fetched, attempt, keep)
                    self._later.owe(planned.compiled, attempt)
            except (UntrustworthyWorkspace, UntrustworthyLayer, SandboxGone, FetchFailed) as error:
                attempt.progress.note(f"The lineage's workspace cannot be used ({error}); it is discarded.")
                return WhyNot.DAMAGED
            return Compilation(
                result=result,
                rung=Rung.WORKSPACE,
                seconds_saved=max(0.0, workspace.seconds - (time.monotonic() - started)),
                refusals=planned.reusable.against(Rung.RESULT, Rung.OBSERVED),
            )

    async def _forked(self, planned: Planned, parent: str, attempt: Attempt) -> Compilation | WhyNot:
        started = time.monotonic()
        try:
            async with self._forks.forked(planned.compiled, parent, attempt) as fork:

                async def keep(left: Left) -> None:
                    await self._keep(fork.seconds, planned, left, attempt, fork.holdings)

                result = await self._compile.again(planned.compiled, fork.sandbox, fork.again, attempt, keep)
        except Unforkable as error:
            attempt.progress.note(f"The workspace of `{parent}` cannot be forked: {error}.")
            return error.why
        except (UntrustworthyWorkspace, UntrustworthyLayer, SandboxGone, FetchFailed) as error:
            attempt.progress.note(f"The fork of `{parent}` cannot be used ({error}); it is discarded.")
            return WhyNot.DAMAGED
        return Compilation(
            result=result,
            rung=Rung.WORKSPACE,
            seconds_saved=max(0.0, fork.seconds - (time.monotonic() - started)),
            refusals=planned.reusable.against(Rung.RESULT, Rung.OBSERVED),
            way=Way.FORK,
            forked_from=parent,
            copying=fork.copying,
        )

    async def _as_it_is(
        self,
        planned: Planned,
        workspace: WorkspaceRecord,
        before: SourceTree,
        attempt: Attempt,
        keep: KeepHeld,
    ) -> CompileResult:
        """Under the very lock that it was left with."""
        again = planned.compiled.compiling.again(before, workspace.ledger)
        if again is None:
            raise UntrustworthyWorkspace("what is known of it cannot be read")
        holdings = read_holdings(workspace.holdings) or Holdings()

        async def keep_left(left: Left) -> None:
            await keep(left, holdings)

        return await self._compile.again(planned.compiled, workspace.sandbox, again, attempt, keep_left)

    async def _below_workspace(self, planned: Planned, reusable: Reusable, attempt: Attempt) -> Compilation:
        for refusal in reusable.choice.refusals:
            if refusal.why is WhyNot.PRUNED and refusal.rung not in {Rung.OBSERVED, Rung.WORKSPACE}:
                attempt.progress.note(f"The kept {refusal.rung} is gone from here; it is made again.")
            elif refusal.why is WhyNot.DAMAGED and refusal.rung is Rung.LAYER:
                attempt.progress.note("The kept layer is not the one that was cooked; it is made again.")

        async def keep(left: Left, seconds: float, holdings: Holdings) -> None:
            await self._keep(seconds, planned, left, attempt, holdings)

        reusable = await self._underway.with_what_others_cook(planned.plan, reusable, self._ladder, attempt)
        if reusable.nothing_missing:
            over_units = await self._over_units_alone(planned, reusable, attempt, keep)
            if over_units is not None:
                return over_units
            await attempt.sandboxes.removed()
            reusable = reusable.without_units()
        done = await self._over_layer.compile(planned.compiled, reusable, attempt, keep)
        return _of_layer(done)

    async def _over_units_alone(
        self, planned: Planned, reusable: Reusable, attempt: Attempt, keep: KeepFor
    ) -> Compilation | None:
        """Without a cook before the answer; the layer comes behind it, for other lineages."""
        done = await self._over_units.compile(planned.compiled, reusable.units, attempt, keep)
        if done is None:
            return None
        self._expectations.met(planned.plan, attempt.request, done.result.spent)
        self._later.owe(planned.compiled, attempt)
        refusals = reusable.choice.refusals
        if not done.result.reused:
            refusals = (*refusals, Refusal(Rung.UNITS, WhyNot.NOT_STORED if done.placed else WhyNot.DAMAGED))
        return Compilation(
            result=done.result,
            rung=Rung.UNITS if done.result.reused else Rung.NONE,
            seconds_saved=done.saved,
            refusals=refusals,
            way=Way.UNITS_ALONE,
        )

    async def _keep(self, seconds: float, planned: Planned, left: Left, attempt: Attempt, holdings: Holdings) -> None:
        if not attempt.trust.held:
            return
        now = time.time()
        scope, project, lineage = lineage_of(attempt.request, planned.plan.project)
        workspace = WorkspaceRecord(
            scope=scope,
            project=project,
            lineage=lineage,
            key=planned.plan.exact,
            sandbox=left.sandbox,
            generation="",
            tree=planned.source.tree.digest,
            ledger=left.remembered.ledger,
            seconds=seconds,
            size=left.remembered.size,
            created_at=now,
            used_at=now,
            comparable=str(planned.plan.comparable or ""),
            holdings=write_holdings(holdings.after(left.told)),
        )
        await self._workspaces.keep(workspace, attempt.sandboxes)


def _of_layer(done: CompiledOverLayer) -> Compilation:
    layer = done.layer
    return Compilation(
        result=done.result,
        rung=layer.rung,
        seconds_saved=layer.saved,
        refusals=layer.refusals,
        cooked=layer.spent,
        cooked_units=layer.live,
        seconds_below=0.0 if layer.rung is Rung.LAYER else layer.seconds,
    )
