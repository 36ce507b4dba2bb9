"""A tar stream, read block by block: nothing is believed that was not checked first, nothing is skipped in silence.

Formats: POSIX.1-1988 ustar and POSIX.1-2001 pax (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html),
GNU's long names (https://www.gnu.org/software/tar/manual/html_node/Standard.html), and the headers of Unix version 7.
Where a format lets two readers see two things (a size in two places, a name in two headers), the archive is refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cache.archive_errors import BadArchive, Rule, shown, too_large, unsafe
from cache.archive_limits import ArchiveLimits
from cache.digest import Digest
from cache.inflate import Body
from cache.paths import clean_path, clean_target
from cache.tree import EntryKind, TreeEntry

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_FILE, _OLD_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY = b"0", b"\0", b"1", b"2", b"5"
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_TARGET = b"x", b"g", b"L", b"K"
_SPARSE = b"S"
_LATER = {_HARD_LINK: Rule.HARD_LINK, b"3": Rule.DEVICE, b"4": Rule.DEVICE, b"6": Rule.FIFO}
_OWNER_EXECUTES = 0o100
_LONGEST_NUMBER = 20

Keep = Callable[[Iterator[memoryview]], Digest]
"""Stores a file's bytes and names them."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry, and the rule that it breaks if it is not among those left out of the tree anyway."""

    entry: TreeEntry
    broken: Rule | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    kind: bytes
    name: bytes
    target: bytes
    size: int
    mode: int


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
            if header.kind in {_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_TARGET}:
                self._extend(said, header)
                continue
            self._entries += 1
            if self._entries > self._limits.entries:
                raise too_large("entries", "the archive has too many entries", self._limits.entries)
            found = self._entry(_overridden(header, said))
            said = {}
            if found is not None:
                yield found
        if said:
            raise BadArchive("the archive ends after an extension header; make it again")
        for piece in self._body.rest():
            if any(piece):
                raise BadArchive("there is something after the end of the archive; send one archive alone")

    def _header(self) -> _Header | None:
        block = self._body.block(_BLOCK)
        if not block:
            raise BadArchive("the archive has no end: it is cut off, or was not closed when it was made; send it again")
        if block == _ZEROS:
            if self._body.block(_BLOCK) != _ZEROS:
                raise BadArchive("the archive has a hole: a block of zeros that does not end it; make it again")
            return None
        self._headers += 1
        if self._headers > 4 * self._limits.entries:
            raise too_large("entries", "the archive has too many headers", self._limits.entries)
        return _parsed(block)

    def _extend(self, said: dict[str, bytes], header: _Header) -> None:
        """Take what an extension header says about the next entry."""
        if header.size > self._limits.header:
            raise too_large("header", "an extension header is too long", self._limits.header, header.size)
        data = self._body.block(header.size + -header.size % _BLOCK)[: header.size]
        if len(data) < header.size:
            raise BadArchive("the archive is cut off in an extension header; send it again")
        if header.kind in {_LONG_NAME, _LONG_TARGET}:
            value, _, padding = data.partition(b"\0")
            if padding.strip(b"\0"):
                raise BadArchive("a long name has something after its end; make the archive again")
            records = {"path" if header.kind == _LONG_NAME else "linkpath": value}
        else:
            records = _pax(data)
        if header.kind == _PAX_GLOBAL:
            if records:
                raise BadArchive(f"a global header sets {', '.join(records)} for all entries; make the archive again")
            return
        if twice := said.keys() & records.keys():
            raise BadArchive(f"two headers give one entry's {', '.join(sorted(twice))}; make the archive again")
        said.update(records)

    def _entry(self, header: _Header) -> Found | None:
        name = _text(header.name, header.name)
        if header.kind == _SPARSE:
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

    def _found(self, header: _Header, kind: EntryKind | None, path: str) -> Found:
        self._names += len(header.name) + len(header.target)
        if self._names > self._limits.names:
            raise too_large("names", "the names in the archive are too long together", self._limits.names, self._names)
        if kind is None:
            return Found(TreeEntry(path, EntryKind.FILE), _LATER[header.kind])
        if kind is EntryKind.DIRECTORY:
            return Found(TreeEntry(path, kind))
        if kind is EntryKind.SYMLINK:
            target = clean_target(path, _text(header.target, path), self._limits)
            return Found(TreeEntry(path, kind, target=target))
        digest = self._keep(self._body.content(header.size))
        self._body.block(-header.size % _BLOCK)
        executable = bool(header.mode & _OWNER_EXECUTES)
        return Found(TreeEntry(path, kind, size=header.size, executable=executable, digest=digest))


def _kind(header: _Header) -> EntryKind | None:
    if header.kind == _OLD_FILE and header.name.endswith(b"/"):
        return EntryKind.DIRECTORY
    if header.kind in {_FILE, _OLD_FILE}:
        return EntryKind.FILE
    return {_DIRECTORY: EntryKind.DIRECTORY, _SYMLINK: EntryKind.SYMLINK}.get(header.kind)


def _parsed(block: bytes) -> _Header:
    """A header block; raises `BadArchive`. Owners, times and device numbers are never looked at."""
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _number(block[148:156]) != checksum:
        raise BadArchive("this is no tar archive, or it is damaged: a header's checksum is wrong; send it again")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    return _Header(
        kind=block[156:157],
        name=name,
        target=block[157:257].partition(b"\0")[0],
        size=_number(block[124:136]),
        mode=_number(block[100:108]),
    )


def _number(field: bytes) -> int:
    """Octal digits between spaces and NULs, or GNU's base 256 for what is positive."""
    if field[0] == 0x80:  # noqa: PLR2004 - the mark of base 256
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or digits.strip(b"01234567"):
        raise BadArchive("a number in a header is not octal; make the archive again")
    return int(digits, 8)


def _pax(data: bytes) -> dict[str, bytes]:
    """The records that change what an entry is: path, linkpath and size; of others only the form is looked at."""
    records: dict[str, bytes] = {}
    while data:
        length, space, _ = data[: _LONGEST_NUMBER + 1].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 3 <= int(length) <= len(data):
            raise BadArchive("a pax header is malformed; make the archive again")
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        key, equals, value = record[:-1].partition(b"=")
        if record[-1:] != b"\n" or not equals or not key:
            raise BadArchive("a pax header is malformed; make the archive again")
        if key.startswith(b"GNU.sparse."):
            raise unsafe(Rule.SPARSE, records.get("path", b"an entry"), "make the archive without --sparse")
        if key in {b"path", b"linkpath", b"size"}:
            if key.decode() in records:
                raise BadArchive(f"a pax header gives {key.decode()} twice; make the archive again")
            records[key.decode()] = value
    return records


def _overridden(header: _Header, said: dict[str, bytes]) -> _Header:
    if (size := said.get("size")) is not None and (
        not size.isdigit() or len(size) > _LONGEST_NUMBER or int(size) != header.size
    ):
        raise BadArchive("an entry's header and its pax header give two sizes; make the archive again")
    return _Header(
        kind=header.kind,
        name=said.get("path", header.name),
        target=said.get("linkpath", header.target),
        size=header.size,
        mode=header.mode,
    )


def _text(name: bytes, entry: bytes | str) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise unsafe(Rule.NOT_UTF8, entry) from None
