"""The artefacts of a workspace on their way into another sandbox: an engine's tar stream in, a tar stream out.

First-party code has run where they come from, so what comes is hostile. Every entry is judged before a byte of it goes
on, and is written anew: whose it is, its mode and its time are ours (law 1). What is not accepted, or not whole, ends
the copy; the sandbox that it went into is thrown away, and nothing has run there.
"""

import posixpath
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from cache.archive_errors import BadArchive, Rule, UnsafeEntry, UploadTooLarge, too_large, unsafe
from cache.archive_limits import ArchiveLimits
from cache.paths import clean_path, clean_target, judge_links
from cache.tarheader import (
    BLOCK,
    DIRECTORY,
    EXTENSIONS,
    FILE,
    HARD_LINK,
    OLD_FILE,
    OWNER_EXECUTES,
    SYMLINK,
    ZEROS,
    TarHeader,
    extend,
    overridden,
    parsed,
    text_of,
)
from cache.tree import EntryKind, TreeEntry
from daemon.engine.engine import Archive
from daemon.units.placing import BUILDER
from daemon.units.target_directory import TargetLimits

_PIECE = 1 << 20
_NAMES = ArchiveLimits()


class UnsoundArtefacts(Exception):  # noqa: N818 - reads as what it says
    """The stream is no archive that is whole, or it holds an entry that is not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefacts:
    """What is copied: a directory of a sandbox, and which of the paths in it; `time` is the mtime of every entry."""

    directory: str
    wanted: Callable[[str], bool]
    time: int
    limits: TargetLimits = field(default_factory=TargetLimits)


async def copied(archive: Archive, artefacts: Artefacts) -> AsyncGenerator[bytes, None]:
    """The stream for another sandbox's `/`, of the stream that an engine gives of the directory.

    Raises `UnsoundArtefacts`, and what `archive` raises.
    """
    incoming, judge = _Incoming(archive, artefacts.limits), _Judge(artefacts)
    held = bytearray()
    try:
        while (header := await incoming.header()) is not None:
            goes_on = judge.headers(header)
            held += b"".join(goes_on)
            async for piece in incoming.content(header.size):
                if goes_on:
                    held += piece
                if len(held) >= _PIECE:
                    yield bytes(held)
                    held.clear()
        judge.judge_links()
        await incoming.end()
    except (BadArchive, UnsafeEntry, UploadTooLarge) as problem:
        raise UnsoundArtefacts(problem.detail) from problem
    finally:
        # An engine lets nobody else near a container as long as it is read.
        await archive.aclose()
    yield bytes(held) + bytes(2 * BLOCK)


class _Incoming:
    """An archive's headers and contents, taken in their order."""

    def __init__(self, pieces: Archive, limits: TargetLimits) -> None:
        self._pieces = pieces
        self._limits = limits
        self._held = memoryview(b"")
        self._size = 0
        self._headers = 0

    async def header(self) -> TarHeader | None:
        """The next entry's, with what extension headers say of it; None at the end."""
        said: dict[str, bytes] = {}
        while True:
            block = await self._exactly(BLOCK)
            if block == ZEROS:
                if said or await self._exactly(BLOCK) != ZEROS:
                    raise BadArchive("the archive ends where it should not")
                return None
            self._headers += 1
            if self._headers > 2 * self._limits.entries:
                raise too_large("entries", "the directory has too many entries", self._limits.entries)
            header = parsed(block)
            if header.kind not in EXTENSIONS:
                return overridden(header, said)
            if header.size > _NAMES.header:
                raise too_large("header", "an extension header is too long", _NAMES.header, header.size)
            data = await self._exactly(header.size + -header.size % BLOCK)
            extend(said, header, data[: header.size])

    async def content(self, size: int) -> AsyncIterator[memoryview]:
        """The next entry's, with the zeros after it."""
        left = size + -size % BLOCK
        while left:
            piece = await self._some(left)
            left -= len(piece)
            yield piece

    async def end(self) -> None:
        """What follows the archive is nothing but zeros."""
        while self._held or await self._fill():
            if any(self._held):
                raise BadArchive("there is something after the end of the archive")
            self._held = memoryview(b"")

    async def _exactly(self, size: int) -> bytes:
        if len(self._held) >= size:
            block, self._held = bytes(self._held[:size]), self._held[size:]
            return block
        gathered = bytearray()
        while len(gathered) < size:
            gathered += await self._some(size - len(gathered))
        return bytes(gathered)

    async def _some(self, most: int) -> memoryview:
        if not self._held and not await self._fill():
            raise BadArchive("the archive is cut off")
        piece, self._held = self._held[:most], self._held[most:]
        return piece

    async def _fill(self) -> bool:
        while not self._held:
            piece = await anext(self._pieces, None)
            if piece is None:
                return False
            self._size += len(piece)
            if self._size > self._limits.archive:
                raise too_large("archive", "the directory is larger than is taken", self._limits.archive)
            self._held = memoryview(piece)
        return True


