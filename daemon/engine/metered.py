"""An engine whose failures are counted, by the method that failed; everything else passes through.

Counted is what says something about the engine: that it does not answer, that it refuses what none of our requests
should cause, that its disk is full. That an image is gone or a step took too long is no failure of the engine's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager

from cache.errors import NoSpace
from daemon.engine.engine import (
    Archive,
    EngineImage,
    EngineInfo,
    Exit,
    Images,
    Limits,
    OutputSink,
    Sandbox,
    Sandboxes,
    SandboxSpec,
    SandboxState,
    Survey,
)
from daemon.errors import EngineRefused, EngineUnavailable

Failed = Callable[[str], None]
"""Told the name of each method that failed."""


class MeteredEngine:
    """The three parts of an engine, metered."""

    def __init__(self, sandboxes: Sandboxes, images: Images, survey: Survey, failed: Failed) -> None:
        self.sandboxes: Sandboxes = _MeteredSandboxes(sandboxes, failed)
        self.images: Images = _MeteredImages(images, failed)
        self.survey: Survey = _MeteredSurvey(survey, failed)


@contextmanager
def _counted(failed: Failed, operation: str) -> Iterator[None]:
    try:
        yield
    except (EngineUnavailable, EngineRefused, NoSpace):
        failed(operation)
        raise


class _MeteredSandboxes:
    def __init__(self, inner: Sandboxes, failed: Failed) -> None:
        self._inner = inner
        self._failed = failed

    async def create(self, spec: SandboxSpec) -> str:
        with _counted(self._failed, "create"):
            return await self._inner.create(spec)

    async def put(self, sandbox: str, archive: Archive) -> None:
        with _counted(self._failed, "put"):
            await self._inner.put(sandbox, archive)

    async def run(self, sandbox: str, sink: OutputSink, limits: Limits) -> Exit:
        with _counted(self._failed, "run"):
            return await self._inner.run(sandbox, sink, limits)

    async def get(self, sandbox: str, path: str) -> Archive:
        with _counted(self._failed, "get"):
            async with aclosing(self._inner.get(sandbox, path)) as archive:
                async for piece in archive:
                    yield piece

    async def isolate(self, sandbox: str) -> None:
        with _counted(self._failed, "isolate"):
            await self._inner.isolate(sandbox)

    async def remove(self, sandbox: str) -> None:
        with _counted(self._failed, "remove"):
            await self._inner.remove(sandbox)


class _MeteredImages:
    def __init__(self, inner: Images, failed: Failed) -> None:
        self._inner = inner
        self._failed = failed

    async def inspect(self, reference: str) -> EngineImage | None:
        with _counted(self._failed, "inspect"):
            return await self._inner.inspect(reference)

    async def load(self, archive: Archive) -> None:
        with _counted(self._failed, "load"):
            await self._inner.load(archive)

    async def import_root(self, archive: Archive, reference: str, changes: tuple[str, ...]) -> str:
        with _counted(self._failed, "import_root"):
            return await self._inner.import_root(archive, reference, changes)

    async def commit(self, sandbox: str, reference: str, labels: Mapping[str, str]) -> str:
        with _counted(self._failed, "commit"):
            return await self._inner.commit(sandbox, reference, labels)

    async def tag(self, image: str, reference: str) -> None:
        with _counted(self._failed, "tag"):
            await self._inner.tag(image, reference)

    async def remove(self, reference: str) -> None:
        with _counted(self._failed, "remove_image"):
            await self._inner.remove(reference)


class _MeteredSurvey:
    def __init__(self, inner: Survey, failed: Failed) -> None:
        self._inner = inner
        self._failed = failed

    async def info(self) -> EngineInfo:
        with _counted(self._failed, "info"):
            return await self._inner.info()

    async def sandboxes(self, labels: Mapping[str, str]) -> tuple[Sandbox, ...]:
        with _counted(self._failed, "sandboxes"):
            return await self._inner.sandboxes(labels)

    async def sandbox(self, sandbox: str) -> SandboxState | None:
        with _counted(self._failed, "sandbox"):
            return await self._inner.sandbox(sandbox)

    async def images(self, labels: Mapping[str, str]) -> tuple[EngineImage, ...]:
        with _counted(self._failed, "images"):
            return await self._inner.images(labels)

    async def pull(self, reference: str) -> str:
        with _counted(self._failed, "pull"):
            return await self._inner.pull(reference)

    async def close(self) -> None:
        await self._inner.close()
