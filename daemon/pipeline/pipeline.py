"""One build from its plan to its published images: the stages in order, on the highest rung that holds.

An entry that proves damaged on the way is forgotten and the next rung taken, with a warning: a slower build, never a
wrong one (law 9).
"""

import time
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from cache.digest import Digest, DigestMismatch
from cache.index import ResultRecord
from cache.reuse import Refusal, ReuseReport, Rung, WhyNot
from daemon.builds import Build, BuiltImage, Outcome, Reuse, StageName
from daemon.ecosystems.ecosystem import Ecosystem, Project, Source, UntrustworthyLayer
from daemon.engine.engine import Sandboxes
from daemon.errors import ImageGone
from daemon.events import Progress
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.compile import CompileResult, CompileStage
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.finish import FinishStage
from daemon.pipeline.layers import Layer, Layers
from daemon.pipeline.plan import PlanStage, Reusable
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
    """A build that is planned: its sources, what its ecosystem makes of them, and what can be reused."""

    source: Source
    ecosystem: Ecosystem
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
        """Build; raises a `Failure` whose kind says whose turn it is. Leaves no sandbox behind, however it ends."""
        started = time.monotonic()
        async with BuildSandboxes(self._engine, self._sandboxes, build) as sandboxes:
            attempt = Attempt(build=build, sandboxes=sandboxes, progress=progress)
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
            ecosystem, project = await self._plan.plan(source)
            lock = None
            if project.fetching.lock_key() is not None and request.reuse is Reuse.ALL:
                lock = await self._fetch.kept_lock(project.fetching)
        if project.fetching.lock_key() is not None and lock is None:
            async with progress.stage(StageName.FETCH):
                image = project.plan.toolchain.facts.image_id
                reader = ecosystem.reader(progress)
                lock = await self._fetch.make_lock(project.fetching, attempt.sandboxes, image, reader)
        if lock is not None:
            source = replace(source, lock=lock)
            ecosystem, project = await self._plan.plan(source)
        reusable = await self._plan.reusable(project.plan, request)
        return Planned(source=source, ecosystem=ecosystem, project=project, reusable=reusable)

    async def _again(self, planned: Planned, attempt: Attempt, started: float) -> Outcome | None:
        """The outcome of the same build, published again; None where there is none, or it is damaged."""
        record = planned.reusable.result
        if record is None or planned.reusable.choice.rung is not Rung.RESULT:
            return None
        before = msgspec.json.decode(record.outcome, type=Outcome)
        try:
            async with attempt.progress.stage(StageName.PUBLISH):
                images = await self._finish.publish_again(before.images, planned.project.plan, attempt)
        except (ImageGone, DigestMismatch, FileNotFoundError) as error:
            attempt.progress.note(f"The kept image is damaged ({error}); building again.")
            await self._results.forget_result(record.key.digest, attempt.request.scope)
            return None
        reuse = ReuseReport(
            rung=Rung.RESULT,
            seconds_saved=max(0.0, record.seconds - (time.monotonic() - started)),
            dependencies=planned.project.plan.dependencies,
            notes=planned.project.plan.notes,
        )
        return replace(before, images=images, reuse=reuse)

    async def _anew(self, planned: Planned, attempt: Attempt) -> Outcome:
        project, ecosystem = planned.project, planned.ecosystem
        layer = await self._layers.obtain(ecosystem, project, planned.reusable, attempt)
        try:
            result = await self._compile.compile(ecosystem, project, layer.image_id, attempt)
        except (ImageGone, UntrustworthyLayer) as error:
            if layer.rung is not Rung.LAYER:
                raise
            layer = await self._instead(layer, error, planned, attempt)
            result = await self._compile.compile(ecosystem, project, layer.image_id, attempt)
        images = await self._finish.finish(result, planned.source, project.plan, attempt)
        return self._outcome(planned, layer, result, images)

    async def _instead(self, layer: Layer, error: Exception, planned: Planned, attempt: Attempt) -> Layer:
        """A new layer in place of one that is gone or not to be trusted."""
        attempt.progress.note(f"The dependency layer cannot be used ({error}); cooking it again.")
        await self._layers.forget(planned.project, attempt.request)
        why = WhyNot.PRUNED if isinstance(error, ImageGone) else WhyNot.DAMAGED
        refusals = (*layer.refusals, Refusal(Rung.LAYER, why))
        reusable = Reusable(choice=replace(planned.reusable.choice, rung=Rung.NONE, refusals=refusals))
        return await self._layers.obtain(planned.ecosystem, planned.project, reusable, attempt)

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
