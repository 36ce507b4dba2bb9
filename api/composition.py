"""Which part is made of which: the daemon's objects, put together from a configuration, an open store and an engine.

Nothing here runs; `api.server` does. Whoever wants to know what depends on what reads this.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from api.http.app import make_app
from api.http.bodies import BodyLimits
from api.http.endpoint import Endpoint
from api.http.guard import Guard
from api.http.handlers.artifacts import ArtifactHandlers
from api.http.handlers.builds import BuildHandlers
from api.http.handlers.cache import CacheHandlers
from api.http.handlers.events import EventHandlers
from api.http.handlers.explain import ExplainHandlers
from api.http.handlers.system import SystemHandlers
from api.http.handlers.trees import TreeHandlers
from api.http.openapi import describe
from api.http.readiness import Check, Readiness, disk, remembered
from cache.digest import Digest
from cache.manifests.rust import errors as rust_errors
from cache.store import Store
from daemon.admission import Admission
from daemon.after_recovery import AfterRecovery
from daemon.artifacts import StoredArtifacts
from daemon.behind import Behind
from daemon.build_records import BuildRecords
from daemon.cache_size import CacheSize
from daemon.config import Config, UploadSettings
from daemon.ecosystems.rust.canary import Canary
from daemon.ecosystems.rust.ecosystem import RustEcosystem
from daemon.ecosystems.rust.keys import Host
from daemon.engine.engine import Images, Sandboxes, Survey
from daemon.engine.metered import MeteredEngine
from daemon.errors import NoToolchain
from daemon.event_log import EventLog
from daemon.image import layout
from daemon.image.architecture import AMD64
from daemon.image.elf import ElfReader
from daemon.image.library_source import LibrarySource
from daemon.maintenance import Maintenance
from daemon.metered_intake import MeteredIntake
from daemon.metrics import Metrics, ProjectLabel
from daemon.network import NetworkSettings
from daemon.ownership import OwnSources, SharedSources
from daemon.pipeline.assemble import Assembler
from daemon.pipeline.attempt import Attempts
from daemon.pipeline.check import Checker
from daemon.pipeline.compile import CompileStage
from daemon.pipeline.cook import CookStage
from daemon.pipeline.explain import Explainer
from daemon.pipeline.fetch import FetchStage, NetworkAccess
from daemon.pipeline.finish import FinishStage
from daemon.pipeline.forecast import Forecaster
from daemon.pipeline.fork import Forks
from daemon.pipeline.given import GivenUnits
from daemon.pipeline.ground import Grounds
from daemon.pipeline.later import LaterLayers
from daemon.pipeline.layers import Layers
from daemon.pipeline.moves import Moves
from daemon.pipeline.observed import Observed
from daemon.pipeline.over_units import OverUnits
from daemon.pipeline.pipeline import Pipeline
from daemon.pipeline.plan import PlanStage
from daemon.pipeline.publish import PublishStage
from daemon.pipeline.sandboxes import INSTANCE_LABEL, SandboxSettings
from daemon.pipeline.workspaces import WorkspaceBounds, Workspaces
from daemon.processor import processor
from daemon.recovery import Recovery
from daemon.scheduler import Scheduler
from daemon.toolchains.access_times import AccessTimes
from daemon.toolchains.current import CurrentToolchains
from daemon.toolchains.kept import TakingOver
from daemon.toolchains.offers import FactsStore
from daemon.toolchains.trials import Trials
from daemon.units.background import Harvests
from daemon.units.bound import UnitBound
from daemon.units.harvest import Harvester
from daemon.units.layout import UnitLayout
from daemon.upload import Intake
from daemon.uses import Uses

_LEAST_FREE = 1 << 30
"""Bytes that have to be free for the daemon to call itself ready."""
_DOCUMENT_PER_ENTRY = 256
"""Bytes of a JSON listing for each entry, its path apart: digest, size and the words around them."""
_ENGINE_SECONDS = 1.0
_SOURCE_FAILURES = (
    rust_errors.NoManifest,
    rust_errors.BadManifest,
    rust_errors.LockMismatch,
    rust_errors.UnsupportedSetting,
    rust_errors.BadSettings,
    rust_errors.UnknownBinary,
    rust_errors.AmbiguousBinary,
    rust_errors.UnknownFeature,
    rust_errors.MissingFeature,
    rust_errors.UnknownProfile,
)


class Engine(Protocol):
    """A container engine."""

    @property
    def sandboxes(self) -> Sandboxes:
        """Its containers."""
        ...

    @property
    def images(self) -> Images:
        """Its images."""
        ...

    @property
    def survey(self) -> Survey:
        """The look over it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the daemon is put together from; all of it is open."""

    config: Config
    network: NetworkSettings
    ca_bundle: bytes
    tokens: dict[str, str]
    """The scope of each token."""
    store: Store
    engine: Engine
    kept_facts: FactsStore | None = None
    """Where the user's commands keep what they found in toolchain images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The parts that have a life: they are started and ended by `api.server`."""

    app: web.Application
    scheduler: Scheduler
    runner: AfterRecovery
    libraries: LibrarySource
    toolchains: CurrentToolchains
    events: EventLog
    cache_size: CacheSize
    maintenance: Maintenance
    behind: Behind
    readiness: Readiness
    closing: asyncio.Event
    """Set when followers are to leave."""


