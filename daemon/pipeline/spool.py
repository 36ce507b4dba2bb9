"""What comes out of a sandbox is hostile: it is counted on its way to a file of ours, and looked at only there."""

import asyncio
import hashlib
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from cache.blobs import room_on_disk
from cache.digest import Digest
from daemon.engine.engine import Archive
from daemon.errors import BadOutput, OutputTooLarge

_PIECE = 1 << 18
_HELD = 1 << 20
"""Bytes that wait to be written: an engine's pieces are small, and each of them is not worth a thread."""


@asynccontextmanager
async def spooled(archive: Archive, scratch: Path, limit: int, *, setting: str) -> AsyncIterator[Path]:
    """The tar stream as a file that lives as long as the block; `limit` in bytes, as `setting` of `[limits]` has it."""
    with room_on_disk(), TemporaryDirectory(dir=scratch, prefix="taken-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "archive.tar")
        with path.open("wb") as file:  # noqa: ASYNC230 - opening is quick; writing is in a thread
            taken, held = 0, bytearray()
            async with aclosing(archive):
                async for piece in archive:
                    taken += len(piece)
                    if taken > limit:
                        raise OutputTooLarge(
                            f"The build's output is larger than {limit >> 20} MiB: raise [limits] {setting}.",
                            limit=limit,
                        )
                    held += piece
                    if len(held) >= _HELD:
                        await asyncio.to_thread(file.write, held)
                        held = bytearray()
            await asyncio.to_thread(file.write, held)
        yield path


def copied(content: IO[bytes], path: Path) -> Digest:
    """Write what is left of a stream to a new file; returns the name of what was written. `NoSpace` on a full disk."""
    name = hashlib.sha256()
    with room_on_disk(), path.open("wb") as file:
        while piece := content.read(_PIECE):
            name.update(piece)
            file.write(piece)
    return Digest(name.hexdigest())


def regular_files(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Each regular file of a spooled tar: name, size, content; other entries are passed over, sparse ones refused."""
    with tarfile.open(archive, "r:") as tar:
        for entry in tar:
            if entry.issparse():
                raise BadOutput(f"{entry.name} is a sparse file.")
            if entry.isreg():
                content = tar.extractfile(entry)
                assert content is not None
                yield entry.name, entry.size, content
