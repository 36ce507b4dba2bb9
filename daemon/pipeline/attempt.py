"""One attempt at a build, as every stage sees it: what was asked, where to run steps, whom to tell."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from daemon.builds import Build, BuildRequest
from daemon.engine.engine import Sandboxes
from daemon.events import Progress
from daemon.pipeline.publish import Publishing, PublishStage
from daemon.pipeline.sandboxes import BuildSandboxes, SandboxSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The build, its sandboxes, its progress, and the images that it brings into the engine."""

    build: Build
    sandboxes: BuildSandboxes
    progress: Progress
    publishing: Publishing

    @property
    def request(self) -> BuildRequest:
        """What was asked."""
        return self.build.request


class Attempts:
    """Begins attempts."""

    def __init__(self, *, engine: Sandboxes, settings: SandboxSettings, publish: PublishStage) -> None:
        self._engine = engine
        self._settings = settings
        self._publish = publish

    @asynccontextmanager
    async def begun(self, build: Build, progress: Progress) -> AsyncIterator[Attempt]:
        """An attempt that leaves no sandbox behind; if the block fails, no image either that nothing names."""
        async with self._publish.publishing() as publishing, BuildSandboxes(self._engine, self._settings, build) as own:
            yield Attempt(build=build, sandboxes=own, progress=progress, publishing=publishing)
