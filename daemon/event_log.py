"""The event log: what builds tell is written in batches, and followers read what was written.

An event is shown when it is in the store, never before, so a number that a follower has seen means the same event after
a crash. Followers read the store page by page, so a slow one holds one page and no more.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

import msgspec
import structlog

from cache.errors import Failure
from cache.history import EventPage, NewEvent
from daemon.build_records import unknown_build
from daemon.builds import BuildState
from daemon.events import Event, EventKind

BATCH = 200
"""As many events are written without waiting for more."""
PAUSE = 0.05
"""Seconds that an event waits for others."""
PAGE = 500
"""Events that a follower holds at most."""
BACKLOG = 16 << 20
"""Bytes of events that wait for the store at most; beyond, output is left out and its place is told."""

_DROPPABLE = {EventKind.LOG, EventKind.COMPILED, EventKind.DIAGNOSTIC}
_AFTER_FAILURE = 1.0
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class EventRecords(Protocol):
    """Where events are kept."""

    async def append_events(self, events: Collection[NewEvent], progress: Mapping[str, bytes]) -> None:
        """Keep events in their order, all or none, with what they add to their builds' records."""
        ...

    async def events(self, build: str, after: int, limit: int) -> EventPage | None:
        """The next events after a number, and the build's state at that moment; None for an unknown build."""
        ...


class EventLog:
    """Appends without waiting; `follow` replays and then goes on live."""

    def __init__(self, records: EventRecords, clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._clock = clock
        self._pending: list[NewEvent] = []
        self._bytes = 0
        self._progress: dict[str, bytes] = {}
        self._dropped: dict[str, int] = {}
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._writing = asyncio.Lock()
        self._full = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def append(self, build: str, kind: EventKind, data: object) -> None:
        """Add an event, from the loop; it is written within `PAUSE` or with the next `flush`."""
        if self._bytes >= BACKLOG and kind in _DROPPABLE:
            self._dropped[build] = self._dropped.get(build, 0) + 1
            return
        event = NewEvent(build, self._clock(), kind, _encode(data))
        self._pending.append(event)
        self._bytes += len(event.data)
        self._wake_writer()

    def progressed(self, build: str, done: bytes) -> None:
        """Bring the build's record up to date with the next batch."""
        self._progress[build] = done
        self._wake_writer()

    async def flush(self) -> None:
        """Write all that was appended before; raises the store's failure, and then keeps what it could not write."""
        # A caller that is cancelled must not leave open whether its events were written.
        await asyncio.shield(self._flush())

    def wake(self, build: str) -> None:
        """Events of this build were written: its followers look."""
        for follower in self._followers.get(build, ()):
            follower.set()

    async def so_far(self, build: str, after: int = 0) -> AsyncIterator[Event]:
        """The build's events with numbers above `after` that are written; `UnknownBuild` where there is none."""
        while True:
            page = await self._page(build, after)
            for event in _events(page):
                after = event.number
                yield event
            if len(page.events) < PAGE:
                return

    async def follow(self, build: str, after: int = 0) -> AsyncIterator[Event]:
        """The build's events with numbers above `after`, then those to come; ends after the event of the final state.

        `UnknownBuild` where there is no such build.
        """
        news = asyncio.Event()
        self._followers.setdefault(build, set()).add(news)
        try:
            while True:
                news.clear()
                page = await self._page(build, after)
                for event in _events(page):
                    after = event.number
                    yield event
                if len(page.events) < PAGE:
                    if BuildState(page.state).final:
                        return
                    await news.wait()
        finally:
            self._followers[build].discard(news)
            if not self._followers[build]:
                del self._followers[build]

    async def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait({self._writer})
        await self.flush()

    async def _page(self, build: str, after: int) -> EventPage:
        page = await self._records.events(build, after, PAGE)
        if page is None:
            raise unknown_build(build)
        return page

    def _wake_writer(self) -> None:
        if len(self._pending) >= BATCH:
            self._full.set()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._pending or self._progress:
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._full.wait()
            self._full.clear()
            try:
                await self.flush()
            except Failure as failure:
                structlog.get_logger().warning("events.not_written", kind=failure.kind, detail=failure.detail)
                await asyncio.sleep(_AFTER_FAILURE)

    async def _flush(self) -> None:
        async with self._writing:
            events, progress = [*self._pending, *self._places_of_dropped()], self._progress
            if not events and not progress:
                return
            self._pending, self._progress = [], {}
            try:
                await self._records.append_events(events, progress)
            except BaseException:
                self._pending = events + self._pending
                self._progress = progress | self._progress
                raise
            self._bytes -= sum(len(event.data) for event in events)
        for build in {event.build for event in events}:
            self.wake(build)

    def _places_of_dropped(self) -> list[NewEvent]:
        notes = []
        for build, number in self._dropped.items():
            text = f"{number} lines of output were left out here: the store was slower than the build."
            notes.append(NewEvent(build, self._clock(), EventKind.NOTE, _encode({"text": text})))
        self._bytes += sum(len(note.data) for note in notes)
        self._dropped.clear()
        return notes


def _events(page: EventPage) -> Iterator[Event]:
    for row in page.events:
        yield Event(number=row.number, at=row.at, kind=EventKind(row.kind), data=_decode(row.data))
