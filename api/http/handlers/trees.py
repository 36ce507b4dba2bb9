"""Source trees by listing: say what a tree consists of, upload only the blobs that are not here."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from api.errors import BodyCut, InvalidRequest, MalformedJson, UnsupportedMediaType
from api.http.bodies import BodyLimits, document, stream
from api.http.endpoint import Endpoint, JsonForm, Reply, StreamForm
from api.http.guard import scope_of
from api.http.replies import json_reply
from api.http.schemas.trees import BlobAnswer, TreeAnswer, TreeBody, TreeSummary
from cache.archive_errors import UnsafeEntry, UploadTooLarge, UploadTooSlow
from cache.digest import Digest, NotADigest
from cache.errors import NoSpace
from cache.tree import SourceTree, TreeEntry
from daemon.errors import BlobMismatch, UnknownTree
from daemon.upload import Missing


class Uploads(Protocol):
    """The listing door."""

    async def from_listing(self, entries: Sequence[TreeEntry], scope: str) -> Missing | SourceTree:
        """Keep the tree if the scope has sent all its blobs, else say which not; its own failures for bad paths."""
        ...

    async def blob(self, digest: Digest, body: AsyncIterator[bytes], limit: int, scope: str) -> None:
        """Keep one blob; `BlobMismatch`."""
        ...


class KnownTrees(Protocol):
    """Trees that are here."""

    async def tree(self, digest: Digest, scope: str) -> SourceTree | None:
        """The tree of this name, or None where the scope cannot name it."""
        ...


class TreeHandlers:
    """The listing door."""

    def __init__(self, uploads: Uploads, trees: KnownTrees, limits: BodyLimits) -> None:
        self._uploads = uploads
        self._trees = trees
        self._limits = limits

    async def register(self, request: web.Request) -> web.Response:
        """Which blobs of a listing are missing."""
        body = await document(request, TreeBody, self._limits)
        entries = [entry.value() for entry in body.entries]
        listed = await self._uploads.from_listing(entries, scope_of(request, None))
        if isinstance(listed, Missing):
            return json_reply(TreeAnswer(tree=str(listed.tree), missing=tuple(map(str, listed.digests))))
        return json_reply(TreeAnswer(tree=str(listed.digest)))

    async def show(self, request: web.Request) -> web.Response:
        """Whether a tree is here."""
        digest = _digest(request)
        tree = await self._trees.tree(digest, scope_of(request, None))
        if tree is None:
            raise UnknownTree(f"no tree {digest} is here; list it with POST /v1/trees", tree=str(digest))
        return json_reply(TreeSummary(tree=str(digest), entries=len(tree), size=tree.size))

    async def put_blob(self, request: web.Request) -> web.Response:
        """Keep one blob."""
        digest = _digest(request)
        limit = self._limits.blob
        async with aclosing(stream(request, limit, self._limits)) as body:
            await self._uploads.blob(digest, body, limit, scope_of(request, None))
        return json_reply(BlobAnswer(digest=str(digest)), HTTPStatus.CREATED)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What the router serves."""
        reading = (UploadTooLarge, UploadTooSlow, BodyCut, InvalidRequest, NoSpace)
        return (
            Endpoint(
                method="POST",
                path="/v1/trees",
                operation="registerTree",
                summary="Which blobs of a tree are missing",
                description="Upload those, then name the tree in a build; ask again to see that nothing is missing.",
                handler=self.register,
                tag="trees",
                body=(JsonForm(schema=TreeBody),),
                replies=(Reply(description="The tree's digest", forms=(JsonForm(schema=TreeAnswer),)),),
                failures=(*reading, UnsafeEntry, MalformedJson, UnsupportedMediaType),
            ),
            Endpoint(
                method="GET",
                path="/v1/trees/{digest}",
                operation="showTree",
                summary="Whether a tree is here and whole",
                handler=self.show,
                tag="trees",
                replies=(Reply(description="It is", forms=(JsonForm(schema=TreeSummary),)),),
                failures=(UnknownTree, InvalidRequest),
            ),
            Endpoint(
                method="PUT",
                path="/v1/blobs/{digest}",
                operation="uploadBlob",
                summary="One file's content, named by its digest",
                handler=self.put_blob,
                tag="trees",
                body=(StreamForm(media_type="application/octet-stream"),),
                replies=(
                    Reply(
                        status=HTTPStatus.CREATED,
                        description="It is here",
                        forms=(JsonForm(schema=BlobAnswer),),
                    ),
                ),
                failures=(*reading, BlobMismatch),
            ),
        )


def _digest(request: web.Request) -> Digest:
    try:
        return Digest.parse(request.match_info["digest"])
    except NotADigest as error:
        raise InvalidRequest(str(error), path="path.digest") from None
