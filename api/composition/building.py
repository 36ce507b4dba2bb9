"""What a build goes through: the stages of the pipeline with what they share."""

import os
from dataclasses import dataclass

from api.composition.deciding import deciding
from api.composition.grounds import Waiting, grounds, harvester, harvests
from api.composition.imaging import imaging
from api.composition.means import Means
from api.composition.running import ending, running
from api.composition.verifying import Keeping, Shared, verifying
from daemon.behind import Behind
from daemon.ecosystems.planned import Grain
from daemon.ecosystems.rust.canary import Canary
from daemon.image.library_source import LibrarySource
from daemon.ownership import Sources
from daemon.pipeline.explain import Explainer
from daemon.pipeline.interpreters import Interpreters
from daemon.pipeline.pipeline import Pipeline
from daemon.pipeline.underway import Underway, crowding
from daemon.slots import Slots
from daemon.toolchains.current import CurrentToolchains
from daemon.toolchains.kept import TakingOver
from daemon.toolchains.toolchain import Toolchain
from daemon.toolchains.trials import Trials
from daemon.verification.verifier import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """What runs builds and what explains them, with the parts of it that others see too."""

    pipeline: Pipeline
    explainer: Explainer
    toolchains: CurrentToolchains
    libraries: LibrarySource
    behind: Behind
    slots: Slots
    verifier: Verifier


def building(means: Means, sources: Sources, keeping: Keeping) -> Building:
    """Put everything together that a build goes through; who explains asks for `sources`, in the asker's scope."""
    store = means.store
    behind, slots = Behind(told=keeping.metrics.works_behind), Slots(means.config.builds.concurrent)
    crowded = crowding(len(os.sched_getaffinity(0)), means.config.limits.cpus)
    underway = Underway(harvests(means, behind), slots, crowding=crowded)
    images = imaging(means, behind)
    toolchains = _toolchains(means, behind, images.interpreters)
    decides, ends = deciding(means, toolchains), ending(means, images)
    runs = running(means, ends)
    shared = Shared(
        fetch=runs.fetch,
        compile=runs.compile,
        installed=runs.installed,
        finish=ends.finish,
        publish=ends.publish,
        attempts=runs.attempts,
        harvester=harvester(means),
    )
    verifier = verifying(means, shared, runs.settings, keeping)
    compiling = grounds(means, decides, runs, Waiting(behind=behind, underway=underway))
    return Building(
        pipeline=Pipeline(
            plan=decides.plan,
            weighing=decides.weighing,
            fetch=runs.fetch,
            grounds={Grain.UNITS: compiling, Grain.LAYERS: compiling, Grain.PACKAGES: runs.installed},
            forecaster=decides.forecaster,
            finish=ends.finish,
            results=store,
            observed=decides.observed,
            attempts=runs.attempts,
            uses=keeping.uses,
            verifications=verifier,
        ),
        explainer=Explainer(
            trees=sources,
            plan=decides.plan,
            weighing=decides.weighing,
            fetch=runs.fetch,
            forecaster=decides.forecaster,
        ),
        toolchains=toolchains,
        libraries=images.libraries,
        behind=behind,
        slots=slots,
        verifier=verifier,
    )


def _toolchains(means: Means, behind: Behind, interpreters: Interpreters) -> CurrentToolchains:
    store, engine, settings = means.store, means.engine, means.config.toolchains
    facts = store if means.kept_facts is None else TakingOver(store, means.kept_facts)
    canary = Canary(engine.sandboxes, scratch=means.state_dir.scratch, labels=means.labels)
    trials = Trials(find=canary.find, facts=facts, behind=behind)

    def seen(toolchain: Toolchain) -> None:
        interpreters.put(toolchain)  # first: a build of Python would wait for it, and none waits for a trial
        trials.put(toolchain)

    return CurrentToolchains(
        settings.images,
        settings.default,
        survey=engine.survey,
        images=engine.images,
        sandboxes=engine.sandboxes,
        facts=facts,
        seen=seen,
    )