def compose(means: Means) -> Daemon:
    """Put everything together."""
    config, store = means.config, means.store
    registry = CollectorRegistry()
    metrics = Metrics(registry, ProjectLabel.SHOWN if config.metrics.project_label else ProjectLabel.HIDDEN)
    bare = means.engine
    engine = MeteredEngine(bare.sandboxes, bare.images, bare.survey, metrics.engine_failed)
    means = replace(means, engine=engine)
    records, events = BuildRecords(store), EventLog(store)
    facts = store if means.kept_facts is None else TakingOver(store, means.kept_facts)
    canary = Canary(engine.sandboxes, scratch=scratch(config), labels={INSTANCE_LABEL: store.instance})
    behind = Behind()
    trials = Trials(find=canary.find, facts=facts, behind=behind)
    toolchains = CurrentToolchains(
        config.toolchains.images,
        config.toolchains.default,
        survey=engine.survey,
        images=engine.images,
        sandboxes=engine.sandboxes,
        facts=facts,
        seen=trials.put,
    )
    workspaces = Workspaces(
        records=store,
        states=engine.survey,
        bounds=WorkspaceBounds(count=config.workspaces.count, size=config.workspaces.size),
    )
    plan = PlanStage(
        ecosystems=(RustEcosystem(Host(mirrors=means.network.mirrors, cpu=processor())),),
        toolchains=toolchains,
        index=store,
        observed=Observed(store, store.blobs),
        workspaces=workspaces,
        images=engine.images,
        blobs=store.blobs,
    )
    fetch = _fetch(means)
    libraries = LibrarySource(engine.sandboxes, store.blobs, store, {INSTANCE_LABEL: store.instance})
    recovery = Recovery(engine.survey, engine.sandboxes, engine.images, store, store.instance)
    uses = Uses()
    runner = AfterRecovery(_pipeline(means, plan, fetch, libraries, (workspaces, behind, uses)), recovery)
    cache_size = CacheSize(store, state_dir(config) / "blobs", metrics)
    maintenance = Maintenance(
        records=store,
        blobs=store.blobs,
        sandboxes=engine.sandboxes,
        images=engine.images,
        builds=records,
        uses=uses,
        size=cache_size,
        metrics=metrics,
        ceiling=config.cache.size,
    )
    scheduler = Scheduler(records, runner, events, metrics, config.builds)
    sources = OwnSources(store) if means.tokens else SharedSources(store)
    admission = Admission(scheduler, sources)
    intake = MeteredIntake(Intake(store.blobs, sources, config.upload.archive(), config.upload.readers), metrics)
    readiness = Readiness(_checks(means, admission, toolchains))
    closing = asyncio.Event()
    limits = body_limits(config.upload)
    endpoints: tuple[Endpoint, ...] = (
        *BuildHandlers(admission, records, intake, limits).endpoints(),
        *EventHandlers(events, records, closing).endpoints(),
        *ArtifactHandlers(records, StoredArtifacts(store.blobs)).endpoints(),
        *TreeHandlers(intake, sources, limits).endpoints(),
        *ExplainHandlers(
            Explainer(trees=sources, plan=plan, fetch=fetch, forecaster=Forecaster(store)), _SOURCE_FAILURES, limits
        ).endpoints(),
        *CacheHandlers(maintenance, limits).endpoints(),
        *SystemHandlers(readiness, toolchains, registry, lambda: describe(endpoints, own_version())).endpoints(),
    )
    return Daemon(
        app=make_app(endpoints, Guard(means.tokens)),
        scheduler=scheduler,
        runner=runner,
        libraries=libraries,
        toolchains=toolchains,
        events=events,
        cache_size=cache_size,
        maintenance=maintenance,
        behind=behind,
        readiness=readiness,
        closing=closing,
    )


def _fetch(means: Means) -> FetchStage:
    return FetchStage(
        engine=means.engine.sandboxes,
        index=means.store,
        blobs=means.store.blobs,
        access=NetworkAccess(
            network=means.network.mode, ca_bundle=means.ca_bundle, environment=means.network.environment
        ),
        scratch=scratch(means.config),
        limit=means.config.limits.file_size,
    )


