"""What an engine's archives of a toolchain image hold, taken through a container that is created and never started."""

import asyncio
import posixpath
import secrets
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Protocol

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.engine.engine import Archive, SandboxSpec
from daemon.errors import EngineRefused, OutputTooLarge
from daemon.image.blobs import Blobs

_LARGEST_TAKING = 1 << 30
_IN_MEMORY = 4 << 20
_LONGEST_CHAIN = 16
_HEAD = 1 << 16


class SandboxFiles(Protocol):
    """The part of an engine's sandboxes that is needed here."""

    async def create(self, spec: SandboxSpec) -> str:
        """Create, not start; returns the id."""
        ...

    def get(self, sandbox: str, path: str) -> Archive:
        """The tar stream of a path; `FileNotFoundError` where there is none."""
        ...

    async def remove(self, sandbox: str) -> None:
        """Remove it."""
        ...


class Taker:
    """Takes files out of one image; its container is made when first needed, and `labels` mark it."""

    def __init__(self, sandboxes: SandboxFiles, image_id: str, labels: Mapping[str, str]) -> None:
        self._sandboxes = sandboxes
        self._image_id = image_id
        self._labels = labels
        self._sandbox: str | None = None

    async def close(self) -> None:
        """Remove the container, if there is one."""
        if self._sandbox is not None:
            await self._sandboxes.remove(self._sandbox)

    async def content(self, path: str) -> bytes | None:
        """A file's bytes, through symbolic links; None for anything else or nothing."""
        for _ in range(_LONGEST_CHAIN):
            content = await self._content(path)
            if not isinstance(content, str):
                return content
            path = await self._led(path, content)
        return None

    async def below(self, path: str, blobs: Blobs) -> tuple[TreeEntry, ...] | None:
        """What is in a directory, its files kept as blobs; None for anything else or nothing."""
        spool = await self._tar(path, _LARGEST_TAKING)
        if spool is None:
            return None
        with spool:
            return await asyncio.to_thread(_below, spool, blobs)

    async def _content(self, path: str) -> bytes | str | None:
        """A file's bytes, a symbolic link's target, or None for anything else or nothing."""
        spool = await self._tar(path, _LARGEST_TAKING)
        if spool is None:
            return None
        with spool:
            return await asyncio.to_thread(_first, spool)

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
        head = await self._tar(path, _HEAD)
        if head is None:
            return None
        with head, _opened(head) as archive:
            member = archive.next()
            return member.linkname if member is not None and member.issym() else None

    async def _tar(self, path: str, most: int) -> IO[bytes] | None:
        """The tar stream of a path, or its first `most` bytes, as a file."""
        stream = self._sandboxes.get(await self._made(), path)
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
                await stream.aclose()
            spool.seek(0)
            unless_whole.pop_all()
        return spool

    async def _made(self) -> str:
        if self._sandbox is None:
            name = f"bloomery-libraries-{secrets.token_hex(6)}"
            spec = SandboxSpec(name=name, image=self._image_id, command=("/never-started",), labels=self._labels)
            self._sandbox = await self._sandboxes.create(spec)
        return self._sandbox


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


def _below(spool: IO[bytes], blobs: Blobs) -> tuple[TreeEntry, ...] | None:
    with _opened(spool) as archive, blobs.staging() as staging:
        members = archive.getmembers()
        if not members or not members[0].isdir():
            return None
        staged: dict[Digest, Path] = {}
        entries = SourceTree.of(_entries(archive, members[1:], staging, staged)).entries
        blobs.adopt(staged)
        return entries
