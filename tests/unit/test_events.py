"""The event log: replay, live, order, batches, slow followers, a store that refuses; and what an attempt tells."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from cache.errors import NoSpace
from cache.history import BuildChange, EventPage, NewEvent
from cache.store import Store
from daemon import event_log
from daemon.build_progress import DIAGNOSTICS, LINE, BuildProgress
from daemon.build_records import BuildRecords
from daemon.builds import Build, BuildRequest, BuildState, Diagnostic, StageName
from daemon.errors import CompileFailed, UnknownBuild
from daemon.event_log import EventLog
from daemon.events import Event, EventKind, Progress
from daemon.metrics import Metrics


class Records:
    """The real store, with what a test does to it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.batches: list[int] = []
        self.refuse = 0
        self.pages: list[int] = []

    async def append_events(self, events: Collection[NewEvent], progress: Mapping[str, bytes]) -> None:
        if self.refuse:
            self.refuse -= 1
            raise NoSpace("full")
        self.batches.append(len(events))
        await self.store.append_events(events, progress)

    async def events(self, build: str, after: int, limit: int) -> EventPage | None:
        page = await self.store.events(build, after, limit)
        self.pages.append(len(page.events) if page else 0)
        return page


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def records(store: Store) -> Records:
    return Records(store)


@pytest.fixture
async def log(records: Records) -> AsyncIterator[EventLog]:
    made = EventLog(records)
    yield made
    await made.close()


@pytest.fixture
async def build(store: Store) -> Build:
    return (await BuildRecords(store).create("b1", BuildRequest(tree="t"), at=1.0, bound=10)).build


async def end(store: Store, log: EventLog, build: Build, state: BuildState = BuildState.SUCCEEDED) -> None:
    await log.flush()
    await BuildRecords(store).change(build, [BuildState.QUEUED, BuildState.RUNNING], BuildChange(state=state), at=9.0)
    log.wake(build.id)


def say(log: EventLog, build: Build, *texts: str) -> None:
    for text in texts:
        log.append(build.id, EventKind.LOG, {"text": text})


def texts(events: list[Event]) -> list[str]:
    return [event.data.get("text") or event.data["state"] for event in events]


async def follow(log: EventLog, build: Build, after: int = 0) -> list[Event]:
    async with asyncio.timeout(10):
        return [event async for event in log.follow(build.id, after)]


async def test_a_finished_build_is_replayed_whole_and_ends(store: Store, log: EventLog, build: Build):
    say(log, build, "one", "two")
    await end(store, log, build)

    events = await follow(log, build)
    assert texts(events) == ["queued", "one", "two", "succeeded"]
    assert [event.number for event in events] == [1, 2, 3, 4]


async def test_a_follower_goes_on_after_the_number_it_saw_last(store: Store, log: EventLog, build: Build):
    say(log, build, "one", "two")
    await end(store, log, build)

    assert texts(await follow(log, build, after=2)) == ["two", "succeeded"]
    assert await follow(log, build, after=4) == []
    assert await follow(log, build, after=99) == []


async def test_a_follower_sees_old_events_then_new_ones_without_gap_or_repeat(
    store: Store, log: EventLog, build: Build
):
    say(log, build, "old")
    await log.flush()
    following = asyncio.create_task(follow(log, build))
    for number in range(50):
        say(log, build, f"live {number}")
        if number % 7 == 0:
            await asyncio.sleep(0.005)
    await end(store, log, build)

    events = await following
    assert texts(events) == ["queued", "old", *(f"live {number}" for number in range(50)), "succeeded"]
    assert [event.number for event in events] == list(range(1, 54))


@pytest.mark.parametrize("state", [BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED])
async def test_following_ends_with_each_final_state(store: Store, log: EventLog, build: Build, state: BuildState):
    following = asyncio.create_task(follow(log, build))
    await asyncio.sleep(0.02)
    assert not following.done()
    await end(store, log, build, state)

    assert texts(await following)[-1] == state


async def test_events_are_shown_soon_without_anyone_flushing(log: EventLog, build: Build):
    say(log, build, "soon")
    async with asyncio.timeout(5), aclosing(log.follow(build.id)) as events:
        seen = [await anext(events), await anext(events)]

    assert texts(seen) == ["queued", "soon"]


async def test_events_that_come_together_are_written_together(records: Records, log: EventLog, build: Build):
    say(log, build, *("x" * 3 for _ in range(150)))
    await log.flush()

    assert records.batches == [150]


async def test_a_full_batch_does_not_wait(
    records: Records, log: EventLog, build: Build, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_log, "PAUSE", 60)
    say(log, build, *("x" for _ in range(event_log.BATCH)))
    async with asyncio.timeout(5), aclosing(log.follow(build.id, event_log.BATCH)) as events:
        assert (await anext(events)).number == event_log.BATCH + 1


async def test_a_follower_reads_long_histories_page_by_page(
    records: Records, store: Store, log: EventLog, build: Build, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_log, "PAGE", 10)
    say(log, build, *map(str, range(34)))
    await end(store, log, build)

    assert len(await follow(log, build)) == 36
    assert max(records.pages) == 10


async def test_followers_that_left_are_forgotten(store: Store, log: EventLog, build: Build):
    following = asyncio.create_task(follow(log, build))
    await asyncio.sleep(0.02)
    assert build.id in log._followers
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following

    assert log._followers == {}


