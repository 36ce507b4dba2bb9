"""What a build would reuse, and why not more, without building: the same plan and the same policy as a build's."""

from dataclasses import dataclass, replace

from cache.reuse import Refusal, Rung
from daemon.admission import Trees, require_tree
from daemon.builds import BuildRequest, ImageRequest, Reuse
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.forecast import Forecaster
from daemon.pipeline.plan import PlanStage
from daemon.pipeline.weighing import Weighing


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer of `POST /v1/explain`. `seconds_saved` is the recorded cost of what would be reused."""

    project: str
    ecosystem: str
    toolchain: str
    images: tuple[ImageRequest, ...]
    rung: Rung
    seconds_saved: float
    dependencies: int
    reused: int
    """Dependencies that would not be compiled."""
    compiled: tuple[str, ...]
    """`name version` of each package that would, members included, as far as manifests, lock and earlier builds say."""
    members: tuple[str, ...]
    """Those of `compiled` that are packages of the tree."""
    expected_seconds: float | None
    """What the build should take; None where nothing like it was measured."""
    cold_seconds: float | None
    """The same of a build that reuses nothing."""
    refusals: tuple[Refusal, ...]
    keys: dict[str, str]
    """The digests of the exact and the result key."""
    notes: tuple[str, ...] = ()
    forked_from: str | None = None
    """The lineage whose workspace would be copied."""


class Explainer:
    """Plans and chooses, and stops there."""

    def __init__(
        self, *, trees: Trees, plan: PlanStage, weighing: Weighing, fetch: FetchStage, forecaster: Forecaster
    ) -> None:
        self._weighing = weighing
        self._trees = trees
        self._plan = plan
        self._fetch = fetch
        self._forecaster = forecaster

    async def explain(self, request: BuildRequest) -> Explanation:
        """What a build of this request would stand on now; the failures are those of the plan stage."""
        await require_tree(self._trees, request)
        source = await self._plan.source(request)
        project = await self._plan.plan(source)
        notes: tuple[str, ...] = ()
        if project.fetching.lock_key() is not None:
            lock = await self._fetch.kept_lock(project.fetching) if request.reuse is Reuse.ALL else None
            if lock is None:
                notes = ("There is no lock: a build makes one first, and its dependencies are not known before.",)
            else:
                source = replace(source, lock=lock)
                project = await self._plan.plan(source)
        plan = project.plan
        reusable = await self._weighing.reusable(project, request)
        forecast = await self._forecaster.forecast(project, request, reusable)
        return Explanation(
            project=plan.project,
            ecosystem=plan.ecosystem,
            toolchain=plan.toolchain.name,
            images=plan.images,
            rung=reusable.choice.rung,
            seconds_saved=reusable.seconds,
            dependencies=plan.dependencies,
            reused=forecast.reused,
            compiled=forecast.compiled,
            members=forecast.members,
            expected_seconds=forecast.expected_seconds,
            cold_seconds=forecast.cold_seconds,
            refusals=reusable.choice.refusals,
            keys={"exact": str(plan.exact.digest), "result": str(plan.result.digest)},
            notes=(*plan.notes, *notes),
            forked_from=reusable.forked_from,
        )
