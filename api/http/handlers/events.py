"""A build's events as they happen, with replay: whoever lost the connection goes on where it was."""

import asyncio
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any, Protocol

from aiohttp import web

from api.errors import InvalidRequest, NotAcceptable
from api.http.accept import choose
from api.http.bodies import query
from api.http.endpoint import Endpoint, HeaderParameter, JsonForm, Reply, StreamForm
from api.http.event_forms import FORMS, JSON_LINES, SERVER_SENT, TEXT, EventForm
from api.http.guard import Records, visible_build
from api.http.schemas.events import EventsQuery
from daemon.errors import UnknownBuild
from daemon.events import Event

HEARTBEAT_SECONDS = 15.0


class Events(Protocol):
    """The log of every build's events."""

    def so_far(self, build: str, after: int) -> AsyncIterator[Event]:
        """Those with a number above `after` that have happened."""
        ...

    def follow(self, build: str, after: int) -> AsyncIterator[Event]:
        """Those with a number above `after`, old and new, to the build's end."""
        ...


class EventHandlers:
    """Followers, who end with the build, with their connection, or when the daemon is `closing`."""

    def __init__(
        self,
        events: Events,
        records: Records,
        closing: asyncio.Event,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._events = events
        self._records = records
        self._closing = closing
        self._heartbeat = heartbeat

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send what has happened and what happens, in the form that Accept asks for."""
        asked = query(request, EventsQuery)
        wanted = choose(request.headers.get("Accept", "*/*"), [form.media_type for form in FORMS])
        form = next(form for form in FORMS if form.media_type == wanted)
        after = asked.after if asked.after is not None else _last_event(request)
        # before the head is sent: an unknown build is a problem
        build = (await visible_build(request, self._records)).id
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = form.media_type
        if form is TEXT:
            response.charset = "utf-8"
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        events = self._events.follow(build, after) if asked.follow else self._events.so_far(build, after)
        follower = _Follower(events, self._closing)
        try:
            await self._forward(request, response, form, follower)
        finally:
            await follower.close()
        await response.write_eof()
        return response

    async def _forward(
        self,
        request: web.Request,
        response: web.StreamResponse,
        form: EventForm,
        follower: "_Follower",
    ) -> None:
        while (arrived := await follower.next(self._heartbeat)) is not Pause.OVER:
            if isinstance(arrived, Event):
                if encoded := form.encode(arrived):
                    await response.write(encoded)
            elif request.transport is None or request.transport.is_closing():
                return
            elif form.heartbeat:
                await response.write(form.heartbeat)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What the router serves."""
        return (
            Endpoint(
                method="GET",
                path="/v1/builds/{id}/events",
                operation="followBuild",
                summary="What has happened to a build and what happens, to its end",
                description=(
                    "`text/event-stream` numbers its events by `id` and resumes by `Last-Event-ID`; a comment comes "
                    f"every {HEARTBEAT_SECONDS:g} s when nothing happens (in NDJSON an empty line). "
                    "`text/plain`, and whoever accepts anything, gets lines to read."
                ),
                handler=self.stream,
                tag="builds",
                query=EventsQuery,
                headers=(
                    HeaderParameter(name="Last-Event-ID", description="The number of the last event that was seen"),
                ),
                replies=(
                    Reply(
                        description="Events until the build ends",
                        forms=(
                            StreamForm(media_type=SERVER_SENT.media_type),
                            JsonForm(schema=Event, media_type=JSON_LINES.media_type),
                            StreamForm(media_type=TEXT.media_type),
                        ),
                    ),
                ),
                failures=(UnknownBuild, InvalidRequest, NotAcceptable),
            ),
        )


class Pause(Enum):
    """What may come instead of an event."""

    QUIET = "quiet"
    """Nothing happened for a while."""
    OVER = "over"
    """Nothing will happen any more, or the daemon is closing."""


class _Follower:
    """Waits for the next event without ever taking back a wait that has begun, which would end the log's iterator."""

    def __init__(self, events: AsyncIterator[Event], closing: asyncio.Event) -> None:
        self._events = events
        self._next: asyncio.Task[Event | None] | None = None
        self._closing: asyncio.Task[bool] = asyncio.create_task(_closed(closing))

    async def next(self, seconds: float) -> Event | Pause:
        """The next event, or why there is none after `seconds`."""
        if self._next is None:
            self._next = asyncio.create_task(_next_of(self._events))
        waited: set[asyncio.Task[Any]] = {self._next, self._closing}
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._next.done():
            arrived, self._next = self._next.result(), None
            return Pause.OVER if arrived is None else arrived
        return Pause.OVER if self._closing.done() else Pause.QUIET

    async def close(self) -> None:
        """Leave the log."""
        waited: set[asyncio.Task[Any]] = {task for task in (self._next, self._closing) if task is not None}
        for task in waited:
            task.cancel()
        await asyncio.wait(waited)
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


async def _next_of(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


async def _closed(closing: asyncio.Event) -> bool:
    return await closing.wait()


def _last_event(request: web.Request) -> int:
    given = request.headers.get("Last-Event-ID", "0")
    if not given.isascii() or not given.isdigit() or len(given) > 18:  # noqa: PLR2004 - fits 64 bits
        raise InvalidRequest("Last-Event-ID is the number of an event", path="header.Last-Event-ID")
    return int(given)
