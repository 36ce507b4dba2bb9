"""Builds over HTTP: ask for one, look at them, cancel one."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from api.errors import (
    BodyCut,
    ForeignScope,
    InvalidRequest,
    MalformedJson,
    UnsupportedMediaType,
)
from api.http.bodies import BodyLimits, document, query, require_media_type, stream
from api.http.endpoint import Endpoint, HeaderParameter, JsonForm, Reply, StreamForm
from api.http.guard import scope_of, sees, visible_build
from api.http.replies import json_reply
from api.http.schemas.builds import BuildBody, BuildPage, BuildQuery, PageQuery
from cache.archive_errors import BadArchive, BadIgnoreFile, UnsafeEntry, UploadTooLarge, UploadTooSlow
from cache.errors import NoSpace
from cache.tree import SourceTree
from daemon.build_records import Accepted, BuildList
from daemon.builds import Build, BuildRequest, BuildState
from daemon.errors import Draining, IdempotencyMismatch, MissingBlobs, QueueFull, UnknownBuild, UnknownTree

ARCHIVE_TYPES = (
    "application/x-tar",
    "application/gzip",
    "application/x-gzip",
    "application/zstd",
    "application/octet-stream",
    "application/x-www-form-urlencoded",  # what `curl --data-binary` says of anything
)
_KEY_LENGTH = 255
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:[;,]|$)", re.IGNORECASE)
_LONGEST_WAIT = 0.25
"""Seconds: enough for a build that needs no compiler, and too short to be missed at the beginning of one that does."""


class Queue(Protocol):
    """Where builds wait for their turn."""

    async def require_open(self) -> None:
        """Raise `Draining` or `QueueFull` when no build would be accepted now, so that nothing is uploaded in vain."""
        ...

    async def submit(self, request: BuildRequest, idempotency_key: str | None) -> Accepted:
        """Accept a build for good; `UnknownTree`, `IdempotencyMismatch`, `QueueFull`, `Draining`, `NoSpace`."""
        ...

    async def ended(self, build: str, within: float) -> Build:
        """The build at its end, or as it is after so many seconds; `UnknownBuild`."""
        ...

    async def cancel(self, build: str) -> Build:
        """End a build that has not ended; `UnknownBuild`."""
        ...


class Records(Protocol):
    """The builds on record."""

    async def build(self, build: str) -> Build:
        """One build; `UnknownBuild`."""
        ...

    async def builds(self, cursor: int | None, limit: int, *, state: BuildState | None, scope: str | None) -> BuildList:
        """Up to `limit` builds from the cursor on, newest first; None does not filter."""
        ...


class Uploads(Protocol):
    """Where archives become trees."""

    async def from_archive(self, body: AsyncIterator[bytes], scope: str) -> SourceTree:
        """Read an archive and keep its tree, for this scope."""
        ...


class BuildHandlers:
    """The endpoints of builds themselves; events, images and the rest have handlers of their own."""

    def __init__(self, queue: Queue, records: Records, uploads: Uploads, limits: BodyLimits) -> None:
        self._queue = queue
        self._records = records
        self._uploads = uploads
        self._limits = limits

    async def create(self, request: web.Request) -> web.Response:
        """Accept a build of an archive in the body, or of a tree that is here."""
        key = _idempotency_key(request)
        if request.content_type == "application/json":
            wanted = await self._of_document(request)
        else:
            wanted = await self._of_archive(request)
        accepted = await self._queue.submit(wanted, key)
        build = accepted.build
        if wait := _wait(request):
            build = await self._queue.ended(build.id, wait)
        made = HTTPStatus.CREATED if build.state.final else HTTPStatus.ACCEPTED
        status = made if accepted.new else HTTPStatus.OK
        return json_reply(build, status, {"Location": f"/v1/builds/{build.id}"})

    async def _of_document(self, request: web.Request) -> BuildRequest:
        if request.query:
            raise InvalidRequest("with a JSON body the settings stand in it, not in the query", path="query")
        body = await document(request, BuildBody, self._limits)
        return body.value(scope_of(request, body.scope))

    async def _of_archive(self, request: web.Request) -> BuildRequest:
        require_media_type(request, (*ARCHIVE_TYPES, "application/json"))
        settings = query(request, BuildQuery)
        scope = scope_of(request, settings.scope)
        await self._queue.require_open()
        async with aclosing(stream(request, self._limits.archive, self._limits)) as body:
            tree = await self._uploads.from_archive(body, scope)
        return settings.value(str(tree.digest), scope)

    async def list(self, request: web.Request) -> web.Response:
        """One page, newest first."""
        asked = query(request, PageQuery)
        cursor = None if asked.cursor is None else int(asked.cursor)
        page = await self._records.builds(cursor, asked.limit, state=asked.state, scope=sees(request))
        return json_reply(BuildPage(builds=page.builds, next=None if page.next is None else str(page.next)))

    async def show(self, request: web.Request) -> web.Response:
        """One build's record."""
        return json_reply(await visible_build(request, self._records))

    async def cancel(self, request: web.Request) -> web.Response:
        """End a build; a build that has ended stays as it is."""
        return json_reply(await self._queue.cancel((await visible_build(request, self._records)).id))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What the router serves."""
        location = {"Location": "The build's path"}
        reading = (UploadTooLarge, UploadTooSlow, BodyCut, MalformedJson, InvalidRequest, UnsupportedMediaType)
        one = JsonForm(schema=Build)
        return (
            Endpoint(
                method="POST",
                path="/v1/builds",
                operation="createBuild",
                summary="Build an image from an archive in the body, or from a tree that is here",
                description=(
                    "An archive (tar; plain, gzip or zstd) takes its settings from the query; a JSON body holds them "
                    "itself. The answer comes once the build is accepted for good; follow its events for the rest. "
                    "With `Prefer: wait=1` (RFC 7240) a build that ends within a moment is answered as it ended."
                ),
                handler=self.create,
                tag="builds",
                query=BuildQuery,
                headers=(
                    HeaderParameter(
                        name="Idempotency-Key",
                        description="Up to 255 characters; the same key and content give the same build again",
                    ),
                    HeaderParameter(
                        name="Prefer",
                        description=(
                            "`wait=SECONDS`: do not answer before the build has ended; "
                            f"{_LONGEST_WAIT:g} s are waited at most, and not for its turn in the queue"
                        ),
                    ),
                ),
                body=(JsonForm(schema=BuildBody), *(StreamForm(media_type=each) for each in ARCHIVE_TYPES)),
                replies=(
                    Reply(status=HTTPStatus.ACCEPTED, description="Accepted", forms=(one,), headers=location),
                    Reply(status=HTTPStatus.CREATED, description="It has ended", forms=(one,), headers=location),
                    Reply(description="This key was seen: the build of then", forms=(one,), headers=location),
                ),
                failures=(
                    *reading,
                    BadArchive,
                    UnsafeEntry,
                    BadIgnoreFile,
                    ForeignScope,
                    UnknownTree,
                    MissingBlobs,
                    IdempotencyMismatch,
                    QueueFull,
                    Draining,
                    NoSpace,
                ),
            ),
            Endpoint(
                method="GET",
                path="/v1/builds",
                operation="listBuilds",
                summary="Builds, newest first",
                handler=self.list,
                tag="builds",
                query=PageQuery,
                replies=(Reply(description="One page", forms=(JsonForm(schema=BuildPage),)),),
                failures=(InvalidRequest,),
            ),
            Endpoint(
                method="GET",
                path="/v1/builds/{id}",
                operation="showBuild",
                summary="One build: state, stages, reuse report, images, failure",
                handler=self.show,
                tag="builds",
                replies=(Reply(description="The build", forms=(one,)),),
                failures=(UnknownBuild,),
            ),
            Endpoint(
                method="DELETE",
                path="/v1/builds/{id}",
                operation="cancelBuild",
                summary="Cancel a build; its record stays",
                handler=self.cancel,
                tag="builds",
                replies=(Reply(description="The build as it is now", forms=(one,)),),
                failures=(UnknownBuild,),
            ),
        )


def _wait(request: web.Request) -> float:
    """Seconds to wait for the build's end; a preference that is not understood is none (RFC 7240)."""
    found = _WAIT.search(",".join(request.headers.getall("Prefer", ())))
    return min(float(found[1]), _LONGEST_WAIT) if found else 0.0


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not key or len(key) > _KEY_LENGTH or not key.isprintable():
        raise InvalidRequest(
            f"an Idempotency-Key has 1 to {_KEY_LENGTH} printable characters; a random UUID is a good one",
            path="header.Idempotency-Key",
        )
    return key
