"""What decides what a build stands on, and says how long that should take. Here languages are listed."""

from dataclasses import dataclass

from api.composition.means import Means
from daemon.ecosystems.python.ecosystem import INDEX, PythonEcosystem
from daemon.ecosystems.rust.ecosystem import RustEcosystem
from daemon.ecosystems.rust.keys import Host
from daemon.pipeline.environments import Environments
from daemon.pipeline.expectations import Expectations
from daemon.pipeline.forecast import Forecaster
from daemon.pipeline.ladder import Ladder
from daemon.pipeline.observed import Observed
from daemon.pipeline.plan import PlanStage
from daemon.pipeline.weighing import Weighing
from daemon.pipeline.workspaces import WorkspaceBounds, Workspaces
from daemon.processor import processor
from daemon.toolchains.current import CurrentToolchains


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """What decides what a build stands on, and says how long that should take."""

    plan: PlanStage
    ladder: Ladder
    expectations: Expectations
    weighing: Weighing
    observed: Observed
    forecaster: Forecaster
    workspaces: Workspaces


def deciding(means: Means, toolchains: CurrentToolchains) -> Deciding:
    """The languages, the ladder, and what is known of costs."""
    store, engine, bounds = means.store, means.engine, means.config.workspaces
    observed = Observed(store, store.blobs)
    workspaces = Workspaces(
        records=store, states=engine.survey, bounds=WorkspaceBounds(count=bounds.count, size=bounds.size)
    )
    expectations = Expectations()
    ladder = Ladder(
        index=store,
        observed=observed,
        workspaces=workspaces,
        environments=Environments(store, store.blobs),
        images=engine.images,
        blobs=store.blobs,
        expectations=expectations,
    )
    crates = {name: url for name, url in means.network.mirrors.items() if name != INDEX}
    return Deciding(
        plan=PlanStage(
            ecosystems=(RustEcosystem(Host(mirrors=crates, cpu=processor())), PythonEcosystem(means.network.mirrors)),
            toolchains=toolchains,
            trees=store,
            blobs=store.blobs,
        ),
        ladder=ladder,
        expectations=expectations,
        weighing=Weighing(ladder, store, means.weigh),
        observed=observed,
        forecaster=Forecaster(store),
        workspaces=workspaces,
    )
