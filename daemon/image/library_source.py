"""Takes files out of a toolchain image, through a container that is created and never started.

What was found, and what was not, is remembered by the image's id: an id names content, so a warm build asks the engine
nothing. A blob that is gone is taken out again.
"""

import asyncio
import fnmatch
import posixpath
import secrets
import tarfile
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Protocol

import msgspec

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.engine.engine import SandboxSpec
from daemon.engine.settled import to_the_end
from daemon.errors import EngineRefused, OutputTooLarge
from daemon.image.blobs import Blobs
from daemon.image.toolchain_files import ToolchainFile, ToolchainFiles

_LARGEST_TAKING = 1 << 30
_IN_MEMORY = 4 << 20
_LONGEST_CHAIN = 16
_HEAD = 1 << 16


class SandboxFiles(Protocol):
    """The part of an engine's sandboxes that is needed here."""

    async def create(self, spec: SandboxSpec) -> str:
        """Create, not start; returns the id."""
        ...

    def get(self, sandbox: str, path: str) -> AsyncIterator[bytes]:
        """The tar stream of a path; `FileNotFoundError` where there is none."""
        ...

    async def remove(self, sandbox: str) -> None:
        """Remove it."""
        ...


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
        taker = _Taker(self._sandboxes, image_id, self._labels)
        try:
            yield _ImageFiles(taker, self._blobs, self._index, image_id)
        finally:
            await to_the_end(taker.close())


class _Taker:
    """One container of the image, made when first needed."""

    def __init__(self, sandboxes: SandboxFiles, image_id: str, labels: Mapping[str, str]) -> None:
        self._sandboxes = sandboxes
        self._image_id = image_id
        self._labels = labels
        self._sandbox: str | None = None

    async def close(self) -> None:
        if self._sandbox is not None:
            await self._sandboxes.remove(self._sandbox)

    async def _opened(self) -> str:
        if self._sandbox is None:
            name = f"bloomery-libraries-{secrets.token_hex(6)}"
            spec = SandboxSpec(name=name, image=self._image_id, command=("/never-started",), labels=self._labels)
            self._sandbox = await self._sandboxes.create(spec)
        return self._sandbox

    async def tar(self, path: str, most: int) -> IO[bytes] | None:
        """The tar stream of a path, or its first `most` bytes, as a file."""
        stream = self._sandboxes.get(await self._opened(), path)
        taken = 0
        with ExitStack() as unless_whole:
            spool = unless_whole.enter_context(tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))
            try:
                async for piece in stream:
                    taken += len(piece)
                    if taken > _LARGEST_TAKING:
                        raise OutputTooLarge(f"{path} of the toolchain image has more than {_LARGEST_TAKING} bytes")
                    await asyncio.to_thread(spool.write, piece)
                    if taken >= most:
                        break
            except FileNotFoundError:
                return None
            finally:
                if isinstance(stream, AsyncGenerator):
                    await stream.aclose()
            spool.seek(0)
            unless_whole.pop_all()
        return spool


class _ImageFiles:
    """`ToolchainFiles` of one image."""

    def __init__(self, taker: _Taker, blobs: Blobs, index: LibraryIndex, image_id: str) -> None:
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
        at = path
        for _ in range(_LONGEST_CHAIN):
            content = await self._content(at)
            if content is None:
                return None
            if isinstance(content, bytes):
                digest = await asyncio.to_thread(self._blobs.put, content)
                source = self._blobs.path(digest)
                return ToolchainFile(path=path, digest=digest, size=len(content), source=source)
            at = await self._led(at, content)
        return None

    async def _led(self, link: str, target: str) -> str:
        """Where a symbolic link leads; `..` counts from where its directory really is."""
        parent = posixpath.dirname(link)
        if target.startswith("..") or "/.." in target:
            parent = await self._real(parent)
        return posixpath.normpath(posixpath.join(parent, target))

    async def _real(self, directory: str) -> str:
        real = "/"
        for part in directory.strip("/").split("/"):
            at = posixpath.join(real, part)
            for _ in range(_LONGEST_CHAIN):
                target = await self._link(at)
                if target is None:
                    break
                at = posixpath.normpath(posixpath.join(posixpath.dirname(at), target))
            real = at
        return real

    async def _link(self, path: str) -> str | None:
        head = await self._taker.tar(path, _HEAD)
        if head is None:
            return None
        with head, _opened(head) as archive:
            member = archive.next()
            return member.linkname if member is not None and member.issym() else None

    async def _content(self, path: str) -> bytes | str | None:
        """A file's bytes, a symbolic link's target, or None for anything else or nothing."""
        spool = await self._taker.tar(path, _LARGEST_TAKING)
        if spool is None:
            return None
        with spool:
            return await asyncio.to_thread(_first, spool)

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
        found = await self._take_directory(path.rstrip("/"))
        record = None if found is None else [_remembered(entry) for entry in found]
        await self._index.record_library(self._image_id, key, msgspec.json.encode(record))
        return found

    async def _take_directory(self, path: str) -> tuple[TreeEntry, ...] | None:
        spool = await self._taker.tar(path, _LARGEST_TAKING)
        if spool is None:
            return None
        with spool:
            return await asyncio.to_thread(self._below, spool)

    def _below(self, spool: IO[bytes]) -> tuple[TreeEntry, ...] | None:
        with _opened(spool) as archive, self._blobs.staging() as staging:
            members = archive.getmembers()
            if not members or not members[0].isdir():
                return None
            staged: dict[Digest, Path] = {}
            entries = SourceTree.of(_entries(archive, members[1:], staging, staged)).entries
            self._blobs.adopt(staged)
            return entries

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
        if file is None or depth > _LONGEST_CHAIN:
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


def _opened(stream: IO[bytes]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=stream, mode="r:")
    except tarfile.TarError as error:
        raise EngineRefused(f"the engine's archive of a file of the toolchain image is damaged: {error}") from error


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    return b"" if content is None else content.read()


def _entries(
    archive: tarfile.TarFile, members: Iterable[tarfile.TarInfo], staging: Path, staged: dict[Digest, Path]
) -> Iterator[TreeEntry]:
    """The members below an archive's first; empty directories are no matter here."""
    for member in members:
        path = member.name.partition("/")[2]
        if member.issym():
            yield TreeEntry(path, EntryKind.SYMLINK, target=member.linkname)
        elif member.isreg() or member.islnk():
            content = _read(archive, member)
            digest = Digest.of(content)
            staged[digest] = staging / digest.hex
            staged[digest].write_bytes(content)
            yield TreeEntry(path, EntryKind.FILE, len(content), bool(member.mode & 0o100), digest)


def _first(spool: IO[bytes]) -> bytes | str | None:
    with _opened(spool) as archive:
        member = archive.next()
        if member is None or member.isdir():
            return None
        if member.issym():
            return member.linkname
        return _read(archive, member) if member.isreg() else None


def _entry(below: _Below) -> TreeEntry:
    digest = None if below.digest is None else Digest.parse(below.digest)
    return TreeEntry(below.path, below.kind, below.size, below.executable, digest, below.target)


def _remembered(entry: TreeEntry) -> _Below:
    digest = None if entry.digest is None else str(entry.digest)
    return _Below(entry.path, entry.kind, entry.size, entry.executable, digest, entry.target)
