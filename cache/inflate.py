"""The bytes of an upload as they unpack: plain, gzip or zstd by their first bytes, counted before anyone sees them.

Runs in the process that reads archives (`cache.archive_child`). No step makes more than a bounded piece of memory,
however well the body is compressed.
"""

import zlib
from collections.abc import Callable, Iterator
from itertools import chain

from cache.archive_errors import BadArchive, too_large
from cache.archive_limits import ArchiveLimits

_PIECE = 1 << 16
_ZSTD_PIECE = 1 << 8
"""A zstd block of 4 bytes can be 128 KiB, so this much input is at most 8 MiB."""
_ZSTD_WINDOW = 8 << 20
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_OTHERS = {b"PK\x03\x04": "a zip file", b"\xfd7zXZ": "compressed with xz", b"BZh": "compressed with bzip2"}
_WANTED = "send a tar archive: plain, or compressed with gzip or zstd"


class Body:
    """An upload's unpacked bytes, taken in the order in which they come."""

    def __init__(self, read: Callable[[int], bytes], limits: ArchiveLimits) -> None:
        self._limits = limits
        self._came = 0
        self._expanded = 0
        self._pieces = self._unpacked(read)
        self._held = memoryview(b"")

    def block(self, size: int) -> bytes:
        """The next bytes: as many as asked, or none at the very end; raises `BadArchive` if it ends between."""
        if len(self._held) >= size:
            block, self._held = bytes(self._held[:size]), self._held[size:]
            return block
        parts = list(self._pieces_of(size))
        block = b"".join(parts)
        if block and len(block) < size:
            raise _cut_off()
        return block

    def content(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes in pieces; raises `BadArchive` if there are fewer."""
        left = size
        for piece in self._pieces_of(size):
            left -= len(piece)
            yield piece
        if left:
            raise _cut_off()

    def rest(self) -> Iterator[memoryview]:
        """Everything up to the end."""
        while self._fill():
            piece, self._held = self._held, memoryview(b"")
            yield piece

    def _pieces_of(self, size: int) -> Iterator[memoryview]:
        while size and self._fill():
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            yield piece

    def _fill(self) -> bool:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._count(len(piece))
            self._held = memoryview(piece)
        return True

    def _count(self, size: int) -> None:
        limits = self._limits
        self._expanded += size
        if self._expanded > limits.expanded:
            raise too_large("expanded", "the archive unpacks to more than is taken", limits.expanded, self._expanded)
        if self._expanded > limits.ratio_from and self._expanded > limits.ratio * self._came:
            found = self._expanded // self._came
            raise too_large("ratio", f"the archive unpacks to {found:,} times its size", limits.ratio, found)

    def _arriving(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        while data := read(_PIECE):
            self._came += len(data)
            if self._came > self._limits.body:
                raise too_large("body", "the body is larger than is taken", self._limits.body, self._came)
            yield data

    def _unpacked(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        arriving = self._arriving(read)
        first = b""
        while len(first) < max(map(len, (_ZSTD, *_OTHERS))) and (data := next(arriving, b"")):
            first += data
        if not first:
            raise BadArchive(f"the body is empty; {_WANTED}")
        for magic, what in _OTHERS.items():
            if first.startswith(magic):
                raise BadArchive(f"the body is {what}; {_WANTED}")
        whole = chain((first,), arriving)
        if first.startswith(_GZIP):
            return _gunzip(whole)
        if first.startswith(_ZSTD):
            return _unzstd(whole)
        return whole


def _gunzip(arriving: Iterator[bytes]) -> Iterator[bytes]:
    """RFC 1952, several members one after another included."""
    decoder = zlib.decompressobj(wbits=31)
    for data in arriving:
        full = False
        while data or full:
            if decoder.eof:
                decoder = zlib.decompressobj(wbits=31)
            try:
                piece = decoder.decompress(data, _PIECE)
            except zlib.error as problem:
                raise BadArchive(f"the gzip stream is damaged: {problem}; send it again") from problem
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail  # noqa: PLW2901 - what is left of it
            full = len(piece) == _PIECE and not decoder.eof
            if piece:
                yield piece
    if not decoder.eof:
        raise _cut_off()


def _unzstd(arriving: Iterator[bytes]) -> Iterator[bytes]:
    """RFC 8878, several frames one after another included."""
    import zstandard  # noqa: PLC0415 - most uploads need none of its megabytes

    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    decoder = unpacker.decompressobj()
    made = bytearray()
    for data in arriving:
        for start in range(0, len(data), _ZSTD_PIECE):
            left = data[start : start + _ZSTD_PIECE]
            while left:
                if decoder.eof:
                    decoder = unpacker.decompressobj()
                try:
                    piece = decoder.decompress(left)
                except zstandard.ZstdError as problem:
                    raise BadArchive(f"the zstd stream cannot be read: {problem}; send it again") from problem
                left = decoder.unused_data if decoder.eof else b""
                made += piece
                if len(made) >= _PIECE:
                    yield bytes(made)
                    made.clear()
    if made:
        yield bytes(made)
    if not decoder.eof:
        raise _cut_off()


def _cut_off() -> BadArchive:
    return BadArchive("the archive is cut off; send it again, whole")
