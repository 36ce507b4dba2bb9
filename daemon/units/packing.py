"""One unit as one blob: its files in a canonical tar, compressed.

The same files make the same archive, so its digest says what a unit is, and whether one that was compiled again is the
same. How it is compressed may change with the library; the digest is of what is inside. Times and owners are not kept.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import zstandard

from cache.blobs import room_on_disk
from cache.digest import Digest
from cache.tree import EntryKind, TreeEntry
from daemon.tarball import Member, header

_LEVEL = 3
_LOOKS_BACK = range(18, 26)
"""How far back what is packed may look, as powers of two: an rlib's metadata are in it and again beside it."""
_PIECE = 1 << 18
_WINDOW = 1 << 27
"""The largest window that is unpacked, in bytes."""
_END = bytes(2 * tarfile.BLOCKSIZE)

Open = Callable[[str], IO[bytes]]
"""Opens a file of the unit by its path."""


class DamagedUnit(Exception):  # noqa: N818 - reads as what is said of the unit
    """A stored unit is not what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A unit's archive; sizes in bytes."""

    digest: Digest
    """Of the archive: what the unit is."""
    blob: Digest
    """Of the compressed archive."""
    size: int
    unpacked: int


def identify(entries: Iterable[TreeEntry], opened: Open) -> Digest:
    """What a unit is: the digest of its archive. Blocks."""
    seen = hashlib.sha256()
    for piece in _archive(entries, opened):
        seen.update(piece)
    return Digest(seen.hexdigest())


def pack(entries: Collection[TreeEntry], opened: Open, into: Path) -> Packed:
    """Write a unit's compressed archive to a new file. Blocks; `NoSpace` on a full disk."""
    seen, blob = hashlib.sha256(), hashlib.sha256()
    unpacked = size = 0
    packer = _compressor(sum(entry.size for entry in entries)).compressobj()

    def keep(compressed: bytes) -> int:
        blob.update(compressed)
        return file.write(compressed)

    with room_on_disk(), into.open("wb") as file:
        for piece in _archive(entries, opened):
            seen.update(piece)
            unpacked += len(piece)
            size += keep(packer.compress(piece))
        size += keep(packer.flush())
    return Packed(digest=Digest(seen.hexdigest()), blob=Digest(blob.hexdigest()), size=size, unpacked=unpacked)


def _compressor(size: int) -> zstandard.ZstdCompressor:
    """One that finds what is repeated in so many bytes, up to a bound, and takes no more memory than that needs."""
    window = min(max(size.bit_length(), _LOOKS_BACK[0]), _LOOKS_BACK[-1])
    found = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=window, enable_ldm=True)
    return zstandard.ZstdCompressor(compression_params=found)


def unpack(pieces: Iterable[bytes], digest: Digest, unpacked: int, into: Path) -> dict[str, tuple[TreeEntry, Path]]:
    """Unpack a blob into numbered files of an empty directory; entries by path, each file with its digest and place.

    `unpacked` is the archive's size in bytes. Raises `DamagedUnit` unless all is as it was packed, and whatever reading
    the pieces raises. Blocks.
    """
    reader = _Unpacked(pieces, unpacked)
    found: dict[str, tuple[TreeEntry, Path]] = {}
    with _damage(digest):
        with room_on_disk(), tarfile.open(fileobj=reader, mode="r|", bufsize=_PIECE) as tar:
            for number, entry in enumerate(tar):
                found[entry.name] = _unpacked(tar, entry, into / str(number))
        reader.finish(digest)
    return found


