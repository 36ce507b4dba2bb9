"""One build from its plan to its published images: the stages in order, on the highest rung that holds.

An entry that proves damaged on the way is forgotten and the next rung taken, with a warning: a slower build, never a
wrong one (law 9).
"""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from cache.digest import Digest, DigestMismatch
from cache.errors import Failure
from cache.index import ResultRecord
from cache.reuse import Refusal, ReusePlan, ReuseReport, Rung, WhyNot
from daemon.builds import Build, BuiltImage, Outcome, StageName
from daemon.ecosystems.ecosystem import Project, Source, UntrustworthyLayer
from daemon.engine.engine import Sandboxes
from daemon.errors import EngineRefused, FetchFailed, ImageGone
from daemon.events import Progress
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.compile import CompileResult, CompileStage
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.finish import FinishStage, stays
from daemon.pipeline.layers import Layer, Layers
from daemon.pipeline.plan import PlanStage, Reusable
from daemon.pipeline.results import read_outcome, remove_damaged
from daemon.pipeline.sandboxes import BuildSandboxes, SandboxSettings


class Results(Protocol):
    """Where outcomes are remembered."""

    async def record_result(self, result: ResultRecord) -> None:
        """Keep an outcome."""
        ...

    async def forget_result(self, key: Digest, scope: str) -> None:
        """Drop an outcome whose image is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A build that is planned: its sources, what is made of them, and what can be reused."""

    source: Source
    project: Project
    reusable: Reusable


