"""The publish stage: images into the engine, then the tags that were asked for.

A tag never moves to an older build that finishes later: the store decides, and one tag moves at a time, so that the
store and the engine agree.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from cache.digest import Digest
from cache.index import TagMove
from daemon.engine.engine import Images
from daemon.errors import ImageGone
from daemon.keyed_locks import KeyedLocks

ImageArchive = Callable[[Digest], AsyncIterator[bytes]]
"""From an image manifest's digest to an archive that an engine loads."""


class Tags(Protocol):
    """Who may move a tag."""

    async def move_tag(self, tag: str, sequence: int, image_id: str) -> TagMove:
        """Claim a tag for the build with this sequence."""
        ...


class PublishStage:
    """Puts images where they can be run."""

    def __init__(self, *, images: Images, tags: Tags, archive: ImageArchive) -> None:
        self._images = images
        self._tags = tags
        self._archive = archive
        self._moving = KeyedLocks()

    async def load(self, image_id: str, manifest: Digest) -> None:
        """Load an image unless the engine has it; `image_id` is the config's digest."""
        if await self._images.inspect(image_id) is None:
            await self._images.load(self._archive(manifest))
            if await self._images.inspect(image_id) is None:
                raise ImageGone(f"The engine took the image {image_id} and does not have it.")

    async def tag(self, image_id: str, tags: tuple[str, ...], sequence: int) -> tuple[str, ...]:
        """Give the image its tags; returns those that stayed with the image of a newer build."""
        kept = []
        for tag in tags:
            async with self._moving.hold(tag):
                if await self._tags.move_tag(tag, sequence, image_id) is TagMove.KEEP:
                    kept.append(tag)
                else:
                    await self._images.tag(image_id, tag)
        return tuple(kept)
