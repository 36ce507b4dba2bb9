"""The rung `observed`: the lineage's last image, where only files have changed that nothing opened (law 13).

All else has to be the same: request, settings, dependencies. Files of the tree that go into the image count as opened.
"""

import asyncio
import posixpath
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from cache.blobs import BlobStore
from cache.digest import Digest, NotADigest
from cache.index import ResultRecord
from cache.keys import Key
from cache.manifests.paths import within
from cache.observations import ObservedRecord
from cache.observed import noticed
from cache.reuse import Candidate, Rung, Standing
from cache.tree import SourceTree
from daemon.builds import BuildRequest, ImageRequest
from daemon.ecosystems.planned import SOURCE_TREE, Plan
from daemon.pipeline.results import is_kept


class Index(Protocol):
    """What is on record."""

    async def tree(self, digest: Digest) -> SourceTree | None:
        """A tree that was uploaded."""
        ...

    async def result(self, key: Digest, scope: str) -> ResultRecord | None:
        """The outcome of this result key."""
        ...

    async def observed(self, scope: str, project: str, lineage: str, settings: Digest) -> ObservedRecord | None:
        """What the lineage's last result with these settings has opened."""
        ...

    async def record_observed(self, record: ObservedRecord) -> None:
        """Keep what a result has opened."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A result, and the files of the tree that any step may have read which made it."""

    result: ResultRecord
    opened: frozenset[str]


class Observed:
    """Finds images that other sources cannot change."""

    def __init__(self, index: Index, blobs: BlobStore) -> None:
        self._index = index
        self._blobs = blobs

    async def find(
        self, plan: Plan, request: BuildRequest, nearest: ResultRecord | None
    ) -> tuple[Candidate, Observation | None]:
        """What the lineage has for this plan; `nearest` is its last result, whatever its settings.

        An observation that does not stand as held is one whose blobs are not all there.
        """
        wanted = _settings(plan.result)
        settings, near = wanted.digest, _settings(nearest.key) if nearest is not None else None
        record = await self._index.observed(request.scope, plan.project, request.lineage, settings)
        result = None
        if record is None:
            standing = Standing.UNKNOWN if near == wanted else Standing.ABSENT
        else:
            result = await self._index.result(record.key, request.scope)
            standing = await self._standing(record, result, plan, request)
        candidate = Candidate(rung=Rung.OBSERVED, standing=standing, wanted=wanted, nearest=near)
        if record is None or result is None or standing not in {Standing.HELD, Standing.PRUNED}:
            return candidate, None
        return candidate, Observation(result=result, opened=record.opened)

    async def remember(self, plan: Plan, request: BuildRequest, opened: frozenset[str]) -> None:
        """Keep what was opened for a result that is on record."""
        record = ObservedRecord(
            key=plan.result.digest,
            scope=request.scope,
            project=plan.project,
            lineage=request.lineage,
            settings=_settings(plan.result).digest,
            tree=Digest.parse(request.tree),
            opened=opened,
            created_at=time.time(),
        )
        await self._index.record_observed(record)

    async def _standing(
        self, record: ObservedRecord, result: ResultRecord | None, plan: Plan, request: BuildRequest
    ) -> Standing:
        before, after = await self._index.tree(record.tree), await self._tree(request)
        if before is None or after is None or result is None:
            return Standing.PRUNED
        shipped = frozenset(_shipped(before, plan.images, request.directory))
        if await asyncio.to_thread(noticed, before, after, record.opened | shipped):
            return Standing.OPENED
        return Standing.HELD if await asyncio.to_thread(is_kept, result, self._blobs) else Standing.PRUNED

    async def _tree(self, request: BuildRequest) -> SourceTree | None:
        try:
            return await self._index.tree(Digest.parse(request.tree))
        except NotADigest:
            return None


def _settings(key: Key) -> Key:
    """All that decides an image but the sources."""
    return Key(key.kind, tuple(part for part in key.parts if part.label != SOURCE_TREE))


def _shipped(tree: SourceTree, images: Iterable[ImageRequest], directory: str) -> Iterator[str]:
    """What `[image] include` may take out of the tree: a set's name may be a path's, too."""
    for image in images:
        for name in image.settings.include or ():
            start = posixpath.normpath(posixpath.join(directory, name)).removeprefix("./")
            yield from (entry.path for entry in tree if start == "." or within(entry.path, start))
