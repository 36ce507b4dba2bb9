"""One build from its plan to its published images: the stages in order, on the highest rung that holds.

An entry that proves damaged on the way is forgotten and the next rung taken, with a warning: a slower build, never a
wrong one (law 9).
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import msgspec

from cache.costs import Cost, CostKind, Way
from cache.digest import Digest, DigestMismatch
from cache.gc import EntryKind, EntryName
from cache.index import ResultRecord
from cache.reuse import ReuseReport, Rung
from cache.units import UnitRecord
from daemon.builds import Build, BuiltImage, Outcome, StageName
from daemon.ecosystems.ecosystem import Project
from daemon.ecosystems.planned import Grain, Plan
from daemon.errors import EngineRefused, GroundRevoked, ImageGone, StoredFileDamaged
from daemon.events import Progress
from daemon.pipeline.attempt import Attempt, Attempts
from daemon.pipeline.compilation import Compilation, Planned
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.finish import FinishStage, stays
from daemon.pipeline.forecast import Forecaster
from daemon.pipeline.observed import Observed
from daemon.pipeline.plan import PlanStage
from daemon.pipeline.results import read_outcome, remove_damaged
from daemon.pipeline.reusable import Reusable
from daemon.pipeline.twice import compiled_twice
from daemon.pipeline.weighing import Weighing


class Results(Protocol):
    """Where outcomes are remembered, what they cost, and compiled units."""

    async def record_result(self, result: ResultRecord) -> None:
        """Keep an outcome."""
        ...

    async def forget_result(self, key: Digest, scope: str) -> None:
        """Drop an outcome whose image is gone."""
        ...

    async def units(self, scope: str, unit_key: Digest, names: Collection[str]) -> tuple[UnitRecord, ...]:
        """The stored units of packages with these names."""
        ...

    async def record_costs(self, scope: str, project: str, costs: Iterable[Cost]) -> None:
        """Keep what a build has measured."""
        ...


class Ground(Protocol):
    """What a language's builds stand on."""

    async def compile(self, planned: Planned, attempt: Attempt) -> Compilation:
        """Make what images are made of, on the best that proves sound."""
        ...

    async def after_build(self, build: str) -> None:
        """Do what waits for the end of this build, however it ended."""
        ...


class Uses(Protocol):
    """Who knows what builds use."""

    def note(self, build: str, *names: EntryName) -> None:
        """A build uses these, until it ends."""
        ...

    def ended(self, build: str) -> None:
        """A build uses nothing any more."""
        ...


class Verifications(Protocol):
    """Where a sample of the builds is built again, behind the answers."""

    async def consider(self, planned: Planned, build: Build, outcome: Outcome) -> None:
        """A build has succeeded; whatever comes of this, it has."""
        ...


