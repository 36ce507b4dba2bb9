"""Reading what an engine streams: the output of a process, JSON progress lines, and tars.

Everything here takes bytes as they come, cut anywhere, and holds no more of them than it must.
"""

import json
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

from daemon.engine.engine import Archive, OutputStream
from daemon.errors import EngineRefused

_BLOCK = 512
_LONGEST_LINE = 16 << 20
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
_STREAMS = {0: OutputStream.STDOUT, 1: OutputStream.STDOUT, 2: OutputStream.STDERR, 3: OutputStream.STDERR}


class Demultiplexer:
    """Takes an attached container's output apart into its two streams.

    The format is the engine API's ("Stream format" of ContainerAttach): frames of a byte for the stream, three zero
    bytes, the length as four bytes big-endian, and so many bytes. A frame is passed on as far as it has come, so one
    that claims four gigabytes costs nothing.
    """

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream = OutputStream.STDOUT
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[OutputStream, bytes]]:
        """The pieces of output that these bytes hold; `EngineRefused` where no frame can begin so."""
        rest = memoryview(data)
        while rest:
            if self._left:
                piece, rest = rest[: self._left], rest[self._left :]
                self._left -= len(piece)
                yield self._stream, bytes(piece)
                continue
            missing = 8 - len(self._header)
            self._header += rest[:missing]
            rest = rest[missing:]
            if len(self._header) == 8:  # noqa: PLR2004 - a frame header's length
                self._begin(bytes(self._header))
                self._header.clear()

    def _begin(self, header: bytes) -> None:
        number, zeros, self._left = struct.unpack(">B3sL", header)
        if number not in _STREAMS or zeros != b"\0\0\0":
            raise EngineRefused(f"The engine's output stream is not framed as its API says: {header.hex()}")
        self._stream = _STREAMS[number]

    @property
    def between_frames(self) -> bool:
        """Nothing is missing of what was announced."""
        return not self._left and not self._header


class ProgressLines:
    """Splits the JSON lines by which an engine tells how a long request goes on."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The objects whose lines are complete now."""
        self._held += data
        while (end := self._held.find(b"\n")) >= 0:
            line = bytes(self._held[:end])
            del self._held[: end + 1]
            yield from self._read(line)
        if len(self._held) > _LONGEST_LINE:
            raise EngineRefused("The engine sent a line of progress longer than 16 MiB")

    def finish(self) -> Iterator[dict[str, Any]]:
        """The last object, whose line need not have ended."""
        line = bytes(self._held)
        self._held.clear()
        yield from self._read(line)

    @staticmethod
    def _read(line: bytes) -> Iterator[dict[str, Any]]:
        if not line.strip():
            return
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise EngineRefused(f"The engine sent a line of progress that is no JSON object: {line[:200]!r}")
        yield value


def progress_error(line: dict[str, Any]) -> str | None:
    """The error that a line of progress tells, for the request's own status said 200 long before it."""
    detail = line.get("errorDetail")
    if isinstance(detail, dict) and detail.get("message"):
        return str(detail["message"])
    return str(line["error"]) if line.get("error") else None


async def plain(archive: Archive) -> Archive:
    """The archive as it is, but `ValueError` for one that is compressed.

    An engine unpacks those with the host's own programs (20.10 runs `xz`), outside of any sandbox.
    """
    first = b""
    async with aclosing(archive):
        async for piece in archive:
            if len(first) < 8:  # noqa: PLR2004 - longer than any of the magic numbers
                first += piece[:8]
                if first.startswith(_COMPRESSED):
                    raise ValueError("Archives go to the engine uncompressed: this one is not")
            if piece:
                yield piece


class TarEnd:
    """Watches a tar stream go by, to tell at its end whether it was whole: two zero blocks, the length in blocks."""

    def __init__(self) -> None:
        self._tail = b""
        self._length = 0

    def feed(self, data: bytes) -> None:
        """Bytes that went by."""
        self._length += len(data)
        self._tail = (self._tail + data[-2 * _BLOCK :])[-2 * _BLOCK :]

    @property
    def whole(self) -> bool:
        """The stream ended as a tar does."""
        return self._length % _BLOCK == 0 and self._tail == bytes(2 * _BLOCK)


async def progress(read: Callable[[], Awaitable[bytes]]) -> list[dict[str, Any]]:
    """All lines of progress that `read` gives until it gives nothing."""
    lines = ProgressLines()
    found: list[dict[str, Any]] = []
    while piece := await read():
        found += lines.feed(piece)
    return [*found, *lines.finish()]
