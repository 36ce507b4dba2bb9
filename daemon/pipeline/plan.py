"""The plan stage: the sources that a request names, and what kind of project they are."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from cache.blobs import BlobStore
from cache.digest import Digest, NotADigest
from cache.manifests.errors import NoManifest
from cache.manifests.source import TreeFiles
from cache.tree import SourceTree
from daemon.builds import BuildRequest
from daemon.ecosystems.ecosystem import Ecosystem, Project
from daemon.ecosystems.planned import Source
from daemon.errors import StoredFileDamaged, UnknownToolchain, UnknownTree
from daemon.toolchains.toolchain import Toolchain


class Trees(Protocol):
    """The source trees that were uploaded."""

    async def tree(self, digest: Digest) -> SourceTree | None:
        """One of them."""
        ...

    async def forget_tree(self, digest: Digest) -> None:
        """Drop one that cannot be built any more."""
        ...


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


class PlanStage:
    """Plans builds; asks the engine nothing but which toolchain images are there."""

    def __init__(
        self, *, ecosystems: Sequence[Ecosystem], toolchains: Toolchains, trees: Trees, blobs: BlobStore
    ) -> None:
        self._ecosystems = ecosystems
        self._toolchains = toolchains
        self._trees = trees
        self._blobs = blobs

    async def source(self, request: BuildRequest, lock: bytes | None = None) -> Source:
        """The sources that a request names."""
        try:
            tree = await self._trees.tree(Digest.parse(request.tree))
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
        tree = await self._trees.tree(Digest.parse(request.tree))
        files = [entry.digest for entry in tree.files() if entry.digest] if tree else []
        lost = await asyncio.to_thread(self._blobs.missing, files)
        if tree and lost:
            await self._trees.forget_tree(tree.digest)
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
        raise NoManifest(
            f"There is no Cargo.toml at {where}, and no requirements.txt, pyproject.toml or Python lock either: send "
            "the project's own root, or name its directory."
        )

    async def _planned(self, ecosystem: Ecosystem, source: Source) -> Project:
        default = self._toolchains.default
        try:
            return await asyncio.to_thread(ecosystem.plan, source, await self._toolchains.offered(), default)
        except UnknownToolchain:
            # It may have been made since the list was.
            await self._toolchains.refresh()
            return await asyncio.to_thread(ecosystem.plan, source, await self._toolchains.offered(), default)
