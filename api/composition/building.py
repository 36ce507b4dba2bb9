"""What a build goes through: the stages of the pipeline with what they share. Here languages are listed."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from api.composition.imaging import Imaging, imaging
from api.composition.means import Means
from api.composition.verifying import Keeping, Shared, verifying
from cache.digest import Digest
from daemon.behind import Behind
from daemon.ecosystems.planned import Grain
from daemon.ecosystems.python.ecosystem import INDEX, PythonEcosystem
from daemon.ecosystems.rust.canary import Canary
from daemon.ecosystems.rust.ecosystem import RustEcosystem
from daemon.ecosystems.rust.keys import Host
from daemon.image import layout
from daemon.image.architecture import AMD64
from daemon.image.elf import ElfReader
from daemon.image.library_source import LibrarySource
from daemon.ownership import Sources
from daemon.pipeline.attempt import Attempts
from daemon.pipeline.check import Checker
from daemon.pipeline.compile import CompileStage
from daemon.pipeline.cook import CookStage
from daemon.pipeline.environments import Environments
from daemon.pipeline.explain import Explainer
from daemon.pipeline.fetch import FetchStage, NetworkAccess
from daemon.pipeline.finish import FinishStage
from daemon.pipeline.forecast import Forecaster
from daemon.pipeline.fork import Forks
from daemon.pipeline.given import GivenUnits
from daemon.pipeline.ground import Grounds
from daemon.pipeline.installed_ground import InstalledGround
from daemon.pipeline.interpreters import Interpreters
from daemon.pipeline.ladder import Ladder
from daemon.pipeline.later import LaterLayers
from daemon.pipeline.layers import Layers
from daemon.pipeline.moves import Moves
from daemon.pipeline.observed import Observed
from daemon.pipeline.over_layer import OverLayer
from daemon.pipeline.over_units import OverUnits
from daemon.pipeline.pipeline import Pipeline
from daemon.pipeline.plan import PlanStage
from daemon.pipeline.publish import PublishStage
from daemon.pipeline.sandboxes import SandboxSettings
from daemon.pipeline.underway import Underway
from daemon.pipeline.weighing import Weighing
from daemon.pipeline.workspaces import WorkspaceBounds, Workspaces
from daemon.processor import processor
from daemon.registry.push import Pusher
from daemon.slots import Slots
from daemon.toolchains.access_times import AccessTimes
from daemon.toolchains.current import CurrentToolchains
from daemon.toolchains.kept import TakingOver
from daemon.toolchains.toolchain import Toolchain
from daemon.toolchains.trials import Trials
from daemon.units.background import Harvests
from daemon.units.bound import UnitBound
from daemon.units.harvest import Harvester
from daemon.units.layout import UnitLayout
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deciding:
    """What decides what a build stands on, and says how long that should take."""

    plan: PlanStage
    ladder: Ladder
    weighing: Weighing
    observed: Observed
    forecaster: Forecaster
    workspaces: Workspaces


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """What makes an image of a binary and hands it over."""

    publish: PublishStage
    finish: FinishStage
    reader: ElfReader


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """What runs in sandboxes."""

    settings: SandboxSettings
    attempts: Attempts
    fetch: FetchStage
    compile: CompileStage
    installed: InstalledGround


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """What waits: for the answers, and for what others cook."""

    behind: Behind
    underway: Underway


def building(means: Means, sources: Sources, keeping: Keeping) -> Building:
    """Put everything together that a build goes through; who explains asks for `sources`, in the asker's scope."""
    store = means.store
    behind, slots = Behind(told=keeping.metrics.works_behind), Slots(means.config.builds.concurrent)
    underway = Underway(_harvests(means, behind), slots)
    images = imaging(means, behind)
    toolchains = _toolchains(means, behind, images.interpreters)
    deciding, ending = _deciding(means, toolchains), _ending(means, images)
    running = _running(means, ending)
    shared = Shared(
        fetch=running.fetch,
        compile=running.compile,
        installed=running.installed,
        finish=ending.finish,
        publish=ending.publish,
        attempts=running.attempts,
        harvester=_harvester(means),
    )
    verifier = verifying(means, shared, running.settings, keeping)
    compiling = _grounds(means, deciding, running, _Waiting(behind=behind, underway=underway))
    return Building(
        pipeline=Pipeline(
            plan=deciding.plan,
            weighing=deciding.weighing,
            fetch=running.fetch,
            grounds={Grain.UNITS: compiling, Grain.LAYERS: compiling, Grain.PACKAGES: running.installed},
            forecaster=deciding.forecaster,
            finish=ending.finish,
            results=store,
            observed=deciding.observed,
            attempts=running.attempts,
            uses=keeping.uses,
            verifications=verifier,
        ),
        explainer=Explainer(
            trees=sources,
            plan=deciding.plan,
            weighing=deciding.weighing,
            fetch=running.fetch,
            forecaster=deciding.forecaster,
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


def _deciding(means: Means, toolchains: CurrentToolchains) -> _Deciding:
    store, engine, bounds = means.store, means.engine, means.config.workspaces
    observed = Observed(store, store.blobs)
    workspaces = Workspaces(
        records=store, states=engine.survey, bounds=WorkspaceBounds(count=bounds.count, size=bounds.size)
    )
    ladder = Ladder(
        index=store,
        observed=observed,
        workspaces=workspaces,
        environments=Environments(store, store.blobs),
        images=engine.images,
        blobs=store.blobs,
    )
    crates = {name: url for name, url in means.network.mirrors.items() if name != INDEX}
    return _Deciding(
        plan=PlanStage(
            ecosystems=(RustEcosystem(Host(mirrors=crates, cpu=processor())), PythonEcosystem(means.network.mirrors)),
            toolchains=toolchains,
            trees=store,
            blobs=store.blobs,
        ),
        ladder=ladder,
        weighing=Weighing(ladder, store, means.weigh),
        observed=observed,
        forecaster=Forecaster(store),
        workspaces=workspaces,
    )


def _running(means: Means, ending: _Ending) -> _Running:
    store, engine, network, limits = means.store, means.engine, means.network, means.config.limits
    runtime = means.config.engine.runtime or None
    settings = SandboxSettings(instance=store.instance, limits=limits.sandbox(), runtime=runtime)
    access_times = AccessTimes(
        survey=engine.survey, sandboxes=engine.sandboxes, answers=store, labels=means.labels, runtime=runtime
    )
    fetch = FetchStage(
        engine=engine.sandboxes,
        index=store,
        blobs=store.blobs,
        access=NetworkAccess(network=network.mode, ca_bundle=means.ca_bundle, environment=network.environment),
        scratch=means.state_dir.scratch,
        limit=limits.file_size,
    )
    return _Running(
        settings=settings,
        attempts=Attempts(engine=engine.sandboxes, settings=settings, publish=ending.publish),
        fetch=fetch,
        installed=InstalledGround(
            environments=Environments(store, store.blobs),
            fetch=fetch,
            engine=engine.sandboxes,
            scratch=means.state_dir.scratch,
            limit=limits.file_size,
        ),
        compile=CompileStage(
            engine=engine.sandboxes,
            access_times=access_times,
            blobs=store.blobs,
            reader=ending.reader,
            scratch=means.state_dir.scratch,
            limit=limits.binary,
        ),
    )


def _grounds(means: Means, deciding: _Deciding, running: _Running, waiting: _Waiting) -> Grounds:
    store, engine, fetch, compiling = means.store, means.engine, running.fetch, running.compile
    given = GivenUnits(records=store, blobs=store.blobs)
    layers = Layers(
        fetch=fetch,
        cook=CookStage(images=engine.images, given=given),
        records=store,
        images=engine.images,
        cooks=waiting.underway,
    )
    moves = Moves(fetch=fetch, compile=compiling, given=given)
    return Grounds(
        ladder=deciding.ladder,
        layers=layers,
        compile=compiling,
        over_units=OverUnits(fetch=fetch, compile=compiling, given=given),
        over_layer=OverLayer(ladder=deciding.ladder, layers=layers, compile=compiling, moves=moves),
        later=LaterLayers(ladder=deciding.ladder, layers=layers, attempts=running.attempts, behind=waiting.behind),
        moves=moves,
        workspaces=deciding.workspaces,
        forks=Forks(workspaces=deciding.workspaces, known=store, engine=engine.sandboxes, images=engine.images),
        trees=store,
        underway=waiting.underway,
    )


def _harvester(means: Means) -> Callable[[UnitLayout], Harvester]:
    store = means.store

    def harvester(layout: UnitLayout) -> Harvester:
        return Harvester(blobs=store.blobs, records=store, layout=layout, scratch=means.state_dir.scratch)

    return harvester


def _harvests(means: Means, behind: Behind) -> Harvests:
    store = means.store
    return Harvests(
        containers=means.engine.sandboxes,
        harvester=_harvester(means),
        bound=UnitBound(records=store, blobs=store.blobs, size=means.config.units.size),
        behind=behind,
        labels=means.labels,
    )


def _ending(means: Means, images: Imaging) -> _Ending:
    blobs, engine = means.store.blobs, means.engine

    def archive(manifest: Digest) -> AsyncGenerator[bytes, None]:
        return layout.archive(manifest, (), blobs)

    pusher = Pusher(blobs, means.registries.connect)
    publish = PublishStage(images=engine.images, tags=means.store, archive=archive, pusher=pusher)
    finish = FinishStage(
        makers=images.makers,
        checker=Checker(blobs, images.reader, AMD64),
        publish=publish,
        images=engine.images,
        engine=engine.sandboxes,
        limits=means.config.limits.sandbox(),
    )
    return _Ending(publish=publish, finish=finish, reader=images.reader)
