"""What HTTP shows: the endpoints with their bounds, and what readiness depends on."""

import asyncio
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry

from api.composition.means import Means
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
from api.version import own_version
from cache.manifests import errors as manifest_errors
from cache.manifests.python import errors as python_errors
from cache.manifests.rust import errors as rust_errors
from daemon.admission import Admission, Pushes
from daemon.artifacts import StoredArtifacts
from daemon.build_records import BuildRecords
from daemon.config import UploadSettings
from daemon.errors import NoToolchain
from daemon.event_log import EventLog
from daemon.maintenance import Maintenance
from daemon.metered_intake import MeteredIntake
from daemon.metrics import Metrics
from daemon.ownership import Sources
from daemon.pipeline.explain import Explainer
from daemon.scheduler import Scheduler
from daemon.toolchains.current import CurrentToolchains
from daemon.upload import Intake

_LEAST_FREE = 1 << 30
"""Bytes that have to be free for the daemon to call itself ready."""
_DOCUMENT_PER_ENTRY = 256
"""Bytes of a JSON listing for each entry, its path apart: digest, size and the words around them."""
_ENGINE_SECONDS = 1.0
_SOURCE_FAILURES = (
    manifest_errors.NoManifest,
    manifest_errors.BadManifest,
    rust_errors.LockMismatch,
    manifest_errors.UnsupportedSetting,
    manifest_errors.BadSettings,
    rust_errors.UnknownBinary,
    rust_errors.AmbiguousBinary,
    rust_errors.UnknownFeature,
    rust_errors.MissingFeature,
    rust_errors.UnknownProfile,
    python_errors.BadRequirements,
    python_errors.UnsupportedRequirement,
    python_errors.UnsupportedSource,
    python_errors.NoWheel,
    python_errors.HashMismatch,
    python_errors.UnfitPython,
    python_errors.UnknownExtra,
    python_errors.NoEntrypoint,
    python_errors.AmbiguousEntrypoint,
    python_errors.UnsupportedEntrypoint,
    python_errors.CompiledProject,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the endpoints are about."""

    scheduler: Scheduler
    records: BuildRecords
    events: EventLog
    sources: Sources
    explainer: Explainer
    maintenance: Maintenance
    toolchains: CurrentToolchains
    metrics: Metrics
    registry: CollectorRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The application, and what tells it how the daemon's life goes."""

    app: web.Application
    readiness: Readiness
    closing: asyncio.Event
    """Set when followers are to leave."""


def serving(means: Means, shown: Shown) -> Serving:
    """Put the HTTP side together."""
    blobs, upload = means.store.blobs, means.config.upload
    admission = Admission(shown.scheduler, shown.sources, Pushes(means.config.publish.push))
    intake = MeteredIntake(Intake(blobs, shown.sources, upload.archive(), upload.readers), shown.metrics)
    readiness = Readiness(_checks(means, admission, shown.toolchains))
    closing = asyncio.Event()
    limits = body_limits(upload)
    endpoints: tuple[Endpoint, ...] = (
        *BuildHandlers(admission, shown.records, intake, limits).endpoints(),
        *EventHandlers(shown.events, shown.records, closing).endpoints(),
        *ArtifactHandlers(shown.records, StoredArtifacts(blobs)).endpoints(),
        *TreeHandlers(intake, shown.sources, limits).endpoints(),
        *ExplainHandlers(shown.explainer, _SOURCE_FAILURES, limits).endpoints(),
        *CacheHandlers(shown.maintenance, limits).endpoints(),
        *SystemHandlers(
            readiness, shown.toolchains, shown.registry, lambda: describe(endpoints, own_version())
        ).endpoints(),
    )
    return Serving(app=make_app(endpoints, Guard(means.tokens)), readiness=readiness, closing=closing)


def _checks(means: Means, admission: Admission, toolchains: CurrentToolchains) -> tuple[tuple[str, Check], ...]:
    engine = means.engine

    async def answers() -> str:
        await engine.survey.sandboxes(means.labels)
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
        ("disk", disk(means.state_dir.path, _LEAST_FREE)),
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
