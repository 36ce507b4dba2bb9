"""How many builds work at once; one that waits for another's work lends its place to somebody else meanwhile."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Slots:
    """So many places, and a way back for those who lent theirs: before whoever comes anew."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._returning: deque[asyncio.Future[None]] = deque()
        self._freed: Callable[[], None] = lambda: None

    def when_free(self, call: Callable[[], None]) -> None:
        """Call this whenever there may be a place for somebody new."""
        self._freed = call

    @property
    def free(self) -> bool:
        """Somebody new may take a place."""
        return self._taken < self._count and not self._returning

    def take(self) -> None:
        """Begin to work."""
        self._taken += 1

    def give(self) -> None:
        """End working."""
        self._taken -= 1
        while self._returning and self._taken < self._count:
            back = self._returning.popleft()
            if not back.done():
                self._taken += 1
                back.set_result(None)
        self._freed()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Somebody else may work in the block; its end waits for a place, unless the block fails or is cancelled."""
        self.give()
        try:
            yield
        except BaseException:
            # What ends has to clean up, which is not to wait for others.
            self._taken += 1
            raise
        await self._back()

    async def _back(self) -> None:
        if self.free:
            self._taken += 1
            return
        back = asyncio.get_running_loop().create_future()
        self._returning.append(back)
        try:
            await back
        except asyncio.CancelledError:
            if not back.done() or back.cancelled():
                self._taken += 1
            raise
