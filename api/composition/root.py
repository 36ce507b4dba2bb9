"""The root: what runs builds, what keeps them on record, what keeps the disk in bounds, and what HTTP shows of it."""

import asyncio
from dataclasses import dataclass, replace

from aiohttp import web
from prometheus_client import CollectorRegistry

from api.composition.building import building
from api.composition.means import Means
from api.composition.serving import Shown, serving
from api.composition.verifying import Keeping
from api.http.readiness import Readiness
from daemon.after_recovery import AfterRecovery
from daemon.behind import Behind
from daemon.build_records import BuildRecords
from daemon.cache_size import CacheSize
from daemon.engine.metered import MeteredEngine
from daemon.event_log import EventLog
from daemon.image.library_source import LibrarySource
from daemon.maintenance import Maintenance
from daemon.metrics import Metrics, ProjectLabel
from daemon.ownership import OwnSources, SharedSources
from daemon.recovery import Recovery
from daemon.scheduler import Scheduler
from daemon.toolchains.current import CurrentToolchains
from daemon.uses import Uses
from daemon.verification.verifier import Verifier


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
    verifier: Verifier
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
    sources = OwnSources(store) if means.tokens else SharedSources(store)
    cache_size, uses = CacheSize(store, means.state_dir.blobs, metrics), Uses()
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
    builds = building(means, sources, Keeping(uses=uses, maintenance=maintenance, metrics=metrics))
    recovery = Recovery(engine.survey, engine.sandboxes, engine.images, store, store.instance)
    runner = AfterRecovery(builds.pipeline, recovery)
    scheduler = Scheduler(records, runner, events, metrics, config.builds, builds.slots)
    http = serving(
        means,
        Shown(
            scheduler=scheduler,
            records=records,
            events=events,
            sources=sources,
            explainer=builds.explainer,
            maintenance=maintenance,
            toolchains=builds.toolchains,
            metrics=metrics,
            registry=registry,
        ),
    )
    return Daemon(
        app=http.app,
        scheduler=scheduler,
        runner=runner,
        libraries=builds.libraries,
        toolchains=builds.toolchains,
        events=events,
        cache_size=cache_size,
        maintenance=maintenance,
        behind=builds.behind,
        verifier=builds.verifier,
        readiness=http.readiness,
        closing=http.closing,
    )