def unpack_in_memory(blob: bytes, digest: Digest, unpacked: int) -> dict[str, tuple[TreeEntry, memoryview]]:
    """Unpack a whole blob; entries by path, each file with its content, all of them parts of one buffer.

    `unpacked` is the archive's size in bytes, which is what this takes of memory. Raises `DamagedUnit` unless all is
    as it was packed.
    """
    with _damage(digest):
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        archive = unpacker.decompress(blob, max_output_size=unpacked, allow_extra_data=False)
        if len(archive) != unpacked or Digest.of(archive) != digest:
            raise ValueError("it is not what was packed")
        whole = memoryview(archive)
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            return {
                entry.name: (_entry(entry), whole[entry.offset_data : entry.offset_data + entry.size]) for entry in tar
            }


@contextmanager
def _damage(digest: Digest) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zstandard.ZstdError, UnicodeError, ValueError, OverflowError) as problem:
        raise DamagedUnit(f"the unit {digest} cannot be unpacked: {problem}") from problem


def _archive(entries: Iterable[TreeEntry], opened: Open) -> Iterator[bytes]:
    """The canonical archive: sorted by path, times and owners nought, modes 755 or 644."""
    for entry in sorted(entries, key=lambda each: each.path.encode()):
        member = Member(path=entry.path, mode=0o755 if entry.executable else 0o644, mtime=0)
        match entry.kind:
            case EntryKind.DIRECTORY:
                yield header(replace(member, mode=0o755))
            case EntryKind.SYMLINK:
                yield header(replace(member, mode=0o777, target=entry.target))
            case EntryKind.FILE:
                yield header(replace(member, source=Path(entry.path), size=entry.size))
                yield from _content(entry, opened)
    yield _END


def _content(entry: TreeEntry, opened: Open) -> Iterator[bytes]:
    left = entry.size
    with closing(opened(entry.path)) as stream:
        while piece := stream.read(min(_PIECE, left + 1)):
            left -= len(piece)
            yield piece
    if left:
        raise ValueError(f"{entry.path} is not {entry.size} bytes long")
    yield bytes(-entry.size % tarfile.BLOCKSIZE)


def _unpacked(tar: tarfile.TarFile, entry: tarfile.TarInfo, into: Path) -> tuple[TreeEntry, Path]:
    found = _entry(entry)
    content = tar.extractfile(entry) if found.kind is EntryKind.FILE else None
    if content is None:
        return found, into
    seen = hashlib.sha256()
    with into.open("xb") as file:
        while piece := content.read(_PIECE):
            seen.update(piece)
            file.write(piece)
    return replace(found, digest=Digest(seen.hexdigest())), into


def _entry(entry: tarfile.TarInfo) -> TreeEntry:
    if entry.isdir():
        return TreeEntry(entry.name, EntryKind.DIRECTORY)
    if entry.issym():
        return TreeEntry(entry.name, EntryKind.SYMLINK, target=entry.linkname)
    if not entry.isreg():
        raise ValueError(f"{entry.name} is no file")
    return TreeEntry(entry.name, EntryKind.FILE, entry.size, bool(entry.mode & 0o100))


class _Unpacked(io.RawIOBase):
    """The archive in a blob: counted, and named at its end."""

    def __init__(self, pieces: Iterable[bytes], expected: int) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        self._seen = hashlib.sha256()
        self._held = b""
        self._left = expected

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; less only at the end."""
        assert size >= 0
        parts: list[bytes] = []
        missing = size
        while missing:
            if not self._held and not self._more():
                break
            part, self._held = self._held[:missing], self._held[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def finish(self, digest: Digest) -> None:
        """All has come, and it was this; also the source is read to its end, where it proves itself."""
        while self._more():
            pass
        if (
            self._left
            or self._unpacker.unused_data
            or not self._unpacker.eof
            or Digest(self._seen.hexdigest()) != digest
        ):
            raise ValueError("it is not what was packed")

    def _more(self) -> bool:
        for piece in self._pieces:
            if self._unpacker.eof:
                raise ValueError("something follows its end")
            self._held = self._unpacker.decompress(piece)
            if self._held:
                self._left -= len(self._held)
                if self._left < 0:
                    raise ValueError("it is larger than what was packed")
                self._seen.update(self._held)
                return True
        return False
