"""One attempt at a build, as every stage sees it: what was asked, where to run steps, whom to tell.

What an attempt leaves for later builds is kept as long as all is trusted that it may stand on.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from daemon.builds import Build, BuildRequest
from daemon.engine.engine import Sandboxes
from daemon.events import Progress
from daemon.pipeline.publish import Publishing, PublishStage
from daemon.pipeline.sandboxes import BuildSandboxes, SandboxSettings


@dataclass(slots=True, eq=False)
class Trust:
    """Whether what an attempt leaves may be kept: not where something of its scope was revoked since it began."""

    scope: str
    held: bool = True


@dataclass(slots=True, eq=False)
class Waited:
    """Seconds in which an attempt did nothing but wait for what another build does: they are no cost of its own."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The build, its sandboxes, its progress, and the images that it brings into the engine."""

    build: Build
    sandboxes: BuildSandboxes
    progress: Progress
    publishing: Publishing
    trust: Trust
    waited: Waited = field(default_factory=Waited)

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
        self._running: set[Trust] = set()
        self._revoking: list[str] = []

    @asynccontextmanager
    async def begun(self, build: Build, progress: Progress) -> AsyncIterator[Attempt]:
        """An attempt that leaves no sandbox behind; if the block fails, no image either that nothing names."""
        trust = Trust(build.request.scope, build.request.scope not in self._revoking)
        self._running.add(trust)
        try:
            async with (
                self._publish.publishing() as publishing,
                BuildSandboxes(self._engine, self._settings, build) as own,
            ):
                yield Attempt(build=build, sandboxes=own, progress=progress, publishing=publishing, trust=trust)
        finally:
            self._running.discard(trust)

    @contextmanager
    def revoking(self, scope: str) -> Iterator[None]:
        """As long as the block lasts something of this scope is revoked: what runs, or begins, may stand on it."""
        for trust in self._running:
            if trust.scope == scope:
                trust.held = False
        self._revoking.append(scope)
        try:
            yield
        finally:
            self._revoking.remove(scope)