async def test_what_has_happened_so_far_does_not_wait(log: EventLog, build: Build, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(event_log, "PAGE", 2)
    say(log, build, "one", "two", "three")
    await log.flush()

    async with asyncio.timeout(5):
        assert texts([event async for event in log.so_far(build.id)]) == ["queued", "one", "two", "three"]
        assert texts([event async for event in log.so_far(build.id, after=3)]) == ["three"]


async def test_an_unknown_build_cannot_be_followed(log: EventLog):
    with pytest.raises(UnknownBuild):
        await anext(log.follow("nope"))
    with pytest.raises(UnknownBuild):
        await anext(log.so_far("nope"))


async def test_two_builds_have_numbers_of_their_own(store: Store, log: EventLog, build: Build):
    other = (await BuildRecords(store).create("b2", BuildRequest(tree="t"), at=1.0, bound=10)).build
    for number in range(3):
        say(log, build, f"first {number}")
        say(log, other, f"second {number}")
    await end(store, log, build)
    await end(store, log, other)

    assert texts(await follow(log, other)) == ["queued", "second 0", "second 1", "second 2", "succeeded"]


# --- a store that refuses


async def test_events_wait_for_a_store_that_refuses_and_keep_their_order(
    records: Records, store: Store, log: EventLog, build: Build
):
    records.refuse = 1
    say(log, build, "one")
    with pytest.raises(NoSpace):
        await log.flush()
    say(log, build, "two")
    await end(store, log, build)

    assert texts(await follow(log, build)) == ["queued", "one", "two", "succeeded"]


async def test_the_writer_tries_again_by_itself(
    records: Records, log: EventLog, build: Build, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_log, "_AFTER_FAILURE", 0.01)
    records.refuse = 3
    say(log, build, "late")
    async with asyncio.timeout(5), aclosing(log.follow(build.id, 1)) as events:
        assert texts([await anext(events)]) == ["late"]

    assert records.refuse == 0


async def test_output_beyond_what_may_wait_is_left_out_and_its_place_told(
    store: Store, log: EventLog, build: Build, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(event_log, "BACKLOG", 100)
    say(log, build, *("x" * 40 for _ in range(10)))
    log.append(build.id, EventKind.NOTE, {"text": "never left out"})
    await log.flush()
    say(log, build, "after")
    await end(store, log, build)

    assert texts(await follow(log, build)) == [
        "queued",
        "x" * 40,
        "x" * 40,
        "never left out",
        "8 lines of output were left out here: the store was slower than the build.",
        "after",
        "succeeded",
    ]


async def test_a_flush_that_is_cancelled_writes_each_event_once(store: Store, log: EventLog, build: Build):
    for pause in range(6):
        say(log, build, str(pause))
        flush = asyncio.create_task(log.flush())
        for _ in range(pause):
            await asyncio.sleep(0)
        flush.cancel()
        await asyncio.wait({flush})
    await end(store, log, build)

    assert texts(await follow(log, build)) == ["queued", *map(str, range(6)), "succeeded"]


async def test_closing_writes_what_is_left(store: Store, log: EventLog, build: Build):
    say(log, build, "last words")
    await log.close()

    page = await store.events(build.id, 1, 10)
    assert page
    assert len(page.events) == 1


# --- what an attempt tells


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def progress(log: EventLog, build: Build, registry: CollectorRegistry) -> BuildProgress:
    return BuildProgress(build.id, log, Metrics(registry))


async def test_all_that_an_attempt_tells_is_an_event(store: Store, log: EventLog, build: Build, progress: Progress):
    diagnostic = Diagnostic(level="error", message="mismatched types", file="src/main.rs", line=3)
    async with progress.stage(StageName.COMPILE):
        progress.log("Compiling users")
        progress.compiled("serde 1.0.0", fresh=True, done=1, total=2)
        progress.diagnostic(diagnostic)
        progress.note("a lock was made")
    await end(store, log, build)

    told = {event.number: (event.kind, event.data) for event in await follow(log, build, after=1)}
    assert told[2] == ("stage", {"stage": "compile", "phase": "begin", "seconds": 0.0})
    assert told[3] == ("log", {"text": "Compiling users"})
    assert told[4] == ("compiled", {"package": "serde 1.0.0", "fresh": True, "done": 1, "total": 2})
    assert told[5][1]["message"] == "mismatched types"
    assert told[6] == ("note", {"text": "a lock was made"})
    assert (told[7][1]["phase"], told[7][1]["seconds"] > 0) == ("end", True)


async def test_stages_and_diagnostics_are_in_the_record_while_the_build_runs(
    store: Store, log: EventLog, build: Build, progress: BuildProgress, registry: CollectorRegistry
):
    diagnostic = Diagnostic(level="warning", message="unused")
    async with progress.stage(StageName.PLAN):
        progress.diagnostic(diagnostic)
    await log.flush()

    record = await BuildRecords(store).build(build.id)
    assert [(stage.stage, stage.seconds > 0) for stage in record.stages] == [(StageName.PLAN, True)]
    assert record.diagnostics == (diagnostic,)
    assert registry.get_sample_value("bloomery_stage_duration_seconds_count", {"stage": "plan"}) == 1


async def test_a_stage_that_fails_is_recorded_too(progress: BuildProgress):
    with pytest.raises(CompileFailed):
        async with progress.stage(StageName.COMPILE):
            raise CompileFailed("1 error")

    assert [stage.stage for stage in progress.done().stages] == [StageName.COMPILE]


async def test_a_flood_of_diagnostics_and_a_line_without_end_are_bounded(
    store: Store, log: EventLog, build: Build, progress: BuildProgress
):
    for _ in range(DIAGNOSTICS + 1):
        progress.diagnostic(Diagnostic(level="warning", message="unused"))
    progress.log("x" * (LINE + 1))
    await end(store, log, build)

    assert len(progress.done().diagnostics) == DIAGNOSTICS
    events = await follow(log, build)
    assert len([event for event in events if event.kind is EventKind.DIAGNOSTIC]) == DIAGNOSTICS + 1
    assert len(events[-2].data["text"]) == LINE + 1
