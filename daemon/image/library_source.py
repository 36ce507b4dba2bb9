"""The files of toolchain images, each taken out of an image once.

What was found, and what was not, is remembered by the image's id: an id names content, so a warm build asks the engine
nothing. A blob that is gone is taken out again.
"""

import asyncio
import fnmatch
import posixpath
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from cache.digest import Digest
from cache.tree import EntryKind, TreeEntry
from daemon.engine.settled import to_the_end
from daemon.image.blobs import Blobs
from daemon.image.taker import SandboxFiles, Taker
from daemon.image.toolchain_files import ToolchainFile, ToolchainFiles

_DEEPEST_INCLUDE = 16


class LibraryIndex(Protocol):
    """Remembers what a toolchain image holds; values are JSON."""

    async def library(self, image_id: str, path: str) -> bytes | None:
        """What was recorded, or None."""
        ...

    async def record_library(self, image_id: str, path: str, value: bytes) -> None:
        """Remember it, in place of what was there."""
        ...


class _File(msgspec.Struct, frozen=True):
    """A file as it is remembered."""

    digest: str
    size: int


class _Below(msgspec.Struct, frozen=True):
    """One entry of a directory as it is remembered."""

    path: str
    kind: EntryKind
    size: int = 0
    executable: bool = False
    digest: str | None = None
    target: str = ""


class LibrarySource:
    """Opens toolchain images for reading; `labels` mark its containers, so that a crash leaves none behind."""

    def __init__(
        self, sandboxes: SandboxFiles, blobs: Blobs, index: LibraryIndex, labels: Mapping[str, str] | None = None
    ) -> None:
        self._sandboxes = sandboxes
        self._blobs = blobs
        self._index = index
        self._labels = dict(labels or {})

    @asynccontextmanager
    async def open(self, image_id: str) -> AsyncIterator[ToolchainFiles]:
        """The files of this image; the container, if one was needed, is gone afterwards."""
        taker = Taker(self._sandboxes, image_id, self._labels)
        try:
            yield _ImageFiles(taker, self._blobs, self._index, image_id)
        finally:
            await to_the_end(taker.close())


class _ImageFiles:
    """`ToolchainFiles` of one image."""

    def __init__(self, taker: Taker, blobs: Blobs, index: LibraryIndex, image_id: str) -> None:
        self._taker = taker
        self._blobs = blobs
        self._index = index
        self._image_id = image_id
        self._files: dict[str, ToolchainFile | None] = {}

    async def file(self, path: str) -> ToolchainFile | None:
        if path not in self._files:
            self._files[path] = await self._file(path)
        return self._files[path]

    async def _file(self, path: str) -> ToolchainFile | None:
        value = await self._index.library(self._image_id, path)
        if value is not None:
            known = msgspec.json.decode(value, type=_File | None)
            if known is None:
                return None
            digest = Digest.parse(known.digest)
            if self._blobs.has(digest):
                return ToolchainFile(path=path, digest=digest, size=known.size, source=self._blobs.path(digest))
        found = await self._take_file(path)
        record = None if found is None else _File(str(found.digest), found.size)
        await self._index.record_library(self._image_id, path, msgspec.json.encode(record))
        return found

    async def _take_file(self, path: str) -> ToolchainFile | None:
        content = await self._taker.content(path)
        if content is None:
            return None
        digest = await asyncio.to_thread(self._blobs.put, content)
        return ToolchainFile(path=path, digest=digest, size=len(content), source=self._blobs.path(digest))

    async def directory(self, path: str) -> tuple[TreeEntry, ...] | None:
        key = path.rstrip("/") + "/"
        value = await self._index.library(self._image_id, key)
        if value is not None:
            known = msgspec.json.decode(value, type=tuple[_Below, ...] | None)
            if known is None:
                return None
            entries = tuple(_entry(one) for one in known)
            if all(entry.digest is None or self._blobs.has(entry.digest) for entry in entries):
                return entries
        found = await self._taker.below(path.rstrip("/"), self._blobs)
        record = None if found is None else [_remembered(entry) for entry in found]
        await self._index.record_library(self._image_id, key, msgspec.json.encode(record))
        return found

    async def library_directories(self) -> tuple[str, ...]:
        value = await self._index.library(self._image_id, "ld.so.conf")
        if value is not None:
            return msgspec.json.decode(value, type=tuple[str, ...])
        found = tuple(dict.fromkeys([line async for line in self._configured("/etc/ld.so.conf", 0)]))
        await self._index.record_library(self._image_id, "ld.so.conf", msgspec.json.encode(found))
        return found

    async def _configured(self, path: str, depth: int) -> AsyncIterator[str]:
        """The directories that a file of ldconfig's names, with those of the files it includes; see ldconfig(8)."""
        file = await self.file(path)
        if file is None or depth > _DEEPEST_INCLUDE:
            return
        for line in file.source.read_text("utf-8", "replace").splitlines():
            text = line.partition("#")[0].strip()
            word, _, rest = text.partition(" ")
            if word == "include":
                for pattern in rest.split():
                    for included in await self._matching(posixpath.join(posixpath.dirname(path), pattern)):
                        async for directory in self._configured(included, depth + 1):
                            yield directory
            elif text.startswith("/"):
                yield text.rstrip("/") or "/"

    async def _matching(self, pattern: str) -> tuple[str, ...]:
        directory, name = posixpath.split(pattern)
        entries = await self.directory(directory) or ()
        return tuple(
            posixpath.join(directory, entry.path) for entry in entries if fnmatch.fnmatchcase(entry.path, name)
        )


def _entry(below: _Below) -> TreeEntry:
    digest = None if below.digest is None else Digest.parse(below.digest)
    return TreeEntry(below.path, below.kind, below.size, below.executable, digest, below.target)


def _remembered(entry: TreeEntry) -> _Below:
    digest = None if entry.digest is None else str(entry.digest)
    return _Below(entry.path, entry.kind, entry.size, entry.executable, digest, entry.target)
