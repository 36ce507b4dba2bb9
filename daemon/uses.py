"""Which entries of the cache builds use.

Those in use right now stay, and when each was used last says how likely it is to be wanted again. Builds only note it
here; what is written down is written behind their answers.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from cache.gc import EntryName


class Uses:
    """Told by builds, asked by `daemon.maintenance`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._now: dict[str, set[EntryName]] = {}
        self._last: dict[EntryName, float] = {}
        self._ended = asyncio.Event()

    def note(self, build: str, *names: EntryName) -> None:
        """A build uses these, until it ends."""
        self._now.setdefault(build, set()).update(names)
        self._last |= dict.fromkeys(names, self._clock())

    def ended(self, build: str) -> None:
        """A build uses nothing any more."""
        self._now.pop(build, None)
        self._ended.set()

    def in_use(self) -> frozenset[EntryName]:
        """What running builds have noted."""
        return frozenset(name for names in self._now.values() for name in names)

    def take(self) -> Mapping[EntryName, float]:
        """When entries were used since this was asked last."""
        taken, self._last = self._last, {}
        return taken

    async def an_end(self) -> None:
        """Wait until a build has ended since this was asked last."""
        await self._ended.wait()
        self._ended.clear()
