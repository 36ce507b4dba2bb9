"""What the cache holds, and pruning it."""

from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from api.errors import BodyCut, InvalidRequest, MalformedJson, UnsupportedMediaType
from api.http.bodies import BodyLimits, document
from api.http.endpoint import Endpoint, JsonForm, Reply
from api.http.guard import sees
from api.http.replies import json_reply
from api.http.schemas.cache import CacheAnswer, CacheKindAnswer, PruneAnswer, PruneBody
from cache.archive_errors import UploadTooLarge, UploadTooSlow
from cache.errors import NoSpace
from daemon.maintenance import Contents, Trial


class Cache(Protocol):
    """What is kept from build to build."""

    @property
    def ceiling(self) -> int:
        """The bytes that it may have."""
        ...

    async def contents(self, scope: str | None = None) -> Contents:
        """What there is, or what of it is a scope's own."""
        ...

    async def prune(self, keep: int, trial: Trial, scope: str | None = None) -> Contents:
        """Remove entries until no more than `keep` bytes are left; returns what went, or would go."""
        ...


class CacheHandlers:
    """The cache's endpoints; a token sees and prunes what is its own scope's alone."""

    def __init__(self, cache: Cache, limits: BodyLimits) -> None:
        self._cache = cache
        self._limits = limits

    async def contents(self, request: web.Request) -> web.Response:
        """Records and bytes, by kind."""
        found = await self._cache.contents(sees(request))
        return json_reply(CacheAnswer(ceiling=self._cache.ceiling, size=found.size, kinds=_kinds(found)))

    async def prune(self, request: web.Request) -> web.Response:
        """Make room now."""
        body = await document(request, PruneBody, self._limits)
        trial = Trial.DRY if body.dry_run else Trial.REAL
        went = await self._cache.prune(body.keep, trial, sees(request))
        return json_reply(PruneAnswer(dry_run=body.dry_run, size=went.size, kinds=_kinds(went)))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What the router serves."""
        own = "With a token: of results, workspaces, layers and units those of the token's own scope."
        return (
            Endpoint(
                method="GET",
                path="/v1/cache",
                operation="showCache",
                summary="What is kept from build to build: records and bytes, by kind",
                handler=self.contents,
                tag="cache",
                replies=(Reply(description="By kind", forms=(JsonForm(schema=CacheAnswer),)),),
                description=own,
            ),
            Endpoint(
                method="POST",
                path="/v1/cache/prune",
                operation="pruneCache",
                summary="Remove what is least worth its bytes, until no more than `keep` bytes are left",
                handler=self.prune,
                tag="cache",
                body=(JsonForm(schema=PruneBody),),
                replies=(
                    Reply(
                        status=HTTPStatus.OK,
                        description="What went, or would go",
                        forms=(JsonForm(schema=PruneAnswer),),
                    ),
                ),
                failures=(
                    UploadTooLarge,
                    UploadTooSlow,
                    BodyCut,
                    MalformedJson,
                    InvalidRequest,
                    UnsupportedMediaType,
                    NoSpace,
                ),
                description=f"What running builds use stays, and so do sources of builds that wait. {own}",
            ),
        )


def _kinds(found: Contents) -> tuple[CacheKindAnswer, ...]:
    return tuple(CacheKindAnswer(kind=tally.kind, records=tally.records, size=tally.size) for tally in found.kinds)
