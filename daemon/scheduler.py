"""The queue: builds wait in the store, and so many at once are run, in the order of their acceptance.

What was accepted reaches a final state. A build whose attempt fails for reasons of the infrastructure is tried again;
one that a crash interrupted is, too, when the daemon starts; one that an orderly end interrupts waits again as if it
had not begun. Whatever ends a build is in the store before anyone can see it.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from cache.errors import Failure
from cache.history import BuildChange
from daemon.build_endings import Stop, failed, final, may_be_tried_again
from daemon.build_progress import BuildProgress
from daemon.build_records import Accepted, BuildRecords, queue_full
from daemon.builds import Build, BuildRequest, BuildState, Outcome
from daemon.config import BuildSettings
from daemon.errors import Draining, Interrupted
from daemon.event_log import EventLog
from daemon.events import EventKind, Progress
from daemon.metrics import Metrics
from daemon.slots import Slots

T = TypeVar("T")

_STORE_PAUSE = 1.0


class Runner(Protocol):
    """What does the work of a build."""

    async def run(self, build: Build, progress: Progress) -> Outcome:
        """One attempt, `build.attempt`; raises a `Failure`. When cancelled, it cleans up before it ends."""
        ...


@dataclass(slots=True)
class _Job:
    """One build that runs, from its way out of the queue to its final state."""

    build: str
    stop: Stop | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Task[None] | None = None
    attempt: asyncio.Task[Outcome] | None = None

    def early_end(self) -> Stop | None:
        """Why it is to end now, if it is."""
        return self.stop

    def end_early(self, stop: Stop) -> None:
        self.stop = self.stop or stop
        self.stopped.set()
        if self.attempt is not None:
            self.attempt.cancel()


class Scheduler:
    """Accepts, runs and cancels builds."""

    def __init__(  # noqa: PLR0917 - the composition root passes them by name
        self,
        records: BuildRecords,
        runner: Runner,
        events: EventLog,
        metrics: Metrics,
        settings: BuildSettings,
        slots: Slots,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._runner = runner
        self._events = events
        self._metrics = metrics
        self._settings = settings
        self._slots = slots
        slots.when_free(self._fill)
        self._clock = clock
        self._queue: deque[str] = deque()
        self._jobs: dict[str, _Job] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self._accepting = False
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Take up the queue as the last daemon left it, and begin to work."""
        for build in await self._records.running():
            if build.attempt < self._settings.attempts:
                self._log.info("build.requeued", build=build.id, attempt=build.attempt)
                await self._change(build, BuildChange(state=BuildState.QUEUED), BuildState.RUNNING)
            else:
                interrupted = Interrupted(
                    f"The daemon ended in the middle of all {build.attempt} attempts: look into its log for why, and "
                    "send the request again.",
                )
                await self._change(build, failed(interrupted, self._clock()), BuildState.RUNNING)
        self._queue.extend(build.id for build in await self._records.waiting())
        self._metrics.count_builds(await self._records.counts())
        self._accepting = True
        self._fill()

    async def require_open(self) -> None:
        """Raise `Draining` or `QueueFull` where `submit` would, so that nothing is uploaded in vain."""
        self._require_accepting()
        if len(self._queue) >= self._settings.queue:
            raise queue_full(self._settings.queue)

    async def submit(self, request: BuildRequest, idempotency_key: str | None) -> Accepted:
        """Accept a request; it is in the store, and may run already, when this returns.

        Raises `Draining`, `QueueFull` or `IdempotencyMismatch`. A known idempotency key returns its build as it is.
        """
        self._require_accepting()
        # A client that goes away in the middle must not leave a build that is in the store and not in the queue.
        return await self._uninterrupted(self._accept(request, idempotency_key))

    async def cancel(self, build: str) -> Build:
        """End a build early and wait until it has cleaned up; a final build stays as it is. Raises `UnknownBuild`."""
        return await self._uninterrupted(self._cancel(build))

    async def ended(self, build: str, within: float) -> Build:
        """The build at its end, or as it is after so many seconds; one that waits for its turn is not waited for.

        Raises `UnknownBuild`.
        """
        if (job := self._jobs.get(build)) and job.work:
            await asyncio.wait({job.work}, timeout=within)
        return await self._records.build(build)

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - how long builds may go on, not the call
        """Take nothing more, let what runs go on for so many seconds, then put the rest back into the queue."""
        self._accepting = False
        if works := {job.work for job in self._jobs.values() if job.work}:
            _, late = await asyncio.wait(works, timeout=timeout)
            for job in list(self._jobs.values()):
                job.end_early(Stop.DRAIN)
            if late:
                await asyncio.wait(late)
        await self._events.flush()

    def _require_accepting(self) -> None:
        if not self._accepting:
            raise Draining("The daemon is starting or going down and takes no builds: send it again in a moment.")

    async def _accept(self, request: BuildRequest, idempotency_key: str | None) -> Accepted:
        accepted = await self._records.create(
            secrets.token_hex(8),
            request,
            at=self._clock(),
            bound=self._settings.queue,
            idempotency_key=idempotency_key,
        )
        if accepted.new:
            self._metrics.build_moved(None, BuildState.QUEUED)
            self._queue.append(accepted.build.id)
            self._fill()
        return accepted

    async def _cancel(self, name: str) -> Build:
        while True:
            if (job := self._jobs.get(name)) and job.work:
                job.end_early(Stop.CANCEL)
                await asyncio.wait({job.work})
            build = await self._records.build(name)
            if build.state is not BuildState.QUEUED:
                return build
            change = BuildChange(state=BuildState.CANCELLED, finished_at=self._clock())
            if cancelled := await self._change(build, change, BuildState.QUEUED):
                with suppress(ValueError):
                    self._queue.remove(name)
                return cancelled

    def _fill(self) -> None:
        while self._accepting and self._queue and self._slots.free:
            self._slots.take()
            job = _Job(self._queue.popleft())
            self._jobs[job.build] = job
            job.work = asyncio.get_running_loop().create_task(self._work(job))

    async def _work(self, job: _Job) -> None:
        try:
            await self._run(job)
        except Exception:  # noqa: BLE001 - the last place that can tell of it
            # The record still says that it runs: the next start takes it up again.
            self._log.exception("build.lost", build=job.build)
        finally:
            del self._jobs[job.build]
            self._slots.give()

    async def _run(self, job: _Job) -> None:
        queued = await self._stored(partial(self._records.build, job.build))
        change = BuildChange(
            state=BuildState.RUNNING, attempt=queued.attempt + 1, started_at=self._clock(), progress=b"{}"
        )
        build = await self._stored(partial(self._change, queued, change, BuildState.QUEUED))
        if build is None:
            return  # cancelled on its way out of the queue
        if queued.attempt == 0 and build.started_at is not None:
            self._metrics.build_started(build.started_at - build.created_at)
        while True:
            progress = BuildProgress(build.id, self._events, self._metrics, self._clock)
            ended = await self._attempt(job, build, progress)
            if not isinstance(ended, Failure) or not may_be_tried_again(build, ended, self._settings.attempts):
                break
            await self._wait_before_next(job, build, ended)
            if stop := job.early_end():
                ended = stop
                break
            change = BuildChange(state=BuildState.RUNNING, attempt=build.attempt + 1, progress=b"{}")
            build = await self._stored(partial(self._change, build, change, BuildState.RUNNING)) or build
        await self._settle(build, ended, progress.done().encoded())

    async def _attempt(self, job: _Job, build: Build, progress: BuildProgress) -> Outcome | Failure | Stop:
        if stop := job.early_end():
            return stop
        job.attempt = asyncio.get_running_loop().create_task(self._runner.run(build, progress))
        await asyncio.wait({job.attempt})
        if job.attempt.cancelled():
            return job.early_end() or Interrupted("The attempt was cancelled from inside: send the request again.")
        error = job.attempt.exception()
        if error is None:
            return job.attempt.result()
        if stop := job.early_end():
            self._log.info("build.stopped", build=build.id, error=str(error))
            return stop
        if isinstance(error, Failure):
            return error
        self._log.error("build.failed_inside", build=build.id, exc_info=error)
        return Failure(f"{type(error).__name__} in the daemon, which its log has in full: tell its operator.")

    async def _wait_before_next(self, job: _Job, build: Build, failure: Failure) -> None:
        pause = self._settings.backoff * 2 ** (build.attempt - 1)
        self._metrics.retried(failure.kind)
        self._log.warning("build.retried", build=build.id, attempt=build.attempt, kind=failure.kind, pause=pause)
        text = f"attempt {build.attempt} failed ({failure.detail}); the next begins in {pause:g} s"
        self._events.append(build.id, EventKind.NOTE, {"text": text})
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await job.stopped.wait()

    async def _settle(self, build: Build, ended: Outcome | Failure | Stop, done: bytes) -> None:
        change = final(build, ended, done, self._clock())
        settled = await self._stored(partial(self._change, build, change, BuildState.RUNNING))
        if settled is not None and settled.state.final:
            self._metrics.build_ended(settled)
            kind = settled.failure.kind if settled.failure else None
            self._log.info("build.ended", build=build.id, state=str(settled.state), kind=kind)

    async def _change(self, build: Build, change: BuildChange, expected: BuildState) -> Build | None:
        """Write the events that came before, then the new state with its own."""
        await self._events.flush()
        changed = await self._records.change(build, [expected], change, at=self._clock())
        if changed is not None:
            self._metrics.build_moved(expected, changed.state)
            self._events.wake(build.id)
        return changed

    async def _stored(self, call: Callable[[], Awaitable[T]]) -> T:
        """Do what the store must not refuse: with a full disk a build waits rather than getting lost."""
        while True:
            try:
                return await call()
            except Failure as failure:
                if not self._accepting:
                    raise
                self._log.warning("build.not_stored", kind=failure.kind, detail=failure.detail)
                await asyncio.sleep(_STORE_PAUSE)

    async def _uninterrupted(self, call: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return await asyncio.shield(task)
