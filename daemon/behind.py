"""What waits for the answers: done one after another when there is time, and never what a build waits for.

Nothing depends on it. Work that fails, that a stop of the daemon cuts off, or for which there is no room, costs doing
it again some day.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from cache.digest import DigestMismatch
from cache.errors import Failure

_MOST = 256


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Work that waits; `about` is for the log."""

    name: str
    about: str
    work: Callable[[], Coroutine[Any, Any, object]]


class Behind:
    """A queue with one worker; no more than `most` wait."""

    def __init__(self, most: int = _MOST, told: Callable[[int], None] | None = None) -> None:
        """`told` hears how many there are, the one under way with them, whenever that changes."""
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(most)
        self._told = told
        self._left = 0
        self._log = structlog.get_logger()

    def put(self, name: str, about: str, work: Callable[[], Coroutine[Any, Any, object]]) -> bool:
        """To be done when there is time; returns at once, and whether there was room for it."""
        try:
            self._waiting.put_nowait(_Waiting(name, about, work))
        except asyncio.QueueFull:
            self._log.warning(f"{name}.dropped", about=about)
            return False
        self._count(+1)
        return True

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            waiting = await self._waiting.get()
            try:
                await waiting.work()
            except (Failure, DigestMismatch, OSError) as failure:
                self._log.warning(f"{waiting.name}.failed", about=waiting.about, error=str(failure))
            except Exception:  # noqa: BLE001 - hostile bytes are read here, and the next work waits
                self._log.exception(f"{waiting.name}.failed", about=waiting.about)
            finally:
                self._waiting.task_done()
                self._count(-1)

    async def idle(self) -> None:
        """Wait until nothing is left to do."""
        await self._waiting.join()

    def _count(self, change: int) -> None:
        self._left += change
        if self._told is not None:
            self._told(self._left)
