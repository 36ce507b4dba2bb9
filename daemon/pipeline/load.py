"""One load of an image into the engine, which may begin before there is an image, and end after it was checked.

An engine needs a while before it reads what it is to load, so the bytes that every archive begins with go ahead. The
end is held back until `finish`: from an archive that breaks off an engine takes nothing.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from cache.digest import Digest
from daemon.engine.engine import Archive, Images
from daemon.image.layout import BEGINNING

ImageArchive = Callable[[Digest], Archive]
"""From an image manifest's digest to an archive that an engine loads."""


class Load:
    """Begins when it is made; `send`, then `finish`, or `end` at any time."""

    def __init__(self, images: Images, archive: ImageArchive) -> None:
        self._archive = archive
        self._manifest: asyncio.Future[Digest] = asyncio.get_running_loop().create_future()
        self._finishing = asyncio.Event()
        self._loading = asyncio.create_task(images.load(self._pieces()))

    def send(self, manifest: Digest) -> None:
        """Send the image with this manifest, all but its archive's last piece."""
        self._manifest.set_result(manifest)

    async def finish(self) -> None:
        """Send the rest; the engine has the image then. Raises what `Images.load` raises, whenever that happened."""
        self._finishing.set()
        await self._loading

    async def end(self) -> None:
        """Break off what was not finished; it is not to be known any more whether it would have failed."""
        self._loading.cancel()
        await asyncio.gather(self._loading, return_exceptions=True)

    async def _pieces(self) -> Archive:
        yield BEGINNING
        held = b""
        skipped = len(BEGINNING)
        async with aclosing(self._archive(await self._manifest)) as archive:
            async for piece in archive:
                if held:
                    yield held
                held, skipped = piece[skipped:], max(0, skipped - len(piece))
        await self._finishing.wait()
        yield held
