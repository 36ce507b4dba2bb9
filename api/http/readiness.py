"""Would a build run now? The checks behind `/readyz`: engine, disk, queue, toolchains, and whether we are leaving.

Each check is bounded in time, because an engine's socket may accept and then say nothing.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cache.errors import Failure, NoSpace

_SECONDS = 3.0


class Lifecycle(StrEnum):
    """Where the daemon is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `detail` says what is there, or what to do."""

    name: str
    ready: bool
    detail: str


Check = Callable[[], Awaitable[str]]
"""Returns what is there; raises a `Failure` that says what to do."""


class Readiness:
    """Runs all checks at once; the lifecycle is one of them."""

    def __init__(self, checks: Sequence[tuple[str, Check]], seconds: float = _SECONDS) -> None:
        self._checks = checks
        self._seconds = seconds
        self.lifecycle = Lifecycle.STARTING

    async def findings(self) -> tuple[Finding, ...]:
        """The lifecycle's first, then the checks' in their order."""
        life = Finding("lifecycle", self.lifecycle is Lifecycle.SERVING, str(self.lifecycle))
        return (life, *await asyncio.gather(*(self._run(name, check) for name, check in self._checks)))

    async def _run(self, name: str, check: Check) -> Finding:
        try:
            async with asyncio.timeout(self._seconds):
                return Finding(name, ready=True, detail=await check())
        except Failure as failure:
            return Finding(name, ready=False, detail=f"{failure.title}: {failure.detail}")
        except TimeoutError:
            return Finding(name, ready=False, detail=f"no answer within {self._seconds:g} seconds")


def disk(directory: Path, least: int) -> Check:
    """Whether at least `least` bytes of the directory's disk are free."""

    async def check() -> str:
        free = (await asyncio.to_thread(shutil.disk_usage, directory)).free
        if free < least:
            raise NoSpace(f"{free >> 20:,} MiB are free at {directory}, {least >> 20:,} MiB are the least; make room")
        return f"{free >> 20:,} MiB free"

    return check


def remembered(check: Check, seconds: float) -> Check:
    """A check whose good result holds for some seconds, so that frequent probes cost nothing."""
    until = 0.0
    known = ""

    async def fresh() -> str:
        nonlocal until, known
        if time.monotonic() >= until:
            known = await check()
            until = time.monotonic() + seconds
        return known

    return fresh
