"""The progress of what is done behind the answers: nobody follows it, and what a user would be told goes to the log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from cache.estimates import Forecast
from daemon.builds import Diagnostic, StageName


class Unheard:
    """For one build; `kind` is what is done for it, as the log's lines begin."""

    def __init__(self, kind: str, build: str) -> None:
        self._kind = kind
        self._log = structlog.get_logger().bind(build=build)

    @asynccontextmanager
    async def stage(self, stage: StageName) -> AsyncIterator[None]:
        """Not told."""
        self._log.debug(f"{self._kind}.stage", stage=stage)
        yield

    def log(self, text: str) -> None:
        """Not told."""

    def compiled(self, package: str, *, fresh: bool, done: int, total: int) -> None:
        """Not told."""

    def forecast(self, forecast: Forecast) -> None:
        """Not told."""

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        """Not told."""

    def note(self, text: str) -> None:
        """To the log."""
        self._log.info(f"{self._kind}.note", text=text)