class Pipeline:
    """Runs builds; many at a time, each in sandboxes of its own."""

    def __init__(
        self,
        *,
        plan: PlanStage,
        weighing: Weighing,
        fetch: FetchStage,
        grounds: Mapping[Grain, Ground],
        forecaster: Forecaster,
        finish: FinishStage,
        results: Results,
        observed: Observed,
        attempts: Attempts,
        uses: Uses,
        verifications: Verifications,
    ) -> None:
        self._plan = plan
        self._weighing = weighing
        self._fetch = fetch
        self._grounds = grounds
        self._forecaster = forecaster
        self._finish = finish
        self._results = results
        self._observed = observed
        self._attempts = attempts
        self._uses = uses
        self._verifications = verifications

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
            self._uses.ended(build.id)
            for ground in {id(one): one for one in self._grounds.values()}.values():
                await ground.after_build(build.id)

    async def _run(self, build: Build, progress: Progress) -> Outcome:
        started = time.monotonic()
        async with self._attempts.begun(build, progress) as attempt:
            planned = await self._planned(attempt)
            for note in planned.project.plan.notes:
                progress.note(note)
            outcome, like_it = await self._again(planned, attempt, started), planned.reusable.observed
            opened = like_it.opened if like_it is not None else None
            if outcome is None:
                outcome, opened = await self._anew(planned, attempt, started)
            if outcome.reuse.rung is not Rung.RESULT and attempt.trust.held:
                await self._remember(planned, build, outcome, time.monotonic() - started - attempt.waited.seconds)
                if opened is not None:
                    await self._observed.remember(planned.plan, build.request, opened)
        await self._verifications.consider(planned, build, outcome)
        return outcome

    async def _planned(self, attempt: Attempt) -> Planned:
        request, progress, build = attempt.request, attempt.progress, attempt.build.id
        self._uses.note(build, EntryName(EntryKind.TREE, (request.tree,)))
        async with progress.stage(StageName.PLAN):
            source = await self._plan.source(request)
            project = await self._plan.plan(source)
        lock_key = project.fetching.lock_key()
        if lock_key is not None:
            self._uses.note(build, EntryName(EntryKind.FETCHED, ("lock", str(lock_key))))
            lock = await self._fetch.lock(project, attempt)
            async with progress.stage(StageName.PLAN):
                source = replace(source, lock=lock)
                project = await self._plan.plan(source)
        reusable = await self._weighing.reusable(project, request)
        self._uses.note(build, *_used(project, reusable, request.scope))
        return Planned(source=source, project=project, reusable=reusable)

    async def _again(self, planned: Planned, attempt: Attempt, started: float) -> Outcome | None:
        """The outcome whose images fit, published again; None where there is none, or it is damaged."""
        record, plan = planned.reusable.image, planned.project.plan
        if record is None:
            return None
        before = read_outcome(record.outcome)
        try:
            images = await self._finish.publish_again(before.images, plan, attempt)
        except (ImageGone, EngineRefused, StoredFileDamaged, OSError, ValueError) as error:
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
            rung=planned.reusable.choice.rung,
            seconds_saved=max(0.0, record.seconds - seconds),
            seconds=seconds,
            dependencies=plan.dependencies,
            refusals=planned.reusable.choice.refusals,
            notes=(*plan.notes, *elsewhere),
        )
        return replace(before, images=images, reuse=reuse, project=plan.project, toolchain=plan.toolchain.name)

    async def _anew(self, planned: Planned, attempt: Attempt, started: float) -> tuple[Outcome, frozenset[str] | None]:
        """Compile, on the best layer that proves sound; and what was opened for it, where that is known."""
        project, reusable = planned.project, planned.reusable
        forecast = await self._forecaster.forecast(project, attempt.request, reusable)
        attempt.progress.forecast(forecast)
        like_it = reusable.observed.result if reusable.observed is not None else None
        for damaged in (one for one in (reusable.result, like_it) if one is not None):
            await asyncio.to_thread(remove_damaged, read_outcome(damaged.outcome), planned.source.blobs)
        if reusable.image is not None:
            reusable = await self._weighing.below_image(project, attempt.request, reusable)
        ground = self._grounds[project.plan.grain]
        compilation = await ground.compile(replace(planned, reusable=reusable), attempt)
        if compilation.rung is not Rung.NONE and not attempt.trust.held:
            raise GroundRevoked("A clean build has shown that what this one had reused is not to be trusted.")
        images = await self._finish.finish(compilation.result, planned.source, project.plan, attempt)
        seconds = time.monotonic() - started
        costs = _costs(compilation, project.plan, seconds - attempt.waited.seconds)
        await self._results.record_costs(attempt.request.scope, project.plan.project, costs)
        outcome = self._outcome(planned, compilation, images)
        live = (*compilation.cooked_units, *compilation.result.live)
        report = replace(
            outcome.reuse,
            compiled_twice=await compiled_twice(self._results, project.plan, attempt.request, live),
            seconds=seconds,
            expected_seconds=forecast.expected_seconds,
            cold_seconds=forecast.cold_seconds,
        )
        return replace(outcome, reuse=report), compilation.result.opened

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
                refusals=compilation.refusals,
                notes=(*plan.notes, *result.notes),
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
    yield Cost(CostKind.REST, compilation.way or compilation.rung, max(0.0, seconds - sum(compilation.spent.values())))
    if compilation.copying is not None:
        yield Cost(CostKind.COPY, Way.FORK, compilation.copying)
    if compilation.seconds_below:
        over = seconds - compilation.seconds_below - sum(compilation.result.spent.values())
        yield Cost(CostKind.REST, Rung.LAYER, max(0.0, over))


def _used(project: Project, reusable: Reusable, scope: str) -> Iterator[EntryName]:
    plan, layer, image = project.plan, reusable.layer, reusable.image
    yield EntryName(EntryKind.RESULT, (scope, str(plan.result.digest)))
    if image is not None:
        yield EntryName(EntryKind.RESULT, (scope, str(image.key.digest)))
    yield EntryName(EntryKind.FETCHED, ("listing", str(project.fetching.key())))
    if layer is not None:
        yield EntryName(EntryKind.LAYER, (scope, str(layer.key.digest), layer.private, layer.image_id))
    if plan.packages is not None:
        yield EntryName(EntryKind.FETCHED, ("listing", str(plan.exact.digest)))
        for name in plan.packages.names:
            yield EntryName(EntryKind.FETCHED, ("package", str(plan.packages.key), name))
    if plan.units is not None:
        for unit in reusable.units:
            yield EntryName(EntryKind.UNIT, (scope, str(plan.units.key), str(unit.digest)))
