"""One build from its plan to its published images: the stages in order, on the highest rung that holds.

An entry that proves damaged on the way is forgotten and the next rung taken, with a warning: a slower build, never a
wrong one (law 9).
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

import msgspec

from cache.costs import Cost, CostKind
from cache.digest import Digest, DigestMismatch
from cache.index import ResultRecord
from cache.reuse import ReuseReport, Rung
from daemon.builds import Build, BuiltImage, Outcome, StageName
from daemon.ecosystems.ecosystem import Plan
from daemon.errors import EngineRefused, ImageGone
from daemon.events import Progress
from daemon.pipeline.attempt import Attempt, Attempts
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.finish import FinishStage, stays
from daemon.pipeline.forecast import Forecaster
from daemon.pipeline.ground import Compilation, Grounds, Planned
from daemon.pipeline.plan import PlanStage
from daemon.pipeline.results import read_outcome, remove_damaged


class Results(Protocol):
    """Where outcomes, and what they cost, are remembered."""

    async def record_result(self, result: ResultRecord) -> None:
        """Keep an outcome."""
        ...

    async def forget_result(self, key: Digest, scope: str) -> None:
        """Drop an outcome whose image is gone."""
        ...

    async def record_costs(self, scope: str, project: str, costs: Iterable[Cost]) -> None:
        """Keep what a build has measured."""
        ...


class Pipeline:
    """Runs builds; many at a time, each in sandboxes of its own."""

    def __init__(
        self,
        *,
        plan: PlanStage,
        fetch: FetchStage,
        grounds: Grounds,
        forecaster: Forecaster,
        finish: FinishStage,
        results: Results,
        attempts: Attempts,
    ) -> None:
        self._plan = plan
        self._fetch = fetch
        self._grounds = grounds
        self._forecaster = forecaster
        self._finish = finish
        self._results = results
        self._attempts = attempts

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
        finally:
            await self._grounds.after_build(build.id)

    async def _run(self, build: Build, progress: Progress) -> Outcome:
        started = time.monotonic()
        async with self._attempts.begun(build, progress) as attempt:
            planned = await self._planned(attempt)
            for note in planned.project.plan.notes:
                progress.note(note)
            outcome = await self._again(planned, attempt, started)
            if outcome is None:
                outcome = await self._anew(planned, attempt, started)
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
        seconds = time.monotonic() - started
        reuse = ReuseReport(
            rung=Rung.RESULT,
            seconds_saved=max(0.0, record.seconds - seconds),
            seconds=seconds,
            dependencies=plan.dependencies,
            notes=(*plan.notes, *elsewhere),
        )
        return replace(before, images=images, reuse=reuse, project=plan.project, toolchain=plan.toolchain.name)

    async def _anew(self, planned: Planned, attempt: Attempt, started: float) -> Outcome:
        """Compile, on the best layer that proves sound."""
        project, reusable = planned.project, planned.reusable
        forecast = await self._forecaster.forecast(project, attempt.request, reusable)
        attempt.progress.forecast(forecast)
        if reusable.result is not None:
            before = read_outcome(reusable.result.outcome)
            await asyncio.to_thread(remove_damaged, before, planned.source.blobs)
        if reusable.choice.rung is Rung.RESULT:
            reusable = await self._plan.below_result(project.plan, attempt.request)
        compilation = await self._grounds.compile(replace(planned, reusable=reusable), attempt)
        images = await self._finish.finish(compilation.result, planned.source, project.plan, attempt)
        seconds = time.monotonic() - started
        costs = _costs(compilation, project.plan, seconds)
        await self._results.record_costs(attempt.request.scope, project.plan.project, costs)
        outcome = self._outcome(planned, compilation, images)
        report = replace(
            outcome.reuse,
            seconds=seconds,
            expected_seconds=forecast.expected_seconds,
            cold_seconds=forecast.cold_seconds,
        )
        return replace(outcome, reuse=report)

    def _outcome(self, planned: Planned, compilation: Compilation, images: tuple[BuiltImage, ...]) -> Outcome:
        plan, result = planned.project.plan, compilation.result
        compiled = tuple(compilation.spent)
        return Outcome(
            images=images,
            reuse=ReuseReport(
                rung=compilation.rung,
                seconds_saved=compilation.seconds_saved,
                dependencies=plan.dependencies,
                reused=len(set(result.reused) - set(compilation.cooked)),
                compiled=compiled,
                members=tuple(package for package in compiled if package in plan.members),
                compiled_twice=compilation.twice,
                refusals=compilation.refusals,
                notes=(*plan.notes, *result.compiled.notes),
                forked_from=compilation.forked_from,
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


def _costs(compilation: Compilation, plan: Plan, seconds: float) -> Iterator[Cost]:
    """What was compiled, and all else that the build took; also what that would have been over a layer that is held."""
    for package, took in compilation.spent.items():
        kind = CostKind.MEMBER if package in plan.members else CostKind.DEPENDENCY
        yield Cost(kind, package.partition(" ")[0], took)
    yield Cost(CostKind.REST, compilation.rung, max(0.0, seconds - sum(compilation.spent.values())))
    if compilation.seconds_below:
        over = seconds - compilation.seconds_below - sum(compilation.result.spent.values())
        yield Cost(CostKind.REST, Rung.LAYER, max(0.0, over))
