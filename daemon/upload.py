"""The doors through which sources come in: an archive in one body, or a listing and then only the blobs not here yet.

Both make the same tree of the same files, by the rules of `cache.paths`. Bodies are never held in memory: an archive
goes piece by piece into a child process that reads it, a blob into a staging file. What fails or is cancelled leaves
nothing behind.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec

from cache.archive import MOST_ANSWER, command, outcome
from cache.archive_errors import BadListing, Rule, UploadTooSlow, shown, too_large, unsafe
from cache.archive_limits import ArchiveLimits
from cache.blobs import BlobStore, room_on_disk
from cache.digest import Digest
from cache.errors import Failure
from cache.ignore import below_git
from cache.paths import admitted, clean_path, clean_target
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.builds import DEFAULT_SCOPE
from daemon.errors import BlobMismatch
from daemon.ownership import Sources

P = ParamSpec("P")

_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Missing:
    """What a listing names and its sender has yet to send, each digest once; `tree` is what the listing will be."""

    tree: Digest
    digests: tuple[Digest, ...]


class Intake:
    """The doors; `readers` archives are read at a time and the rest wait, their bodies unread."""

    def __init__(self, blobs: BlobStore, trees: Sources, limits: ArchiveLimits, readers: int = 4) -> None:
        self._blobs = blobs
        self._trees = trees
        self._limits = limits
        self._readers = asyncio.Semaphore(readers)

    async def from_archive(self, body: AsyncIterator[bytes], scope: str = DEFAULT_SCOPE) -> SourceTree:
        """Read and store the tree of a tar stream.

        Raises `BadArchive`, `UnsafeEntry`, `UploadTooLarge`, `UploadTooSlow`, `BadIgnoreFile` or `NoSpace`.
        """
        async with self._readers, self._staging() as directory:
            tree = await self._read(body, directory)
            staged = {entry.digest: directory / entry.digest.hex for entry in tree.files() if entry.digest}
            await _to_its_end(self._blobs.adopt, staged)
        await self._trees.put_tree(tree, scope)
        return tree

    async def from_listing(self, entries: Sequence[TreeEntry], scope: str = DEFAULT_SCOPE) -> Missing | SourceTree:
        """Store the tree that these entries make, or say which blobs this scope has to upload first.

        Entries come in any order; `.git` is left out. Raises `BadListing`, `UnsafeEntry` or `UploadTooLarge`.
        """
        tree = await asyncio.to_thread(self._listed, entries)
        digests = [entry.digest for entry in tree.files() if entry.digest]
        missing = await asyncio.to_thread(self._blobs.missing, digests)
        if needed := dict.fromkeys((*missing, *await self._trees.unproven(digests, scope))):
            return Missing(tree.digest, tuple(digest for digest in dict.fromkeys(digests) if digest in needed))
        kept = await self._trees.tree(tree.digest, scope)
        await _to_its_end(self._settle, tree if kept is None else kept)
        if kept is None:
            await self._trees.put_tree(tree, scope)
        return tree if kept is None else kept

    async def blob(
        self, digest: Digest, body: AsyncIterator[bytes], limit: int | None = None, scope: str = DEFAULT_SCOPE
    ) -> None:
        """Take one blob, to be kept once a listing names it.

        `limit` is its most bytes, by default as many as a whole tree may have. Raises `BlobMismatch`, `UploadTooLarge`,
        `UploadTooSlow` or `NoSpace`.
        """
        async with self._staging() as directory:
            staged = directory / digest.hex
            found = await self._written(staged, body, self._limits.expanded if limit is None else limit)
            if found != digest:
                detail = f"the body's digest is {found}: send the file again, under the digest of what is sent"
                raise BlobMismatch(detail, expected=str(digest), found=str(found))
            await _to_its_end(self._blobs.receive, digest, staged)
        self._trees.received(digest, scope)

    def _listed(self, entries: Sequence[TreeEntry]) -> SourceTree:
        limits = self._limits
        if (found := len(entries)) > limits.entries:
            raise too_large("entries", f"the listing has {found:,} entries", limits.entries, found)
        cleaned = (_cleaned(entry, limits) for entry in entries)
        return admitted([entry for entry in cleaned if not below_git(entry.path)], limits)

    def _settle(self, tree: SourceTree) -> None:
        for entry in tree.files():
            if entry.digest and self._blobs.size(entry.digest) != entry.size:
                raise unsafe(Rule.WRONG_SIZE, entry.path)
        self._blobs.settle(entry.digest for entry in tree.files() if entry.digest)

    @asynccontextmanager
    async def _staging(self) -> AsyncGenerator[Path]:
        with ExitStack() as stack:
            directory = stack.enter_context(self._blobs.staging())
            try:
                yield directory
            finally:
                await _to_its_end(stack.pop_all().close)

    async def _read(self, body: AsyncIterator[bytes], directory: Path) -> SourceTree:
        """Let a child process read the archive; it is gone when this returns, however it returns."""
        child = await asyncio.create_subprocess_exec(
            *command(directory, self._limits), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={}
        )
        try:
            async with self._in_time():
                await self._feed(child, body)
                answer = await _answer(child)
                status = await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
                await asyncio.shield(child.wait())
        return outcome(answer, status, self._limits)

    async def _feed(self, child: asyncio.subprocess.Process, body: AsyncIterator[bytes]) -> None:
        assert child.stdin is not None
        while (piece := await self._piece(body)) is not None:
            for start in range(0, len(piece), _PIECE):
                child.stdin.write(piece[start : start + _PIECE])
                try:
                    await child.stdin.drain()
                except (BrokenPipeError, ConnectionResetError):
                    return  # it has read enough to refuse; its answer says why
        child.stdin.close()

    async def _written(self, staged: Path, body: AsyncIterator[bytes], allowed: int) -> Digest:
        content = hashlib.sha256()
        size = 0
        held = bytearray()
        async with self._in_time():
            while (piece := await self._piece(body)) is not None:
                size += len(piece)
                if size > allowed:
                    raise too_large("blob", "the file is larger than is taken", allowed, size)
                held += piece
                if len(held) >= _PIECE:
                    await _to_its_end(_append, staged, bytes(held), content)
                    held.clear()
            await _to_its_end(_append, staged, bytes(held), content)
        return Digest(content.hexdigest())

    async def _piece(self, body: AsyncIterator[bytes]) -> bytes | None:
        """The next piece of a body, None at its end; raises `UploadTooSlow`."""
        idle = self._limits.idle
        try:
            async with asyncio.timeout(idle):
                return await anext(body, None)
        except TimeoutError:
            raise UploadTooSlow(
                f"nothing came for {idle:g} seconds; send it again", limit="idle", allowed=idle
            ) from None

    @asynccontextmanager
    async def _in_time(self) -> AsyncGenerator[None]:
        total = self._limits.total
        try:
            async with asyncio.timeout(total):
                yield
        except TimeoutError:
            detail = f"the upload took more than {total:g} seconds; leave out what the build does not need"
            raise UploadTooSlow(detail, limit="total", allowed=total) from None


def _cleaned(entry: TreeEntry, limits: ArchiveLimits) -> TreeEntry:
    """A listing's entry by the rules of an archive's."""
    path = clean_path(entry.path, limits)
    if not path:
        raise unsafe(Rule.EMPTY_NAME, entry.path)
    is_file = entry.kind is EntryKind.FILE
    if is_file is (entry.digest is None) or entry.size < 0 or (not is_file and (entry.size or entry.executable)):
        detail = f"`{shown(path)}`: a file has a digest and a size, and nothing else has either"
        raise BadListing(detail, entry=shown(path))
    if entry.kind is EntryKind.SYMLINK:
        return replace(entry, path=path, target=clean_target(path, entry.target, limits))
    if entry.target:
        raise BadListing(f"`{shown(path)}`: only a symbolic link has a target", entry=shown(path))
    return replace(entry, path=path)


def _append(staged: Path, piece: bytes, content: "hashlib._Hash") -> None:
    content.update(piece)
    with room_on_disk(), staged.open("ab") as stream:
        stream.write(piece)


async def _answer(child: asyncio.subprocess.Process) -> bytes:
    assert child.stdout is not None
    answer = bytearray()
    while piece := await child.stdout.read(_PIECE):
        answer += piece
        if len(answer) > MOST_ANSWER:
            raise Failure("the archive's reader said more than it may; please report this")
    return bytes(answer)


async def _to_its_end(function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run in a thread, and also when cancelled return only when the thread is done with what it was given."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
