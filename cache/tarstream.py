"""A tar stream, read block by block: nothing is believed that was not checked first, nothing is skipped in silence.

The formats are in `cache.tarheader`. Where a format lets two readers see two things (a size in two places, a name in
two headers), the archive is refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cache.archive_errors import BadArchive, Rule, shown, too_large, unsafe
from cache.archive_limits import ArchiveLimits
from cache.digest import Digest
from cache.inflate import Body
from cache.paths import clean_path, clean_target
from cache.tarheader import (
    BLOCK,
    DIRECTORY,
    EXTENSIONS,
    FILE,
    HARD_LINK,
    OLD_FILE,
    OWNER_EXECUTES,
    SPARSE,
    SYMLINK,
    ZEROS,
    TarHeader,
    extend,
    overridden,
    parsed,
    text_of,
)
from cache.tree import EntryKind, TreeEntry

_LATER = {HARD_LINK: Rule.HARD_LINK, b"3": Rule.DEVICE, b"4": Rule.DEVICE, b"6": Rule.FIFO}

Keep = Callable[[Iterator[memoryview]], Digest]
"""Stores a file's bytes and names them."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry, and the rule that it breaks if it is not among those left out of the tree anyway."""

    entry: TreeEntry
    broken: Rule | None = None


class TarStream:
    """The entries of one archive, in its order; raises `BadArchive`, `UnsafeEntry` or `UploadTooLarge`."""

    def __init__(self, body: Body, limits: ArchiveLimits, keep: Keep) -> None:
        self._body = body
        self._limits = limits
        self._keep = keep
        self._headers = 0
        self._entries = 0
        self._names = 0

    def __iter__(self) -> Iterator[Found]:
        said: dict[str, bytes] = {}
        while (header := self._header()) is not None:
            if header.kind in EXTENSIONS:
                self._extend(said, header)
                continue
            self._entries += 1
            if self._entries > self._limits.entries:
                raise too_large("entries", "the archive has too many entries", self._limits.entries)
            found = self._entry(overridden(header, said))
            said = {}
            if found is not None:
                yield found
        if said:
            raise BadArchive("the archive ends after an extension header; make it again")
        for piece in self._body.rest():
            if any(piece):
                raise BadArchive("there is something after the end of the archive; send one archive alone")

    def _header(self) -> TarHeader | None:
        block = self._body.block(BLOCK)
        if not block:
            raise BadArchive("the archive has no end: it is cut off, or was not closed when it was made; send it again")
        if block == ZEROS:
            if self._body.block(BLOCK) != ZEROS:
                raise BadArchive("the archive has a hole: a block of zeros that does not end it; make it again")
            return None
        self._headers += 1
        if self._headers > 4 * self._limits.entries:
            raise too_large("entries", "the archive has too many headers", self._limits.entries)
        return parsed(block)

    def _extend(self, said: dict[str, bytes], header: TarHeader) -> None:
        """Take what an extension header says about the next entry."""
        if header.size > self._limits.header:
            raise too_large("header", "an extension header is too long", self._limits.header, header.size)
        data = self._body.block(header.size + -header.size % BLOCK)[: header.size]
        if len(data) < header.size:
            raise BadArchive("the archive is cut off in an extension header; send it again")
        extend(said, header, data)

    def _entry(self, header: TarHeader) -> Found | None:
        name = text_of(header.name, header.name)
        if header.kind == SPARSE:
            raise unsafe(Rule.SPARSE, name, "make the archive without --sparse")
        kind = _kind(header)
        if kind is None and header.kind not in _LATER:
            raise unsafe(Rule.UNKNOWN_TYPE, name)
        if kind is not EntryKind.FILE and header.size:
            raise BadArchive(f"`{shown(name)}` is no file and yet has content; make the archive again")
        path = clean_path(name, self._limits)
        if not path:
            if kind is EntryKind.DIRECTORY:
                return None
            raise unsafe(Rule.EMPTY_NAME, name)
        if kind is EntryKind.FILE and name.endswith("/"):
            raise BadArchive(f"`{shown(name)}` is a file with a directory's name; make the archive again")
        return self._found(header, kind, path)

    def _found(self, header: TarHeader, kind: EntryKind | None, path: str) -> Found:
        self._names += len(header.name) + len(header.target)
        if self._names > self._limits.names:
            raise too_large("names", "the names in the archive are too long together", self._limits.names, self._names)
        if kind is None:
            return Found(TreeEntry(path, EntryKind.FILE), _LATER[header.kind])
        if kind is EntryKind.DIRECTORY:
            return Found(TreeEntry(path, kind))
        if kind is EntryKind.SYMLINK:
            target = clean_target(path, text_of(header.target, path), self._limits)
            return Found(TreeEntry(path, kind, target=target))
        digest = self._keep(self._body.content(header.size))
        self._body.block(-header.size % BLOCK)
        executable = bool(header.mode & OWNER_EXECUTES)
        return Found(TreeEntry(path, kind, size=header.size, executable=executable, digest=digest))


def _kind(header: TarHeader) -> EntryKind | None:
    if header.kind == OLD_FILE and header.name.endswith(b"/"):
        return EntryKind.DIRECTORY
    if header.kind in {FILE, OLD_FILE}:
        return EntryKind.FILE
    return {DIRECTORY: EntryKind.DIRECTORY, SYMLINK: EntryKind.SYMLINK}.get(header.kind)