class _Judge:
    """Knows what has gone by: each path once, below directories that have gone by before it."""

    def __init__(self, artefacts: Artefacts) -> None:
        self._wanted = artefacts.wanted
        self._place = artefacts.directory.strip("/")
        self._top = posixpath.basename(self._place)
        self._time = artefacts.time
        self._kinds: dict[str, EntryKind] = {}
        self._copied: set[str] = set()
        self._links: list[TreeEntry] = []

    def headers(self, header: TarHeader) -> list[bytes]:
        """What goes on for this entry: its header, after those of directories above it; none if it is not wanted."""
        kind = _kind(header)
        path = self._path(header, kind)
        if header.size and header.kind not in {FILE, OLD_FILE}:
            raise BadArchive(f"{path} is no file and yet has content")
        # What a link is the second name of is looked at even if it stays behind: it tells what the path is.
        first = self._first(header, path) if header.kind == HARD_LINK else None
        self._kinds[path] = kind
        if not self._wanted(path):
            return []
        info = self._info(path, kind, header)
        if kind is EntryKind.DIRECTORY:
            return [*self._above(path), self._directory(path)]
        if kind is EntryKind.SYMLINK:
            info.linkname = text_of(header.target, path)
            if clean_target(path, info.linkname, _NAMES) != info.linkname:
                raise BadArchive(f"{path} is a link to a name that is not in its usual form")
            self._links.append(TreeEntry(path, kind, target=self._relative(path, info.linkname)))
        elif first is not None:
            if first not in self._copied:
                raise BadArchive(f"{path} is another name of {first}, which is not copied")
            info.type, info.linkname = tarfile.LNKTYPE, f"{self._place}/{first}"
        self._copied.add(path)
        return [*self._above(path), info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")]

    def judge_links(self) -> None:
        """All symbolic links, followed through one another, lead to places in the directory."""
        judge_links(self._links)

    def _path(self, header: TarHeader, kind: EntryKind) -> str:
        """Where it is in the directory; the directory itself comes first and is empty."""
        name = text_of(header.name, header.name)
        top, _, path = name.partition("/")
        path = path.removesuffix("/") if kind is EntryKind.DIRECTORY else path
        if top != self._top or clean_path(path, _NAMES) != path:
            raise BadArchive(f"{name[:200]!r} is not a name that an engine gives")
        if path in self._kinds:
            raise unsafe(Rule.DUPLICATE, path)
        if not path:
            if kind is not EntryKind.DIRECTORY:
                raise BadArchive(f"{name[:200]!r} is no directory")
            return path
        above = self._kinds.get(posixpath.dirname(path))
        if above is not EntryKind.DIRECTORY:
            raise BadArchive(f"{path} lies in no directory")
        return path

    def _first(self, header: TarHeader, path: str) -> str:
        top, _, first = text_of(header.target, path).partition("/")
        if top != self._top or self._kinds.get(first) is not EntryKind.FILE:
            raise BadArchive(f"{path} is another name of something else than a file of the directory")
        return first

    def _relative(self, path: str, target: str) -> str:
        """A link's target without the directory's own place, if it begins with that."""
        inside = f"/{self._place}/"
        if not target.startswith(inside):
            return target
        return "../" * path.count("/") + target.removeprefix(inside)

    def _above(self, path: str) -> Iterator[bytes]:
        """The directories that lead to a path, each once: nothing is unpacked through what the sandbox has there."""
        missing: list[str] = []
        while path:
            path = posixpath.dirname(path)
            if path in self._copied:
                break
            missing.append(path)
        return (self._directory(directory) for directory in reversed(missing))

    def _directory(self, path: str) -> bytes:
        self._copied.add(path)
        info = self._info(path, EntryKind.DIRECTORY, None)
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")

    def _info(self, path: str, kind: EntryKind, header: TarHeader | None) -> tarfile.TarInfo:
        info = tarfile.TarInfo(f"{self._place}/{path}".removesuffix("/"))
        info.uid = info.gid = BUILDER
        info.mtime, info.mode = self._time, 0o755
        match kind:
            case EntryKind.DIRECTORY:
                info.type = tarfile.DIRTYPE
            case EntryKind.SYMLINK:
                info.type, info.mode = tarfile.SYMTYPE, 0o777
            case EntryKind.FILE:
                assert header is not None
                info.size = header.size
                info.mode = 0o755 if header.mode & OWNER_EXECUTES else 0o644
        return info


def _kind(header: TarHeader) -> EntryKind:
    if header.kind in {FILE, OLD_FILE, HARD_LINK}:
        return EntryKind.FILE
    kind = {DIRECTORY: EntryKind.DIRECTORY, SYMLINK: EntryKind.SYMLINK}.get(header.kind)
    if kind is None:
        raise unsafe(Rule.FIFO if header.kind == b"6" else Rule.UNKNOWN_TYPE, header.name)
    return kind
