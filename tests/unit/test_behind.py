"""The queue of what waits for the answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cache.digest import Digest, DigestMismatch
from daemon.behind import Behind
from daemon.errors import EngineUnavailable


@asynccontextmanager
async def working(behind: Behind) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(behind.run())
    yield task
    task.cancel()
    await asyncio.wait({task})


class Work:
    """Notes what is done, and when."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def done(self, name: str) -> None:
        self.log.append(f"begin {name}")
        await self.go_on.wait()
        self.log.append(f"end {name}")

    async def fails(self, error: Exception) -> None:
        raise error


async def test_whoever_asks_hears_how_many_are_left_with_the_one_under_way():
    told: list[int] = []
    behind, work = Behind(most=2, told=told.append), Work()
    behind.put("w", "a", lambda: work.fails(EngineUnavailable("gone")))
    behind.put("w", "b", lambda: work.done("b"))
    behind.put("w", "too many", lambda: work.done("c"))

    async with working(behind):
        await behind.idle()
        await asyncio.sleep(0)

    assert told == [1, 2, 1, 0]


async def test_one_is_done_after_another():
    behind, work = Behind(), Work()
    behind.put("work", "one", lambda: work.done("one"))
    behind.put("work", "two", lambda: work.done("two"))
    async with working(behind):
        await behind.idle()

    assert work.log == ["begin one", "end one", "begin two", "end two"]


@pytest.mark.parametrize(
    "error",
    [EngineUnavailable("away"), DigestMismatch(Digest.of(b"a"), Digest.of(b"b")), OSError("the disk"), KeyError("bug")],
    ids=["a failure", "a damaged blob", "an error of the system", "a bug"],
)
async def test_what_fails_costs_that_work_alone(error: Exception):
    behind, work = Behind(), Work()
    behind.put("work", "bad", lambda: work.fails(error))
    behind.put("work", "good", lambda: work.done("good"))
    async with working(behind) as task:
        await behind.idle()
        assert not task.done()

    assert work.log == ["begin good", "end good"]


async def test_what_there_is_no_room_for_is_dropped_and_the_rest_is_done():
    behind, work = Behind(most=2), Work()
    for name in ("one", "two", "three"):
        behind.put("work", name, lambda name=name: work.done(name))
    async with working(behind):
        await behind.idle()

    assert [line for line in work.log if line.startswith("end")] == ["end one", "end two"]


async def test_the_end_of_the_daemon_ends_what_is_being_done():
    behind, work = Behind(), Work()
    work.go_on.clear()
    behind.put("work", "one", lambda: work.done("one"))
    async with working(behind) as task:
        while not work.log:  # noqa: ASYNC110 - a list sets no event
            await asyncio.sleep(0)

    assert (task.cancelled(), work.log) == (True, ["begin one"])
