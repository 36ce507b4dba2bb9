"""The intake with its bytes counted, each door's apart."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Protocol

from cache.digest import Digest
from cache.tree import SourceTree, TreeEntry
from daemon.metrics import Door, Metrics
from daemon.upload import Missing


class Uploads(Protocol):
    """The doors."""

    async def from_archive(self, body: AsyncIterator[bytes], scope: str) -> SourceTree:
        """The tree of a tar stream."""
        ...

    async def from_listing(self, entries: Sequence[TreeEntry], scope: str) -> Missing | SourceTree:
        """The tree that these entries make, or what it lacks."""
        ...

    async def blob(self, digest: Digest, body: AsyncIterator[bytes], limit: int | None, scope: str) -> None:
        """One blob."""
        ...


class MeteredIntake:
    """Counts what is read, also of an upload that is refused in the end."""

    def __init__(self, uploads: Uploads, metrics: Metrics) -> None:
        self._uploads = uploads
        self._metrics = metrics

    async def from_archive(self, body: AsyncIterator[bytes], scope: str) -> SourceTree:
        """The tree of a tar stream."""
        async with aclosing(self._counted(body, Door.TAR)) as counted:
            return await self._uploads.from_archive(counted, scope)

    async def from_listing(self, entries: Sequence[TreeEntry], scope: str) -> Missing | SourceTree:
        """The tree that these entries make, or what it lacks."""
        return await self._uploads.from_listing(entries, scope)

    async def blob(self, digest: Digest, body: AsyncIterator[bytes], limit: int | None, scope: str) -> None:
        """One blob."""
        async with aclosing(self._counted(body, Door.BLOB)) as counted:
            await self._uploads.blob(digest, counted, limit, scope)

    async def _counted(self, body: AsyncIterator[bytes], door: Door) -> AsyncGenerator[bytes]:
        async for piece in body:
            self._metrics.uploaded(door, len(piece))
            yield piece
