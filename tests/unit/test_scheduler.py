"""The queue: order, cap, bound, retries, cancelling, draining, and what a restart makes of what was left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from cache.errors import Failure, NoSpace
from cache.history import BuildChange, BuildRow, NewEvent
from cache.reuse import ReuseReport, Rung
from cache.store import Store
from daemon.build_records import BuildRecords
from daemon.builds import Build, BuildRequest, BuildState, Outcome, StageName
from daemon.config import BuildSettings, Count, Seconds
from daemon.errors import (
    CompileFailed,
    Draining,
    EngineUnavailable,
    IdempotencyMismatch,
    NoToolchain,
    QueueFull,
    UnknownBuild,
)
from daemon.event_log import EventLog
from daemon.events import Event, EventKind, Progress
from daemon.metrics import Metrics
from daemon.scheduler import Scheduler
from daemon.slots import Slots

OUTCOME = Outcome(images=(), reuse=ReuseReport(rung=Rung.NONE), project="shop", ecosystem="rust", toolchain="stable")
FINAL = [BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED]
Act = Callable[[Build, Progress], Awaitable[Outcome]]


async def succeed(_: Build, __: Progress) -> Outcome:
    return OUTCOME


async def hang(_: Build, __: Progress) -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


class FakeRunner:
    """Runs what the test says, and notes what it was given."""

    def __init__(self, act: Act = succeed) -> None:
        self.act = act
        self.runs: list[Build] = []
        self.cleaned: list[str] = []
        self.at_once = self.most_at_once = 0
        self.begun = asyncio.Event()

    async def run(self, build: Build, progress: Progress) -> Outcome:
        self.runs.append(build)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        try:
            return await self.act(build, progress)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            self.cleaned.append(build.id)
            raise
        finally:
            self.at_once -= 1


class Daemon:
    """A scheduler over a real store."""

    def __init__(self, store: Store, runner: FakeRunner, settings: BuildSettings) -> None:
        self.registry = CollectorRegistry()
        self.store = store
        self.runner = runner
        self.records = BuildRecords(store)
        self.events = EventLog(store)
        metrics = Metrics(self.registry)
        self.scheduler = Scheduler(self.records, runner, self.events, metrics, settings, Slots(settings.concurrent))

    async def submit(self, tree: str = "t", key: str | None = None) -> Build:
        return (await self.scheduler.submit(BuildRequest(tree=tree), key)).build

    async def end(self, build: Build) -> Build:
        await self.follow(build)
        return await self.records.build(build.id)

    async def follow(self, build: Build) -> list[Event]:
        async with asyncio.timeout(10):
            return [event async for event in self.events.follow(build.id)]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"bloomery_{name}", labels)


def settings(**numbers: float) -> BuildSettings:
    counts = {name: Count(int(number)) for name, number in numbers.items() if name != "backoff"}
    return BuildSettings(**counts, backoff=Seconds(numbers.get("backoff", 0.01)))


@asynccontextmanager
async def daemon(path: Path, act: Act = succeed, **numbers: float) -> AsyncIterator[Daemon]:
    store = await Store.open(path)
    made = Daemon(store, FakeRunner(act), settings(**numbers))
    try:
        await made.scheduler.start()
        yield made
    finally:
        await made.scheduler.drain(0)
        await made.events.close()
        await store.close()


def states(events: list[Event]) -> list[tuple[str, int]]:
    return [(event.data["state"], event.data["attempt"]) for event in events if event.kind is EventKind.STATE]


# --- from acceptance to the end


async def test_a_build_that_ends_in_time_is_waited_for_and_one_that_takes_longer_is_not(tmp_path: Path):
    going_on = asyncio.Event()

    async def act(build: Build, progress: Progress) -> Outcome:
        await going_on.wait()
        return OUTCOME

    async with daemon(tmp_path, act) as it:
        build = await it.submit()
        early = await it.scheduler.ended(build.id, 0.01)
        going_on.set()
        ended = await it.scheduler.ended(build.id, 10)
        after = await it.scheduler.ended(build.id, 10)

    assert early.state is not BuildState.SUCCEEDED
    assert ended.outcome == OUTCOME
    assert after == ended


async def test_a_build_is_accepted_run_and_recorded(tmp_path: Path):
    async def act(build: Build, progress: Progress) -> Outcome:
        async with progress.stage(StageName.PLAN):
            progress.log("planning")
        return OUTCOME

    async with daemon(tmp_path, act) as it:
        accepted = await it.scheduler.submit(BuildRequest(tree="t"), None)
        events = await it.follow(accepted.build)
        build = await it.records.build(accepted.build.id)

    assert (accepted.new, accepted.build.state) == (True, BuildState.QUEUED)
    assert (build.state, build.attempt, build.outcome) == (BuildState.SUCCEEDED, 1, OUTCOME)
    assert build.created_at <= (build.started_at or 0) <= (build.finished_at or 0)
    assert [stage.stage for stage in build.stages] == [StageName.PLAN]
    assert [event.kind for event in events] == ["state", "state", "stage", "log", "stage", "state"]
    assert states(events) == [("queued", 0), ("running", 1), ("succeeded", 1)]
    assert [event.number for event in events] == [1, 2, 3, 4, 5, 6]


async def test_the_record_has_the_project_that_the_plan_found(tmp_path: Path):
    async with daemon(tmp_path) as it:
        await it.end(await it.submit())

        assert [build.state for build in (await it.records.builds(project="shop")).builds] == [BuildState.SUCCEEDED]


async def test_builds_start_in_the_order_of_their_acceptance_and_never_more_than_may(tmp_path: Path):
    gate = asyncio.Event()

    async def act(_: Build, __: Progress) -> Outcome:
        await gate.wait()
        return OUTCOME

    async with daemon(tmp_path, act, concurrent=3) as it:
        accepted = [await it.submit(str(number)) for number in range(12)]
        while len(it.runner.runs) < 3:
            it.runner.begun.clear()
            await it.runner.begun.wait()
        gate.set()
        for build in accepted:
            await it.end(build)

    assert it.runner.most_at_once == 3
    assert [build.sequence for build in it.runner.runs] == [build.sequence for build in accepted]


async def test_the_queue_is_bounded_and_takes_more_when_one_has_left(tmp_path: Path):
    async with daemon(tmp_path, hang, concurrent=1, queue=2) as it:
        first = await it.submit()
        await it.runner.begun.wait()
        for _ in range(2):
            await it.submit()
        with pytest.raises(QueueFull) as caught:
            await it.submit()
        with pytest.raises(QueueFull):
            await it.scheduler.require_open()
        it.runner.begun.clear()
        await it.scheduler.cancel(first.id)
        await it.runner.begun.wait()
        await it.scheduler.require_open()
        await it.submit()

    assert caught.value.evidence == {"bound": 2}


async def test_a_client_that_leaves_in_the_middle_leaves_no_build_that_nobody_runs(tmp_path: Path):
    async with daemon(tmp_path) as it:
        call = asyncio.create_task(it.submit())
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(10):
            await it.runner.begun.wait()
        build = await it.end(it.runner.runs[0])

    assert build.state is BuildState.SUCCEEDED


# --- idempotency


async def test_one_key_and_request_is_one_build(tmp_path: Path):
    async with daemon(tmp_path) as it:
        first = await it.scheduler.submit(BuildRequest(tree="t"), "key")
        await it.end(first.build)
        again = await it.scheduler.submit(BuildRequest(tree="t"), "key")

    assert (again.new, again.build.id, again.build.state) == (False, first.build.id, BuildState.SUCCEEDED)
    assert len(it.runner.runs) == 1


async def test_a_hundred_equal_requests_at_once_are_one_build(tmp_path: Path):
    async with daemon(tmp_path) as it:
        builds = await asyncio.gather(*(it.submit("t", "key") for _ in range(100)))
        await it.end(builds[0])

    assert len({build.id for build in builds}) == 1
    assert len(it.runner.runs) == 1


async def test_one_key_and_another_request_is_refused(tmp_path: Path):
    async with daemon(tmp_path) as it:
        first = await it.submit("t", "key")
        with pytest.raises(IdempotencyMismatch) as caught:
            await it.submit("other", "key")

    assert caught.value.evidence == {"build": first.id}


# --- failures


async def test_the_sources_failure_is_final_at_once(tmp_path: Path):
    async def act(_: Build, __: Progress) -> Outcome:
        raise CompileFailed("1 error", errors=1)

    async with daemon(tmp_path, act) as it:
        build = await it.end(await it.submit())

    assert len(it.runner.runs) == 1
    assert build.state is BuildState.FAILED
    assert build.failure
    assert (build.failure.kind, build.failure.blame, build.failure.detail) == ("compile_failed", "source", "1 error")
    assert build.failure.evidence == {"errors": 1}


async def test_the_infrastructures_failure_is_tried_again(tmp_path: Path):
    async def act(build: Build, _: Progress) -> Outcome:
        if build.attempt < 3:
            raise EngineUnavailable("no answer")
        return OUTCOME

    async with daemon(tmp_path, act) as it:
        accepted = await it.submit()
        events = await it.follow(accepted)
        build = await it.records.build(accepted.id)

    assert (build.state, build.attempt) == (BuildState.SUCCEEDED, 3)
    assert states(events) == [("queued", 0), ("running", 1), ("running", 2), ("running", 3), ("succeeded", 3)]
    assert [event.data["text"][:17] for event in events if event.kind is EventKind.NOTE] == [
        "attempt 1 failed ",
        "attempt 2 failed ",
    ]
    assert it.metric("retries_total", reason="engine_unavailable") == 2


async def test_it_is_tried_no_more_often_than_the_settings_say(tmp_path: Path):
    async def act(_: Build, __: Progress) -> Outcome:
        raise EngineUnavailable("no answer")

    async with daemon(tmp_path, act, attempts=2) as it:
        build = await it.end(await it.submit())

    assert [run.attempt for run in it.runner.runs] == [1, 2]
    assert build.failure
    assert (build.attempt, build.failure.kind) == (2, "engine_unavailable")


async def test_what_waiting_will_not_mend_is_not_tried_again(tmp_path: Path):
    async def act(_: Build, __: Progress) -> Outcome:
        raise NoToolchain("make one")

    async with daemon(tmp_path, act) as it:
        await it.end(await it.submit())

    assert len(it.runner.runs) == 1


async def test_an_unforeseen_error_is_internal_and_the_queue_goes_on(tmp_path: Path):
    async def act(build: Build, _: Progress) -> Outcome:
        if build.request.tree == "bad":
            raise ZeroDivisionError("secret detail")
        return OUTCOME

    async with daemon(tmp_path, act, concurrent=1) as it:
        failed = await it.end(await it.submit("bad"))
        passed = await it.end(await it.submit("good"))

    assert len(it.runner.runs) == 2
    assert failed.failure
    assert failed.failure.kind == Failure.kind == "internal"
    assert "secret detail" not in failed.failure.detail
    assert passed.state is BuildState.SUCCEEDED


async def test_diagnostics_and_stages_of_a_failed_build_are_kept(tmp_path: Path):
    async def act(_: Build, progress: Progress) -> Outcome:
        async with progress.stage(StageName.COMPILE):
            raise CompileFailed("1 error")

    async with daemon(tmp_path, act) as it:
        build = await it.end(await it.submit())

    assert [stage.stage for stage in build.stages] == [StageName.COMPILE]


async def test_a_full_disk_delays_a_final_state_and_does_not_lose_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("daemon.scheduler._STORE_PAUSE", 0.01)
    async with daemon(tmp_path) as it:
        change, refused = it.store.change_build, []

        async def full(build: str, expected: list[str], new: BuildChange, events: list[NewEvent]) -> BuildRow | None:
            if new.state == BuildState.SUCCEEDED and len(refused) < 3:
                refused.append(new)
                raise NoSpace("full")
            return await change(build, expected, new, events)

        monkeypatch.setattr(it.store, "change_build", full)
        build = await it.end(await it.submit())

    assert len(refused) == 3
    assert (build.state, len(it.runner.runs)) == (BuildState.SUCCEEDED, 1)


async def test_an_attempt_that_cancels_itself_is_tried_again(tmp_path: Path):
    async def act(build: Build, _: Progress) -> Outcome:
        if build.attempt == 1:
            raise asyncio.CancelledError
        return OUTCOME

    async with daemon(tmp_path, act) as it:
        build = await it.end(await it.submit())

    assert (build.state, build.attempt) == (BuildState.SUCCEEDED, 2)


async def test_a_store_that_breaks_under_a_build_costs_neither_the_queue_nor_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    async def act(build: Build, _: Progress) -> Outcome:
        if build.request.tree == "unlucky":
            monkeypatch.setattr(it.store, "change_build", broken)
        return OUTCOME

    async with daemon(tmp_path, act, concurrent=1) as it:
        lost = await it.submit("unlucky")
        await it.runner.begun.wait()
        await asyncio.wait({job.work for job in it.scheduler._jobs.values() if job.work})
        monkeypatch.undo()
        other = await it.end(await it.submit("lucky"))
        before = await it.records.build(lost.id)
    async with daemon(tmp_path) as it:
        after = await it.end(lost)

    assert (other.state, before.state) == (BuildState.SUCCEEDED, BuildState.RUNNING)
    assert (after.state, after.attempt) == (BuildState.SUCCEEDED, 2)


async def test_a_daemon_that_ends_with_a_full_disk_leaves_the_build_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("daemon.scheduler._STORE_PAUSE", 0.01)
    go_on = asyncio.Event()

    async def full(*_: object) -> None:
        raise NoSpace("full")

    async def act(_: Build, __: Progress) -> Outcome:
        await go_on.wait()
        return OUTCOME

    async with daemon(tmp_path, act) as it:
        build = await it.submit()
        await it.runner.begun.wait()
        with monkeypatch.context() as patched:
            patched.setattr(it.store, "change_build", full)
            go_on.set()
            await asyncio.sleep(0.05)
            async with asyncio.timeout(5):
                await it.scheduler.drain(0.01)
    async with daemon(tmp_path) as it:
        again = await it.end(build)

    assert (again.state, again.attempt) == (BuildState.SUCCEEDED, 2)


# --- cancelling


async def test_cancelling_a_running_build_waits_until_it_has_cleaned_up(tmp_path: Path):
    async with daemon(tmp_path, hang) as it:
        build = await it.submit()
        await it.runner.begun.wait()
        cancelled = await it.scheduler.cancel(build.id)
        cleaned = list(it.runner.cleaned)
        events = await it.follow(build)

    assert cleaned == [build.id]
    assert (cancelled.state, cancelled.failure) == (BuildState.CANCELLED, None)
    assert cancelled.finished_at
    assert states(events)[-1] == ("cancelled", 1)


async def test_cancelling_a_waiting_build_takes_it_out_of_the_queue(tmp_path: Path):
    async with daemon(tmp_path, hang, concurrent=1) as it:
        running = await it.submit()
        waiting = await it.submit()
        cancelled = await it.scheduler.cancel(waiting.id)
        await it.scheduler.cancel(running.id)

    assert cancelled.state is BuildState.CANCELLED
    assert [run.id for run in it.runner.runs] == [running.id]


async def test_cancelling_a_final_build_changes_nothing(tmp_path: Path):
    async with daemon(tmp_path) as it:
        build = await it.end(await it.submit())

        assert await it.scheduler.cancel(build.id) == build


async def test_cancelling_a_build_that_waits_for_its_next_attempt_ends_it(tmp_path: Path):
    failed = asyncio.Event()

    async def act(_: Build, __: Progress) -> Outcome:
        failed.set()
        raise EngineUnavailable("no answer")

    async with daemon(tmp_path, act, backoff=60) as it:
        build = await it.submit()
        await failed.wait()
        async with asyncio.timeout(5):
            cancelled = await it.scheduler.cancel(build.id)

    assert (cancelled.state, len(it.runner.runs)) == (BuildState.CANCELLED, 1)


async def test_cancelling_right_after_submitting_always_ends_it(tmp_path: Path):
    async with daemon(tmp_path, hang, concurrent=2) as it:
        for pause in range(12):
            build = await it.submit()
            for _ in range(pause):
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                assert (await it.scheduler.cancel(build.id)).state is BuildState.CANCELLED


async def test_two_cancels_at_once_agree(tmp_path: Path):
    async with daemon(tmp_path, hang) as it:
        build = await it.submit()
        one, two = await asyncio.gather(it.scheduler.cancel(build.id), it.scheduler.cancel(build.id))

    assert one == two


async def test_a_build_that_ends_while_it_is_cancelled_keeps_its_outcome(tmp_path: Path):
    async def act(_: Build, __: Progress) -> Outcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return OUTCOME
        raise AssertionError

    async with daemon(tmp_path, act) as it:
        build = await it.submit()
        await it.runner.begun.wait()

        assert (await it.scheduler.cancel(build.id)).state is BuildState.SUCCEEDED


async def test_cancelling_an_unknown_build_says_so(tmp_path: Path):
    async with daemon(tmp_path) as it:
        with pytest.raises(UnknownBuild):
            await it.scheduler.cancel("nope")


async def test_a_slot_is_free_again_after_a_cancel(tmp_path: Path):
    async def act(build: Build, progress: Progress) -> Outcome:
        return await (hang if build.request.tree == "hang" else succeed)(build, progress)

    async with daemon(tmp_path, act, concurrent=1) as it:
        first = await it.submit("hang")
        second = await it.submit("quick")
        await it.scheduler.cancel(first.id)

        assert (await it.end(second)).state is BuildState.SUCCEEDED


# --- the daemon's end and start


async def test_draining_refuses_new_builds_and_lets_running_ones_end(tmp_path: Path):
    go_on = asyncio.Event()

    async def act(_: Build, __: Progress) -> Outcome:
        await go_on.wait()
        return OUTCOME

    async with daemon(tmp_path, act, concurrent=1) as it:
        running, waiting = await it.submit(), await it.submit()
        await it.runner.begun.wait()
        drain = asyncio.create_task(it.scheduler.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await it.submit()
        with pytest.raises(Draining):
            await it.scheduler.require_open()
        go_on.set()
        await drain

        assert (await it.records.build(running.id)).state is BuildState.SUCCEEDED
        assert (await it.records.build(waiting.id)).state is BuildState.QUEUED


async def test_a_build_that_draining_interrupts_runs_at_the_next_start_with_its_attempt_given_back(tmp_path: Path):
    async with daemon(tmp_path, hang) as it:
        build = await it.submit()
        await it.runner.begun.wait()
        await it.scheduler.drain(0.01)
        interrupted = await it.records.build(build.id)
        cleaned = list(it.runner.cleaned)
    async with daemon(tmp_path) as it:
        again = await it.end(build)

    assert cleaned == [build.id]
    assert (interrupted.state, interrupted.attempt) == (BuildState.QUEUED, 0)
    assert (again.state, again.attempt) == (BuildState.SUCCEEDED, 1)


async def test_the_queue_survives_a_restart_in_its_order(tmp_path: Path):
    async with daemon(tmp_path, hang, concurrent=1) as it:
        builds = [await it.submit() for _ in range(4)]
    async with daemon(tmp_path, concurrent=1) as it:
        for build in builds:
            await it.end(build)

    assert [run.id for run in it.runner.runs] == [build.id for build in builds]


async def crashed(path: Path, attempt: int) -> Build:
    """A build that runs, says its record, and nobody runs it."""
    store = await Store.open(path)
    records = BuildRecords(store)
    build = (await records.create("b1", BuildRequest(tree="t"), at=1.0, bound=10)).build
    change = BuildChange(state=BuildState.RUNNING, attempt=attempt, started_at=2.0)
    running = await records.change(build, [BuildState.QUEUED], change, at=2.0)
    await store.close()
    assert running
    return running


async def test_a_build_that_a_crash_interrupted_runs_again(tmp_path: Path):
    build = await crashed(tmp_path, attempt=2)
    async with daemon(tmp_path) as it:
        again = await it.end(build)
        events = await it.follow(build)

    assert (again.state, again.attempt) == (BuildState.SUCCEEDED, 3)
    assert states(events) == [("queued", 0), ("running", 2), ("queued", 2), ("running", 3), ("succeeded", 3)]


async def test_a_build_that_crashes_interrupted_too_often_fails(tmp_path: Path):
    build = await crashed(tmp_path, attempt=3)
    async with daemon(tmp_path) as it:
        ended = await it.end(build)

    assert it.runner.runs == []
    assert ended.failure
    assert (ended.state, ended.failure.kind) == (BuildState.FAILED, "interrupted")


# --- what is measured


async def test_builds_are_counted_by_state_across_a_restart(tmp_path: Path):
    def counts(it: Daemon) -> dict[str, float | None]:
        return {str(state): it.metric("builds", state=state) for state in BuildState}

    async with daemon(tmp_path, hang, concurrent=1) as it:
        first, _ = await it.submit(), await it.submit()
        await it.runner.begun.wait()
        before = counts(it)
        await it.scheduler.cancel(first.id)
    async with daemon(tmp_path, hang, concurrent=1) as it:
        await it.runner.begun.wait()
        after = counts(it)

    assert before == {"queued": 1, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert after == {"queued": 0, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 1}


async def test_a_build_is_measured_when_it_ends(tmp_path: Path):
    async with daemon(tmp_path) as it:
        await it.end(await it.submit())

        labels = {"ecosystem": "rust", "reuse": "none", "outcome": "succeeded"}
        assert it.metric("build_duration_seconds_count", **labels) == 1
        assert it.metric("queue_wait_seconds_count", priority="normal") == 1
        assert it.metric("dependency_cache_requests_total", result="miss", reason="first_build") == 1
