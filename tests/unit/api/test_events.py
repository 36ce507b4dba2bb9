import asyncio
import json

import aiohttp
import pytest

from api.http.event_forms import FORMS, TEXT, EventForm
from daemon.builds import BuildState
from daemon.events import Event, EventKind
from tests.fakes.api import Daemon, MakeDaemon, running, until


@pytest.fixture
async def build(daemon: Daemon):
    name = await daemon.put_build(BuildState.RUNNING)
    await daemon.events.add(name, EventKind.STATE, state="queued", attempt=0)
    await daemon.events.add(name, EventKind.LOG, text="   Compiling hello v0.1.0")
    return name


async def end(daemon: Daemon, build: str, state: str = "succeeded"):
    await daemon.events.add(build, EventKind.STATE, state=state, attempt=1)


async def test_server_sent_events_carry_number_kind_and_the_whole_event(
    daemon: Daemon, client: aiohttp.ClientSession, build: str
):
    await end(daemon, build)
    async with client.get(f"/v1/builds/{build}/events", headers={"Accept": "text/event-stream"}) as answer:
        assert answer.content_type == "text/event-stream"
        first, second, last, nothing = (await answer.text()).split("\n\n")
    assert first.split("\n")[:2] == ["id: 1", "event: state"]
    assert second.split("\n")[:2] == ["id: 2", "event: log"]
    data = json.loads(second.split("\n")[2].removeprefix("data: "))
    assert data == {"number": 2, "at": 1.5, "kind": "log", "data": {"text": "   Compiling hello v0.1.0"}}
    assert last.startswith("id: 3")
    assert nothing == ""


@pytest.mark.parametrize(
    ("headers", "query"),
    [({"Last-Event-ID": "1"}, ""), ({}, "?after=1"), ({"Last-Event-ID": "0"}, "?after=1")],
)
async def test_a_follower_goes_on_where_it_was(
    daemon: Daemon, client: aiohttp.ClientSession, build: str, headers: dict[str, str], query: str
):
    await end(daemon, build)
    accept = {"Accept": "application/x-ndjson", **headers}
    async with client.get(f"/v1/builds/{build}/events{query}", headers=accept) as answer:
        numbers = [json.loads(line)["number"] for line in (await answer.text()).splitlines()]
    assert numbers == [2, 3]


@pytest.mark.parametrize("value", ["-1", "one", "9" * 30, "٣"])
async def test_a_last_event_id_that_is_no_number_is_refused(client: aiohttp.ClientSession, build: str, value: object):
    async with client.get(f"/v1/builds/{build}/events", headers={"Last-Event-ID": value}) as answer:
        assert (answer.status, (await answer.json())["kind"]) == (422, "invalid_request")


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "text/*;q=0.5", None])
async def test_whoever_takes_anything_reads_lines_that_end_with_the_build(
    daemon: Daemon, client: aiohttp.ClientSession, build: str, accept: str | None
):
    await daemon.events.add(build, EventKind.STAGE, stage="compile", phase="end", seconds=4.321)
    await daemon.events.add(build, EventKind.COMPILED, package="hyper 0.14.1", fresh=False, done=3, total=9)
    await daemon.events.add(build, EventKind.DIAGNOSTIC, level="error", message="no", rendered="error: no\n --> a.rs\n")
    await daemon.events.add(build, EventKind.NOTE, text="a lock was made")
    await end(daemon, build, "failed")
    headers = {} if accept is None else {"Accept": accept}
    async with client.get(f"/v1/builds/{build}/events", headers=headers) as answer:
        assert answer.content_type == "text/plain"
        assert (await answer.text()).splitlines() == [
            "build queued",
            "   Compiling hello v0.1.0",
            "== compile: 4.32 s",
            "    compiled hyper 0.14.1 (3/9)",
            "error: no",
            " --> a.rs",
            "note: a lock was made",
            "build failed",
        ]


async def test_a_form_that_is_not_there_is_refused_with_those_that_are(client: aiohttp.ClientSession, build: str):
    async with client.get(f"/v1/builds/{build}/events", headers={"Accept": "image/png"}) as answer:
        problem = await answer.json()
    assert (answer.status, problem["kind"]) == (406, "not_acceptable")
    assert problem["evidence"]["offered"] == ["text/plain", "text/event-stream", "application/x-ndjson"]


