"""Runs builds only after what a crash left in the engine has been removed: afterwards, it could not be told apart."""

import asyncio
from typing import Protocol

from daemon.builds import Build, Outcome
from daemon.events import Progress
from daemon.recovery import Reaped


class Runner(Protocol):
    """What does the work of a build."""

    async def run(self, build: Build, progress: Progress) -> Outcome:
        """One attempt."""
        ...


class Reaper(Protocol):
    """What removes the leftovers."""

    async def reap(self) -> Reaped:
        """Once; raises what the engine raises."""
        ...


class AfterRecovery:
    """A runner that first makes sure of the recovery, once in the daemon's life.

    A daemon starts without its engine; then the first attempt that finds the engine answering does it.
    """

    def __init__(self, runner: Runner, recovery: Reaper) -> None:
        self._runner = runner
        self._recovery = recovery
        self._reaped: Reaped | None = None
        self._reaping = asyncio.Lock()

    async def recover(self) -> None:
        """Remove what is left over unless that is done; raises what the engine raises."""
        async with self._reaping:
            if self._reaped is None:
                self._reaped = await self._recovery.reap()

    async def run(self, build: Build, progress: Progress) -> Outcome:
        """One attempt; fails as the engine does where it cannot be asked for leftovers."""
        await self.recover()
        return await self._runner.run(build, progress)
