"""A `Progress` that remembers what it was told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cache.estimates import Forecast
from daemon.builds import Diagnostic, StageName


class Heard:
    """What was told, by kind, in order."""

    def __init__(self) -> None:
        self.stages: list[StageName] = []
        self.lines: list[str] = []
        self.packages: list[tuple[str, bool]] = []
        self.diagnostics: list[Diagnostic] = []
        self.forecasts: list[Forecast] = []
        self.notes: list[str] = []

    @asynccontextmanager
    async def stage(self, stage: StageName) -> AsyncIterator[None]:
        self.stages.append(stage)
        yield

    def log(self, text: str) -> None:
        self.lines.append(text)

    def compiled(self, package: str, *, fresh: bool, done: int, total: int) -> None:
        self.packages.append((package, fresh))

    def forecast(self, forecast: Forecast) -> None:
        self.forecasts.append(forecast)

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)

    def note(self, text: str) -> None:
        self.notes.append(text)
