"""However a build of a Python project ends, and whenever: nothing of it is left, and the next one succeeds."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.errors import Failure
from cache.reuse import Rung
from daemon.builds import BuildRequest
from daemon.pipeline.environments import Environments
from tests.fakes.python_projects import PROGRAM, SIMPLE
from tests.fakes.python_shop import PythonShop, python_shop
from tests.unit.pipeline.test_endings import Points, failing_at, images_that_nothing_names

UNLOCKED = {**PROGRAM, "requirements.txt": "apple\nquince\n"}
RUNGS = [Rung.NONE, Rung.LAYER]
NAMES = ["cold", "from the environment"]


@pytest.fixture
async def yard(tmp_path: Path, program: bytes) -> AsyncIterator[PythonShop]:
    async with python_shop(tmp_path, program) as made:
        await made.build(tags=())  # from here on the interpreter is known
        yield made


async def prepared(yard: PythonShop, rung: Rung, number: int) -> BuildRequest:
    """A build that stands on this rung; a cold one has a scope of its own, a lock to make and two installations."""
    tags, edit = (f"app:{number}",), {"app.py": f"number = {number}\n"}
    if rung is Rung.NONE:
        return await yard.shop.request({**UNLOCKED, **edit}, tags=tags, scope=f"s{number}", check=("python", "-V"))
    return await yard.shop.request({**SIMPLE, **edit}, tags=tags)


async def kept_is_whole(yard: PythonShop) -> bool:
    """Whether every file that is on record as installed is here."""
    named = {file.digest for package in (await yard.kept()).values() for file in package.fetched.files}
    return bool(named) and not yard.shop.store.blobs.missing(map(Digest.parse, named))


@pytest.mark.parametrize("rung", RUNGS, ids=NAMES)
async def test_a_build_that_is_cancelled_anywhere_leaves_nothing(yard: PythonShop, rung: Rung):
    shop = yard.shop
    counting = Points()
    asked = await prepared(yard, rung, 0)
    shop.compose(counting)
    assert (await shop.run(asked)).reuse.rung is rung
    cancelled = 0
    for at in range(1, counting.count + 1):
        shop.compose()
        asked = await prepared(yard, rung, at)
        known = set(shop.engine.stored)
        points = Points(at)
        shop.compose(points)
        running = asyncio.create_task(shop.run(asked))
        points.act = running.cancel
        try:
            await running
        except asyncio.CancelledError:
            cancelled += 1
            assert not await images_that_nothing_names(shop, known, f"app:{at}"), f"cancelled at {at}"
        await shop.assert_nothing_is_left()
        if at % 8 == 0:
            shop.compose()
            assert await kept_is_whole(yard)
            outcome = await shop.run(asked)
            assert shop.tagged(f"app:{at}") == outcome.images[0].image_id
    assert cancelled >= counting.count - 2, "only where the last of it is done the build may win"


@pytest.mark.parametrize("rung", RUNGS, ids=NAMES)
async def test_an_engine_that_fails_once_anywhere_leaves_nothing(yard: PythonShop, rung: Rung):
    shop = yard.shop
    asked = await prepared(yard, rung, 0)
    shop.engine.calls.clear()
    assert (await shop.run(asked)).reuse.rung is rung
    calls = [method for method, _ in shop.engine.calls]
    failed = 0
    for at, method in enumerate(calls, 1):
        asked = await prepared(yard, rung, at)
        known = set(shop.engine.stored)
        with failing_at(shop, at - 1):
            try:
                await shop.run(asked)
            except Failure:
                failed += 1
                assert not await images_that_nothing_names(shop, known, f"app:{at}"), f"after {method}"
        await shop.assert_nothing_is_left()
        assert (await shop.run(asked)).images[0].tags == (f"app:{at}",)
    assert failed > 0


async def test_a_store_that_fails_to_record_packages_fails_the_build_and_the_next_one_installs_them(
    yard: PythonShop, monkeypatch: pytest.MonkeyPatch
):
    async def full(*_given: object) -> None:
        raise OSError("no")

    with monkeypatch.context() as patched:
        patched.setattr(Environments, "keep", full)
        with pytest.raises(OSError, match="no"):
            await yard.build(scope="other")
    await yard.shop.assert_nothing_is_left()
    yard.installed()

    assert (await yard.build(scope="other")).reuse.rung is Rung.NONE
    assert yard.installed() == [["apple 1.0", "berry 1.0"]]