async def test_events_come_as_they_happen(daemon: Daemon, client: aiohttp.ClientSession, build: str):
    async with client.get(f"/v1/builds/{build}/events?after=2", headers={"Accept": "application/x-ndjson"}) as answer:
        await daemon.events.add(build, EventKind.LOG, text="live")
        assert json.loads(await answer.content.readline())["data"] == {"text": "live"}
        await end(daemon, build)
        assert json.loads(await answer.content.readline())["kind"] == "state"
        assert await answer.content.read() == b""


async def test_only_what_has_happened_on_demand(client: aiohttp.ClientSession, build: str):
    async with client.get(f"/v1/builds/{build}/events?follow=false") as answer:
        assert len((await answer.text()).splitlines()) == 2


async def test_an_unknown_build_has_no_events(client: aiohttp.ClientSession):
    async with client.get("/v1/builds/nope/events") as answer:
        assert (answer.status, (await answer.json())["kind"]) == (404, "unknown_build")


@pytest.mark.parametrize(
    ("accept", "heartbeat"), [("text/event-stream", b": still here\n"), ("application/x-ndjson", b"\n")]
)
async def test_silence_is_broken_by_heartbeats_that_mean_nothing(
    make_daemon: MakeDaemon, accept: str | None, heartbeat: bytes
):
    async with running(make_daemon(heartbeat=0.05)) as daemon, aiohttp.ClientSession(daemon.url) as client:
        build = await daemon.put_build(BuildState.RUNNING)
        async with client.get(f"/v1/builds/{build}/events", headers={"Accept": accept}) as answer:
            assert await asyncio.wait_for(answer.content.readline(), 5) == heartbeat


async def test_a_follower_that_leaves_is_let_go(make_daemon: MakeDaemon):
    async with running(make_daemon(heartbeat=0.05)) as daemon:
        build = await daemon.put_build(BuildState.RUNNING)
        for accept in ("text/event-stream", "text/plain"):
            async with aiohttp.ClientSession(daemon.url) as client:
                async with asyncio.timeout(5):
                    answer = await client.get(f"/v1/builds/{build}/events", headers={"Accept": accept})
                    await until(lambda: daemon.events.followers == 1)
                answer.close()
            await until(lambda: daemon.events.followers == 0)


async def test_a_hundred_followers_all_see_everything(daemon: Daemon, build: str):
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(daemon.url, connector=connector) as client:

        async def follow() -> list[int]:
            headers = {"Accept": "application/x-ndjson"}
            async with client.get(f"/v1/builds/{build}/events", headers=headers) as answer:
                return [json.loads(line)["number"] async for line in answer.content]

        followers = [asyncio.create_task(follow()) for _ in range(100)]
        async with asyncio.timeout(20):
            await until(lambda: daemon.events.followers == 100)
            for number in range(20):
                await daemon.events.add(build, EventKind.LOG, text=str(number))
            await end(daemon, build)
            seen = await asyncio.gather(*followers)
    assert all(numbers == list(range(1, 24)) for numbers in seen)
    assert daemon.events.followers == 0


async def test_a_daemon_that_closes_ends_its_followers_properly(
    daemon: Daemon, client: aiohttp.ClientSession, build: str
):
    async with client.get(f"/v1/builds/{build}/events?after=2", headers={"Accept": "application/x-ndjson"}) as answer:
        daemon.closing.set()
        assert await asyncio.wait_for(answer.content.read(), 5) == b""


async def test_head_of_a_running_build_s_events_does_not_wait(client: aiohttp.ClientSession, build: str):
    async with asyncio.timeout(5), client.head(f"/v1/builds/{build}/events") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.media_type)
def test_every_kind_of_event_has_a_form_in_every_media_type(kind: EventKind, form: EventForm):
    assert form.encode(Event(number=1, at=1.5, kind=kind)).endswith(b"\n")


def test_a_forecast_is_one_line_with_the_seconds_that_are_known():
    data = {"dependencies": 2, "members": 1, "expected_seconds": 9.14, "cold_seconds": None}

    assert TEXT.encode(Event(number=1, at=1.5, kind=EventKind.FORECAST, data=data)) == (
        b"== 2 dependencies and 1 members to compile, expected 9.1 s\n"
    )
