"""A body on its way to an engine, and the patience with which both directions of an exchange are watched.

An archive is made as it is sent: by async generators over threads and open files. Left to the garbage collector, they
end wherever it happens to run; so a body is read by one task that is known here, which ends before the exchange does.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from daemon.engine.engine import Archive
from daemon.engine.settled import uninterrupted


class Patience:
    """A timeout that begins anew whenever something moves, in either direction."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._clock: asyncio.Timeout | None = None

    @contextlib.asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """`TimeoutError` when nothing has moved for so long."""
        try:
            async with asyncio.timeout(self._seconds) as self._clock:
                yield
        finally:
            self._clock = None

    def moved(self) -> None:
        """Something was sent or received."""
        if self._clock is not None and self._seconds is not None and not self._clock.expired():
            self._clock.reschedule(asyncio.get_running_loop().time() + self._seconds)


class Body(aiohttp.Payload):
    """What aiohttp sends, once; keeps the error that its source raised, which aiohttp would hide."""

    def __init__(self, source: Archive, patience: Patience) -> None:
        super().__init__(source, content_type="application/x-tar")
        self.error: Exception | None = None
        self._source = source
        self._patience = patience
        self._writing: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._over = False

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Called by aiohttp, in a task of its own, when the engine wants the body."""
        if self._over:
            raise ConnectionResetError("The exchange is over")
        self._transport = getattr(writer, "transport", None)
        self._writing = asyncio.create_task(self._write(writer))
        await self._writing

    async def _write(self, writer: AbstractStreamWriter) -> None:
        while (piece := await self._next()) is not None:
            self._patience.moved()
            await writer.write(piece)

    async def _next(self) -> bytes | None:
        try:
            return await anext(self._source, None)
        except Exception as error:
            self.error = error
            raise

    async def end(self, *, abort: bool) -> None:
        """Nothing reads the source any more, and it is closed; `abort` drops what the engine has not taken yet.

        A transport that is merely closed keeps it, and waits for an engine that may never read it.
        """
        self._over = True
        if abort and self._transport is not None:
            self._transport.abort()
        await uninterrupted(self._closed())

    async def _closed(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._source.aclose()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        """A stream is no text; aiohttp asks where it wants to send something twice."""
        raise TypeError("A body that is made as it is sent is never held")
