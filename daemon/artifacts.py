"""What builds left behind, from the store of blobs: images as archives, and single blobs as files."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from cache.digest import Digest
from daemon.builds import BuiltImage
from daemon.engine.names import repository_and_tag
from daemon.errors import NotReady
from daemon.image import layout
from daemon.image.blobs import Blobs


class StoredArtifacts:
    """Reads what is kept; `NotReady` for what was pruned."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def archive(self, image: BuiltImage) -> AsyncGenerator[bytes, None]:
        """An image under its tags, as an OCI archive; refused before the first piece if a part of it is gone."""
        manifest = Digest.parse(image.digest)
        await asyncio.to_thread(self._require, manifest)
        tags = [":".join(repository_and_tag(tag)) for tag in image.tags]
        async with aclosing(layout.archive(manifest, tags, self._blobs)) as archive:
            async for piece in archive:
                yield piece

    async def blob(self, digest: str) -> Path:
        """A kept blob's file."""
        path = self._blobs.path(Digest.parse(digest))
        if not await asyncio.to_thread(path.is_file):
            raise _pruned(digest)
        return path

    def _require(self, manifest: Digest) -> None:
        try:
            document = json.loads(self._blobs.path(manifest).read_bytes())
        except FileNotFoundError:
            raise _pruned(str(manifest)) from None
        for digest in _named(document):
            if not self._blobs.path(Digest.parse(digest)).is_file():
                raise _pruned(digest)


def _named(manifest: dict[str, Any]) -> Iterator[str]:
    yield manifest["config"]["digest"]
    for layer in manifest["layers"]:
        yield layer["digest"]


def _pruned(digest: str) -> NotReady:
    return NotReady(f"{digest} is not kept any more; build it again", digest=digest)
