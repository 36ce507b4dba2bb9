"""One run of a container from start to exit: its output passed on, its limits held, its end judged.

The order matters: attached before started, so that no output is lost; waited for after started, so that the exit code
is this run's. The exit code is believed, the end of the output is not (a process may close its streams and go on).
Killing a process inside a container leaves others running, so a limit kills the container.
"""

import asyncio
import contextlib
import json
import math
import time
from typing import Any

from cache.errors import Failure
from daemon.engine.engine import Exit, Limits, OutputSink
from daemon.engine.settled import uninterrupted
from daemon.engine.stream import Demultiplexer
from daemon.engine.transport import Received, Transport
from daemon.errors import DeadlinePassed, EngineUnavailable, OutputTooLarge, SandboxGone

_SIGNALLED = 128
_GOING = frozenset({"removing", "dead"})


class Run:
    """A single run; `finish` is called once."""

    def __init__(self, transport: Transport, path: str, sink: OutputSink, limits: Limits) -> None:
        self._transport = transport
        self._path = path
        self._sink = sink
        self._limits = limits
        self._clock = asyncio.get_running_loop().time
        self._heard = self._clock()
        self._printed = 0

    async def finish(self) -> Exit:
        """Start it, stay until it has stopped, however that comes about; raises as `Sandboxes.run` says."""
        attach = self._transport.exchange(
            "POST",
            f"{self._path}/attach",
            params={"stream": "1", "stdout": "1", "stderr": "1"},
            gone=SandboxGone,
            silence=math.inf,
        )
        async with attach as output:
            try:
                code, seconds, since = await self._supervise(output)
            except BaseException:
                await uninterrupted(self._kill())
                raise
        return await self._judge(code, seconds, since)

    async def _supervise(self, output: Received) -> tuple[int, float, float]:
        begun, since = self._clock(), time.time()
        self._heard = begun
        reader = asyncio.create_task(self._read(output))
        start = asyncio.create_task(self._start())
        waiter: asyncio.Task[int] | None = None
        try:
            # A start that is abandoned may still happen, after the kill: it is awaited even when we are cancelled.
            await asyncio.shield(start)
            waiter = asyncio.create_task(self._wait())
            await self._watch(reader, waiter, begun)
            seconds = self._clock() - begun
            await asyncio.wait({reader}, timeout=self._transport.timeouts.drain)
            if reader.done():
                reader.result()
            return waiter.result(), seconds, since
        finally:
            for task in (reader, waiter):
                if task is not None:
                    task.cancel()
            with contextlib.suppress(Failure):
                await uninterrupted(_all(start))
            await asyncio.gather(*(task for task in (reader, waiter) if task), return_exceptions=True)

    async def _start(self) -> None:
        await self._transport.ask(
            "POST", f"{self._path}/start", gone=SandboxGone, within=self._transport.timeouts.start
        )

    async def _wait(self) -> int:
        answer = await self._transport.ask("POST", f"{self._path}/wait", gone=SandboxGone, within=math.inf)
        return int(answer["StatusCode"])

    async def _watch(self, reader: asyncio.Task[None], waiter: asyncio.Task[int], begun: float) -> None:
        watched: set[asyncio.Task[Any]] = {reader, waiter}
        while not waiter.done():
            now = self._clock()
            left = begun + self._limits.deadline - now
            quiet = self._heard + self._limits.silence - now
            if left <= 0:
                raise DeadlinePassed(
                    f"It ran for {self._limits.deadline:g} seconds; no step may run for longer.",
                    limit="deadline",
                    seconds=self._limits.deadline,
                )
            if quiet <= 0:
                raise DeadlinePassed(
                    f"It printed nothing for {self._limits.silence:g} seconds; no step may be silent for longer.",
                    limit="silence",
                    seconds=self._limits.silence,
                )
            await asyncio.wait(watched, timeout=min(left, quiet), return_when=asyncio.FIRST_COMPLETED)
            if reader.done() and reader in watched:
                watched.discard(reader)
                reader.result()
        waiter.result()

    async def _read(self, output: Received) -> None:
        frames = Demultiplexer()
        while data := await output.read():
            self._heard = self._clock()
            for stream, piece in frames.feed(data):
                self._printed += len(piece)
                if self._printed > self._limits.output:
                    raise OutputTooLarge(
                        f"It printed more than {self._limits.output} bytes; no step may print more.",
                        limit="output",
                        bytes=self._limits.output,
                    )
                self._sink(stream, piece)
        if not frames.between_frames:
            raise EngineUnavailable("The engine broke off in the middle of a step's output")

    async def _kill(self) -> None:
        # A container that has stopped or is gone cannot be killed, which is as good.
        with contextlib.suppress(Failure):
            await self._transport.ask("POST", f"{self._path}/kill", params={"signal": "SIGKILL"}, gone=SandboxGone)
        with contextlib.suppress(Failure):
            await self._transport.ask("POST", f"{self._path}/wait", gone=SandboxGone)

    async def _judge(self, code: int, seconds: float, since: float) -> Exit:
        state = (await self._transport.ask("GET", f"{self._path}/json", gone=SandboxGone))["State"]
        if state["Status"] in _GOING:
            raise SandboxGone("The container was removed while its step ran")
        out_of_memory = bool(state["OOMKilled"])
        if code > _SIGNALLED and not out_of_memory and await self._killed(since):
            raise SandboxGone("The container was killed from outside while its step ran")
        return Exit(code=code, out_of_memory=out_of_memory, seconds=seconds)

    async def _killed(self, since: float) -> bool:
        """Somebody asked the engine to kill it; a process that dies of a signal inside leaves no such event."""
        name = self._path.rpartition("/")[2]
        params = {
            "since": f"{since - 1:.6f}",
            "until": f"{time.time():.6f}",
            "filters": json.dumps({"container": [name], "type": ["container"], "event": ["kill"]}),
        }
        async with self._transport.exchange("GET", "events", params=params) as answer:
            return bool(await answer.read())


async def _all(task: asyncio.Task[None]) -> None:
    await task
