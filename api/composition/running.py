"""What runs in sandboxes, and what makes an image of what comes out and hands it over."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from api.composition.imaging import Imaging
from api.composition.means import Means
from cache.digest import Digest
from daemon.image import layout
from daemon.image.architecture import AMD64
from daemon.image.elf import ElfReader
from daemon.pipeline.attempt import Attempts
from daemon.pipeline.check import Checker
from daemon.pipeline.compile import CompileStage
from daemon.pipeline.environments import Environments
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.finish import FinishStage
from daemon.pipeline.installed_ground import InstalledGround
from daemon.pipeline.network_access import NetworkAccess
from daemon.pipeline.publish import PublishStage
from daemon.pipeline.sandboxes import SandboxSettings
from daemon.registry.push import Pusher
from daemon.toolchains.access_times import AccessTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What runs in sandboxes."""

    settings: SandboxSettings
    attempts: Attempts
    fetch: FetchStage
    compile: CompileStage
    installed: InstalledGround


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What makes an image of a binary and hands it over."""

    publish: PublishStage
    finish: FinishStage
    reader: ElfReader


def running(means: Means, ending: Ending) -> Running:
    """The stages that run steps, within the bounds of the configuration."""
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
    return Running(
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


def ending(means: Means, images: Imaging) -> Ending:
    """The stages after the last step."""
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
    return Ending(publish=publish, finish=finish, reader=images.reader)
