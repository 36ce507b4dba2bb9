"""The publish stage: images into the engine and to registries, then the tags that were asked for.

A tag never moves to an older build that finishes later: the store decides, and one tag moves at a time, so that the
store and the engine agree. What an attempt put into the engine goes out again if the attempt fails.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from cache.digest import Digest
from cache.errors import Failure
from cache.index import TagMove
from daemon.builds import Build
from daemon.engine.engine import Images
from daemon.engine.settled import to_the_end
from daemon.errors import ImageGone
from daemon.keyed_locks import KeyedLocks
from daemon.pipeline.load import ImageArchive, Load
from daemon.registry.reference import RegistryReference, names_registry, parsed


class Tags(Protocol):
    """Who may move a tag."""

    async def move_tag(self, tag: str, sequence: int, image_id: str) -> TagMove:
        """Claim a tag for the build with this sequence."""
        ...


class Pusher(Protocol):
    """What brings images to registries."""

    async def send(self, manifest: Digest, reference: RegistryReference) -> int:
        """Everything but the tag; returns the bytes that were sent."""
        ...

    async def tag(self, manifest: Digest, reference: RegistryReference) -> str:
        """The tag, when all the rest is there; returns where the image is, by digest."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An image and the names that it is to have."""

    image_id: str
    manifest: Digest
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """What became of an image's tags."""

    moved: tuple[str, ...]
    kept: tuple[str, ...]
    """Those that stayed with the image of a newer build."""
    pushed: tuple[str, ...]
    """Where it is in registries, by digest."""


class PublishStage:
    """Puts images where they can be run."""

    def __init__(self, *, images: Images, tags: Tags, archive: ImageArchive, pusher: Pusher) -> None:
        self._images = images
        self._tags = tags
        self._archive = archive
        self._pusher = pusher
        self._one_at_a_time = KeyedLocks()
        self._unpublished: dict[str, set[Publishing]] = {}
        """Images that came into the engine for attempts that have not ended, and these attempts."""

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator["Publishing"]:
        """One attempt's side of this stage. If the block fails, images that it brought and no tag names are removed."""
        publishing = Publishing(self)
        try:
            yield publishing
        except BaseException:
            await to_the_end(self._take_back(publishing))
            raise
        for image_id in publishing.loaded:
            self._unpublished.pop(image_id, None)
        await to_the_end(publishing.end())

    def begin(self) -> Load:
        """A load of which nothing is known yet but that it will come."""
        return Load(self._images, self._archive)

    async def load(self, image_id: str, manifest: Digest, publishing: "Publishing") -> None:
        """Load an image unless the engine has it; `image_id` is the config's digest."""
        async with self._one_at_a_time.hold(image_id):
            publishing.loaded.add(image_id)
            if await self._images.inspect(image_id) is not None:
                if image_id in self._unpublished:
                    self._unpublished[image_id].add(publishing)
                return
            self._unpublished.setdefault(image_id, set()).add(publishing)
            await publishing.begun(manifest).finish()
            if await self._images.inspect(image_id) is None:
                raise ImageGone(f"The engine took the image {image_id} and does not have it.")

    async def push(self, image: Published, build: Build) -> None:
        """All of the image but its tags, to each registry that a tag names."""
        for tag in image.tags:
            if (reference := _pushed(tag, build)) is not None:
                await self._pusher.send(image.manifest, reference)

    async def tag(self, image: Published, build: Build) -> Tagged:
        """Give the image its tags, in a registry first: one that does not take it leaves the engine's tag as it was."""
        moved: list[str] = []
        kept: list[str] = []
        pushed: list[str] = []
        for tag in image.tags:
            async with self._one_at_a_time.hold(tag):
                move, place = await to_the_end(self._move(tag, image, build))
            (kept if move is TagMove.KEEP else moved).append(tag)
            pushed += [place] if place is not None else []
        return Tagged(moved=tuple(moved), kept=tuple(kept), pushed=tuple(dict.fromkeys(pushed)))

    async def _move(self, tag: str, image: Published, build: Build) -> tuple[TagMove, str | None]:
        """Done to its end: a tag that was claimed in the store and is another image's in the engine would stay so."""
        move, place = await self._tags.move_tag(tag, build.sequence, image.image_id), None
        if move is TagMove.MOVE:
            if (reference := _pushed(tag, build)) is not None:
                place = await self._pusher.tag(image.manifest, reference)
            await self._images.tag(image.image_id, tag)
            self._unpublished.pop(image.image_id, None)
        return move, place

    async def _take_back(self, publishing: "Publishing") -> None:
        await publishing.end()
        for image_id in publishing.loaded:
            async with self._one_at_a_time.hold(image_id):
                attempts = self._unpublished.get(image_id, set())
                attempts.discard(publishing)
                if attempts or self._unpublished.pop(image_id, None) is None:
                    continue
                try:
                    await self._images.remove(image_id)
                except Failure as failure:
                    structlog.get_logger().warning(
                        "image.not_removed", image=image_id, kind=failure.kind, detail=failure.detail
                    )


def _pushed(tag: str, build: Build) -> RegistryReference | None:
    """Where the tag is pushed, if it is."""
    return parsed(tag) if build.request.push and names_registry(tag) else None


class Publishing:
    """What one attempt at a build publishes."""

    def __init__(self, stage: PublishStage) -> None:
        self._stage = stage
        self._ahead: Load | None = None
        self._sent: dict[Digest, Load] = {}
        self.loaded: set[str] = set()
        """Ids of images that the attempt needs in the engine."""

    def begin(self) -> None:
        """An image will come: let the engine make ready for it."""
        if self._ahead is None:
            self._ahead = self._stage.begin()

    def send(self, manifest: Digest) -> None:
        """An image is there, and not checked yet: if the engine is ready for it, send all but its end."""
        if self._ahead is not None and not self._sent:
            self._ahead.send(manifest)
            self._sent[manifest] = self._ahead

    def begun(self, manifest: Digest) -> Load:
        """The load of this image, begun by now."""
        load = self._sent.pop(manifest, None)
        if load is None:
            load = self._stage.begin()
            load.send(manifest)
        return load

    async def load(self, image_id: str, manifest: Digest) -> None:
        """As `PublishStage.load`."""
        await self._stage.load(image_id, manifest, self)

    async def push(self, image: Published, build: Build) -> None:
        """As `PublishStage.push`."""
        await self._stage.push(image, build)

    async def tag(self, image: Published, build: Build) -> Tagged:
        """As `PublishStage.tag`."""
        return await self._stage.tag(image, build)

    async def end(self) -> None:
        """Break off a load that nothing came of."""
        if self._ahead is not None:
            await self._ahead.end()
