"""The plan stage: what kind of project this is, its keys, and the rung of the reuse ladder that it can stand on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cache.blobs import BlobStore
from cache.digest import Digest, NotADigest
from cache.index import LayerRecord, ResultRecord
from cache.manifests.rust.errors import NoManifest
from cache.manifests.source import TreeFiles
from cache.reuse import Candidate, Refusal, ReusePlan, Rung, Standing, choose
from cache.tree import SourceTree
from daemon.builds import BuildRequest, Reuse
from daemon.ecosystems.ecosystem import Ecosystem, Plan, Project, Source
from daemon.engine.engine import Images
from daemon.errors import StoredFileDamaged, UnknownToolchain, UnknownTree
from daemon.pipeline.cook import is_layer
from daemon.pipeline.results import is_kept
from daemon.toolchains.toolchain import Toolchain


class Toolchains(Protocol):
    """What is offered."""

    async def offered(self) -> Sequence[Toolchain]:
        """All offered toolchains; the list may be some seconds old."""
        ...

    async def refresh(self) -> None:
        """Make the list anew."""
        ...

    @property
    def default(self) -> str:
        """The one that is meant where none is asked for."""
        ...


class ReuseIndex(Protocol):
    """What can be reused, as the store knows it."""

    async def tree(self, digest: Digest) -> SourceTree | None:
        """A tree that was uploaded."""
        ...

    async def layer(self, key: Digest, scope: str, project: str = "") -> LayerRecord | None:
        """The layer of this exact key."""
        ...

    async def latest_layer(self, scope: str, project: str) -> LayerRecord | None:
        """The layer that the project cooked last."""
        ...

    async def result(self, key: Digest, scope: str) -> ResultRecord | None:
        """The outcome of this result key."""
        ...

    async def forget_tree(self, digest: Digest) -> None:
        """Drop a tree that cannot be built any more."""
        ...

    async def latest_result(self, scope: str, project: str, lineage: str) -> ResultRecord | None:
        """The last outcome of a lineage."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reusable:
    """The choice, and the entries that it rests on."""

    choice: ReusePlan
    result: ResultRecord | None = None
    """Also one whose blobs are not all there; another rung was chosen then."""
    layer: LayerRecord | None = None

    def against(self, *rungs: Rung) -> tuple[Refusal, ...]:
        """The refusals of these rungs."""
        return tuple(refusal for refusal in self.choice.refusals if refusal.rung in rungs)


class PlanStage:
    """Plans builds; asks the engine nothing but which images are there."""

    def __init__(
        self,
        *,
        ecosystems: Sequence[Ecosystem],
        toolchains: Toolchains,
        index: ReuseIndex,
        images: Images,
        blobs: BlobStore,
    ) -> None:
        self._ecosystems = ecosystems
        self._toolchains = toolchains
        self._index = index
        self._images = images
        self._blobs = blobs

    async def source(self, request: BuildRequest, lock: bytes | None = None) -> Source:
        """The sources that a request names."""
        try:
            tree = await self._index.tree(Digest.parse(request.tree))
        except NotADigest:
            tree = None
        if tree is None:
            raise UnknownTree(f"No tree {request.tree} is here: upload it with POST /v1/trees.", tree=request.tree)
        return Source(tree=tree, files=TreeFiles(tree, self._blobs), blobs=self._blobs, request=request, lock=lock)

    async def drop_damaged(self, damaged: Digest | None, request: BuildRequest) -> StoredFileDamaged:
        """Drop a kept file that is damaged (None: gone), and the tree if it is one of its files; returns the failure.

        What was fetched is fetched again by the next attempt; sources have to be sent again.
        """
        if damaged is not None:
            await asyncio.to_thread(self._blobs.remove, damaged)
        tree = await self._index.tree(Digest.parse(request.tree))
        files = [entry.digest for entry in tree.files() if entry.digest] if tree else []
        lost = await asyncio.to_thread(self._blobs.missing, files)
        if tree and lost:
            await self._index.forget_tree(tree.digest)
            return StoredFileDamaged(
                "A file of the source tree was damaged on the daemon's disk: send the sources again."
            )
        return StoredFileDamaged("Something that was fetched was damaged on the daemon's disk; it is fetched again.")

    async def plan(self, source: Source) -> Project:
        """Find the ecosystem and let it read the manifests."""
        for ecosystem in self._ecosystems:
            if await asyncio.to_thread(ecosystem.detects, source.files, source.request.directory):
                return await self._planned(ecosystem, source)
        where = source.request.directory or "the root of the tree"
        raise NoManifest(f"There is no Cargo.toml at {where}: send the project's own root, or name its directory.")

    async def _planned(self, ecosystem: Ecosystem, source: Source) -> Project:
        default = self._toolchains.default
        try:
            return await asyncio.to_thread(ecosystem.plan, source, await self._toolchains.offered(), default)
        except UnknownToolchain:
            # It may have been made since the list was.
            await self._toolchains.refresh()
            return await asyncio.to_thread(ecosystem.plan, source, await self._toolchains.offered(), default)

    async def reusable(self, plan: Plan, request: BuildRequest) -> Reusable:
        """What of earlier builds fits."""
        if request.reuse is Reuse.NOTHING:
            return Reusable(choice=choose(()))
        kept = await self._index.result(plan.result.digest, request.scope)
        standing = await self._standing_of_result(kept)
        if kept is not None and standing is Standing.HELD:
            return Reusable(choice=ReusePlan(Rung.RESULT, ()), result=kept)
        nearest = await self._index.latest_result(request.scope, plan.project, request.lineage)
        candidate = Candidate(
            rung=Rung.RESULT,
            standing=standing,
            wanted=plan.result,
            nearest=nearest.key if nearest else None,
        )
        return replace(await self._with_layer(plan, request, candidate), result=kept)

    async def below_result(self, plan: Plan, request: BuildRequest) -> Reusable:
        """What fits below a result that proved damaged."""
        return await self._with_layer(
            plan, request, Candidate(rung=Rung.RESULT, standing=Standing.DAMAGED, wanted=plan.result)
        )

    async def _with_layer(self, plan: Plan, request: BuildRequest, result: Candidate) -> Reusable:
        layer = await self._index.layer(plan.exact.digest, request.scope, plan.project)
        standing = await self._standing_of_layer(layer)
        if standing is not Standing.HELD:
            layer = None
        nearest = None if layer else await self._index.latest_layer(request.scope, plan.project)
        candidate = Candidate(
            rung=Rung.LAYER, standing=standing, wanted=plan.exact, nearest=nearest.key if nearest else None
        )
        return Reusable(choice=choose((result, candidate)), layer=layer)

    async def _standing_of_result(self, result: ResultRecord | None) -> Standing:
        if result is None:
            return Standing.ABSENT
        return Standing.HELD if await asyncio.to_thread(is_kept, result, self._blobs) else Standing.PRUNED

    async def _standing_of_layer(self, layer: LayerRecord | None) -> Standing:
        if layer is None:
            return Standing.ABSENT
        image = await self._images.inspect(layer.image_id)
        if image is None:
            return Standing.PRUNED
        return Standing.HELD if is_layer(image, layer.key.digest) else Standing.DAMAGED