def _harvests(means: Means, behind: Behind) -> Harvests:
    store = means.store

    def harvester(layout: UnitLayout) -> Harvester:
        return Harvester(blobs=store.blobs, records=store, layout=layout, scratch=scratch(means.config))

    return Harvests(
        containers=means.engine.sandboxes,
        harvester=harvester,
        bound=UnitBound(records=store, blobs=store.blobs, size=means.config.units.size),
        behind=behind,
        labels={INSTANCE_LABEL: store.instance},
    )


def _pipeline(
    means: Means,
    plan: PlanStage,
    fetch: FetchStage,
    libraries: LibrarySource,
    staying: tuple[Workspaces, Behind, Uses],
) -> Pipeline:
    config, store, engine = means.config, means.store, means.engine
    workspaces, behind, uses = staying
    limits = config.limits.sandbox()
    reader = ElfReader()
    given = GivenUnits(records=store, blobs=store.blobs)

    def archive(manifest: Digest) -> AsyncIterator[bytes]:
        return layout.archive(manifest, (), store.blobs)

    publish = PublishStage(images=engine.images, tags=store, archive=archive)
    attempts = Attempts(
        engine=engine.sandboxes,
        settings=SandboxSettings(instance=store.instance, limits=limits, runtime=config.engine.runtime or None),
        publish=publish,
    )
    layers = Layers(
        fetch=fetch,
        cook=CookStage(images=engine.images, given=given),
        records=store,
        images=engine.images,
        harvests=_harvests(means, behind),
    )
    compiling = CompileStage(
        engine=engine.sandboxes,
        access_times=AccessTimes(
            survey=engine.survey,
            sandboxes=engine.sandboxes,
            answers=store,
            labels={INSTANCE_LABEL: store.instance},
            runtime=config.engine.runtime or None,
        ),
        blobs=store.blobs,
        reader=reader,
        scratch=scratch(config),
        limit=config.limits.binary,
    )
    return Pipeline(
        forecaster=Forecaster(store),
        plan=plan,
        fetch=fetch,
        grounds=Grounds(
            plan=plan,
            layers=layers,
            compile=compiling,
            over_units=OverUnits(fetch=fetch, compile=compiling, given=given),
            later=LaterLayers(plan=plan, layers=layers, attempts=attempts, behind=behind),
            moves=Moves(fetch=fetch, compile=compiling, given=given),
            workspaces=workspaces,
            forks=Forks(workspaces=workspaces, known=store, engine=engine.sandboxes, images=engine.images),
            trees=store,
        ),
        finish=FinishStage(
            assembler=Assembler(store.blobs, libraries, reader, AMD64),
            checker=Checker(store.blobs, reader, AMD64),
            publish=publish,
            images=engine.images,
            engine=engine.sandboxes,
            limits=limits,
        ),
        results=store,
        observed=Observed(store, store.blobs),
        attempts=attempts,
        uses=uses,
    )


def _checks(means: Means, admission: Admission, toolchains: CurrentToolchains) -> tuple[tuple[str, Check], ...]:
    engine, instance = means.engine, means.store.instance

    async def answers() -> str:
        await engine.survey.sandboxes({INSTANCE_LABEL: instance})
        info = await engine.survey.info()
        return f"{info.name} {info.version}, API {info.api}"

    async def has_room() -> str:
        await admission.require_open()
        return "builds are accepted"

    async def are_offered() -> str:
        names = [toolchain.name for toolchain in await toolchains.offered()]
        if not names:
            raise NoToolchain("make one with `bloomery toolchain make stable`")
        return ", ".join(names)

    return (
        ("engine", remembered(answers, _ENGINE_SECONDS)),
        ("disk", disk(state_dir(means.config), _LEAST_FREE)),
        ("queue", has_room),
        ("toolchains", are_offered),
    )


def body_limits(upload: UploadSettings) -> BodyLimits:
    """The bounds of bodies that follow from those of uploads."""
    return BodyLimits(
        archive=upload.body,
        blob=upload.expanded,
        document=2 * upload.names + _DOCUMENT_PER_ENTRY * upload.entries,
        idle=upload.idle,
        total=upload.total,
    )


def state_dir(config: Config) -> Path:
    """Where everything is that the daemon keeps."""
    return Path(config.server.state_dir)


def scratch(config: Config) -> Path:
    """Where stages put what comes out of sandboxes while they look at it."""
    return state_dir(config) / "scratch"


def clear_scratch(config: Config) -> None:
    """Remove what a crash left of it; the state directory is held."""
    shutil.rmtree(scratch(config), ignore_errors=True)
    scratch(config).mkdir(mode=0o700, parents=True)


def own_version() -> str:
    """Bloomery's."""
    try:
        return version("bloomery")
    except PackageNotFoundError:
        return "0"
