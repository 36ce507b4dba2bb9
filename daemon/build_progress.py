"""What a running attempt tells, on its way into the event log, its build's record and the metrics."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cache.estimates import Forecast
from daemon.build_records import BuildDone
from daemon.builds import Diagnostic, StageName, StageRecord
from daemon.event_log import EventLog
from daemon.events import EventKind
from daemon.metrics import Metrics

DIAGNOSTICS = 1000
"""Diagnostics that the record keeps; the events have all."""
LINE = 16 << 10
"""Characters of one line of output that are kept."""


class BuildProgress:
    """The `Progress` of one attempt at one build."""

    def __init__(self, build: str, log: EventLog, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._build = build
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._stages: list[StageRecord] = []
        self._diagnostics: list[Diagnostic] = []

    @asynccontextmanager
    async def stage(self, stage: StageName) -> AsyncIterator[None]:
        """Bracket a stage; one that fails is recorded with the time that it took to fail."""
        started_at, started = self._clock(), time.perf_counter()
        self._log.append(self._build, EventKind.STAGE, {"stage": stage, "phase": "begin", "seconds": 0.0})
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            self._stages.append(StageRecord(stage=stage, started_at=started_at, seconds=seconds))
            self._metrics.stage_ended(stage, seconds)
            self._log.append(self._build, EventKind.STAGE, {"stage": stage, "phase": "end", "seconds": seconds})
            self._log.progressed(self._build, self.done().encoded())

    def log(self, text: str) -> None:
        """One line of output."""
        self._log.append(self._build, EventKind.LOG, {"text": text if len(text) <= LINE else f"{text[:LINE]}…"})

    def compiled(self, package: str, *, fresh: bool, done: int, total: int) -> None:
        """Cargo is done with a package."""
        data = {"package": package, "fresh": fresh, "done": done, "total": total}
        self._log.append(self._build, EventKind.COMPILED, data)

    def forecast(self, forecast: Forecast) -> None:
        """What the build is expected to do."""
        data = {
            "rung": forecast.rung,
            "reused": forecast.reused,
            "dependencies": len(forecast.compiled) - len(forecast.members),
            "members": len(forecast.members),
            "expected_seconds": forecast.expected_seconds,
            "cold_seconds": forecast.cold_seconds,
        }
        self._log.append(self._build, EventKind.FORECAST, data)

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        """The compiler said something about the source."""
        if len(self._diagnostics) < DIAGNOSTICS:
            self._diagnostics.append(diagnostic)
        self._log.append(self._build, EventKind.DIAGNOSTIC, diagnostic)

    def note(self, text: str) -> None:
        """Something the user should know."""
        self._log.append(self._build, EventKind.NOTE, {"text": text})

    def done(self) -> BuildDone:
        """What the attempt has done so far."""
        return BuildDone(stages=tuple(self._stages), diagnostics=tuple(self._diagnostics))