class Pipeline:
    """Runs builds; many at a time, each in sandboxes of its own."""

    def __init__(
        self,
        *,
        plan: PlanStage,
        fetch: FetchStage,
        layers: Layers,
        compile: CompileStage,  # noqa: A002 - the stage's name
        finish: FinishStage,
        results: Results,
        engine: Sandboxes,
        sandboxes: SandboxSettings,
    ) -> None:
        self._plan = plan
        self._fetch = fetch
        self._layers = layers
        self._compile = compile
        self._finish = finish
        self._results = results
        self._engine = engine
        self._sandboxes = sandboxes

    async def run(self, build: Build, progress: Progress) -> Outcome:
        """Build; raises a `Failure` whose kind says whose turn it is.

        However it ends it leaves no sandbox behind; if it fails, no image either that nothing names.
        """
        try:
            return await self._run(build, progress)
        except DigestMismatch as damage:
            raise await self._plan.drop_damaged(damage.expected, build.request) from damage
        except FileNotFoundError as gone:
            raise await self._plan.drop_damaged(None, build.request) from gone

    async def _run(self, build: Build, progress: Progress) -> Outcome:
        started = time.monotonic()
        async with (
            self._finish.publishing() as publishing,
            BuildSandboxes(self._engine, self._sandboxes, build) as sandboxes,
        ):
            attempt = Attempt(build=build, sandboxes=sandboxes, progress=progress, publishing=publishing)
            planned = await self._planned(attempt)
            for note in planned.project.plan.notes:
                progress.note(note)
            outcome = await self._again(planned, attempt, started)
            if outcome is None:
                outcome = await self._anew(planned, attempt)
                await self._remember(planned, build, outcome, time.monotonic() - started)
        return outcome

    async def _planned(self, attempt: Attempt) -> Planned:
        request, progress = attempt.request, attempt.progress
        async with progress.stage(StageName.PLAN):
            source = await self._plan.source(request)
            project = await self._plan.plan(source)
        if project.fetching.lock_key() is not None:
            lock = await self._fetch.lock(project, attempt)
            async with progress.stage(StageName.PLAN):
                source = replace(source, lock=lock)
                project = await self._plan.plan(source)
        reusable = await self._plan.reusable(project.plan, request)
        return Planned(source=source, project=project, reusable=reusable)

    async def _again(self, planned: Planned, attempt: Attempt, started: float) -> Outcome | None:
        """The outcome of the same build, published again; None where there is none, or it is damaged."""
        record, plan = planned.reusable.result, planned.project.plan
        if record is None or planned.reusable.choice.rung is not Rung.RESULT:
            return None
        before = read_outcome(record.outcome)
        try:
            async with attempt.progress.stage(StageName.PUBLISH):
                images = await self._finish.publish_again(before.images, plan, attempt)
        except (ImageGone, EngineRefused, OSError, ValueError) as error:
            attempt.progress.note(f"The kept image is damaged ({error}); building again.")
            await self._results.forget_result(record.key.digest, attempt.request.scope)
            return None
        # Whoever asked may get this answer without the events: what they say is in it, too.
        elsewhere = [
            stays(tag)
            for image, request in zip(images, plan.images, strict=True)
            for tag in request.tags
            if tag not in image.tags
        ]
        reuse = ReuseReport(
            rung=Rung.RESULT,
            seconds_saved=max(0.0, record.seconds - (time.monotonic() - started)),
            dependencies=plan.dependencies,
            notes=(*plan.notes, *elsewhere),
        )
        return replace(before, images=images, reuse=reuse, project=plan.project, toolchain=plan.toolchain.name)

    async def _anew(self, planned: Planned, attempt: Attempt) -> Outcome:
        """Compile, on the best layer that proves sound."""
        project, reusable = planned.project, planned.reusable
        if reusable.result is not None:
            before = read_outcome(reusable.result.outcome)
            await asyncio.to_thread(remove_damaged, before, planned.source.blobs)
        if reusable.choice.rung is Rung.RESULT:
            reusable = await self._plan.below_result(project.plan, attempt.request)
        for refusal in reusable.choice.refusals:
            if refusal.why is WhyNot.PRUNED:
                attempt.progress.note(f"The kept {refusal.rung} is gone from here; it is made again.")
            elif refusal.why is WhyNot.DAMAGED and refusal.rung is Rung.LAYER:
                attempt.progress.note("The kept layer is not the one that was cooked; it is made again.")
        layer = await self._layers.obtain(project, reusable, attempt)
        try:
            result = await self._compile.compile(project, layer.image_id, attempt)
        except (ImageGone, UntrustworthyLayer, FetchFailed) as error:
            # Nothing is fetched here: cargo misses in the layer what the cook had put there.
            if isinstance(error, FetchFailed) and layer.rung is not Rung.LAYER:
                raise
            layer = await self._instead(layer, error, planned, attempt)
            result = await self._compiled_at_last(project, layer, attempt)
        images = await self._finish.finish(result, planned.source, project.plan, attempt)
        return self._outcome(planned, layer, result, images)

    async def _instead(self, layer: Layer, error: Failure, planned: Planned, attempt: Attempt) -> Layer:
        """A new layer in place of one that is gone or not to be trusted; raises `error` where that was just made."""
        await self._forget(planned.project, layer, attempt)
        if layer.rung is not Rung.LAYER:
            raise error
        attempt.progress.note(f"The dependency layer cannot be used ({error}); cooking it again.")
        why = WhyNot.PRUNED if isinstance(error, ImageGone) else WhyNot.DAMAGED
        refusals = (*layer.refusals, Refusal(Rung.LAYER, why))
        return await self._layers.obtain(planned.project, Reusable(choice=ReusePlan(Rung.NONE, refusals)), attempt)

    async def _compiled_at_last(self, project: Project, layer: Layer, attempt: Attempt) -> CompileResult:
        try:
            return await self._compile.compile(project, layer.image_id, attempt)
        except (ImageGone, UntrustworthyLayer):
            await self._forget(project, layer, attempt)
            raise

    async def _forget(self, project: Project, layer: Layer, attempt: Attempt) -> None:
        await attempt.sandboxes.removed()
        await self._layers.forget(project, attempt.request, layer.image_id)

    def _outcome(
        self, planned: Planned, layer: Layer, result: CompileResult, images: tuple[BuiltImage, ...]
    ) -> Outcome:
        plan = planned.project.plan
        return Outcome(
            images=images,
            reuse=ReuseReport(
                rung=layer.rung,
                seconds_saved=layer.seconds if layer.rung is Rung.LAYER else 0.0,
                dependencies=plan.dependencies,
                compiled=tuple(dict.fromkeys((*layer.compiled, *result.packages))),
                refusals=layer.refusals,
                notes=(*plan.notes, *result.compiled.notes),
            ),
            project=plan.project,
            ecosystem=plan.ecosystem,
            toolchain=plan.toolchain.name,
            diagnostics=result.diagnostics,
            lockfile=str(Digest.of(planned.source.lock)) if planned.source.lock is not None else None,
        )

    async def _remember(self, planned: Planned, build: Build, outcome: Outcome, seconds: float) -> None:
        plan = planned.project.plan
        await self._results.record_result(
            ResultRecord(
                key=plan.result,
                scope=build.request.scope,
                project=plan.project,
                lineage=build.request.lineage,
                outcome=msgspec.json.encode(outcome),
                seconds=seconds + outcome.reuse.seconds_saved,
                created_at=time.time(),
                build_id=build.id,
            )
        )
