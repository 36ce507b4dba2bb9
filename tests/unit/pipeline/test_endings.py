"""However a build ends, and whenever: nothing of it is left, and the next one succeeds."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cache.errors import Failure
from cache.reuse import Rung
from daemon.builds import BuildRequest, ImageRequest
from daemon.errors import EngineUnavailable
from tests.fakes.engine import Exit, Step
from tests.fakes.rust_projects import SIMPLE
from tests.fakes.workshop import Workshop, workshop

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}
UNLOCKED = {path: text for path, text in SIMPLE.items() if path != "Cargo.lock"}
CHECK = ("/app/app", "--version")


class Points:
    """Counts the places where a build waits for engine or store, and does something at one of them."""

    def __init__(self, at: int = 0) -> None:
        self.count = 0
        self.act: Callable[[], object] = lambda: None
        self._at = at

    async def __call__(self) -> None:
        self.count += 1
        if self.count == self._at:
            self.act()
        await asyncio.sleep(0)


async def warm(shop: Workshop) -> None:
    await shop.build(tags=())
    shop.ran()


async def cold(shop: Workshop) -> None:
    """Nothing."""


SCENES: dict[str, tuple[Callable[[Workshop], Awaitable[None]], dict[str, str], dict[str, object]]] = {
    "cold, with a lock to make and a check to run": (cold, UNLOCKED, {"check": CHECK}),
    "from the layer": (warm, EDITED, {}),
    "from the result": (warm, SIMPLE, {}),
}


async def counted(place: Path, program: bytes, scene: str) -> int:
    before, files, request = SCENES[scene]
    async with workshop(place, program) as shop:
        await before(shop)
        points = Points()
        shop.compose(points)
        await shop.build(files, **request)
        return points.count


async def cancelled_at(shop: Workshop, at: int, asked: BuildRequest) -> None:
    points = Points(at)
    shop.compose(points)
    running = asyncio.create_task(shop.run(asked))
    points.act = running.cancel
    await running


@pytest.mark.parametrize("scene", SCENES)
async def test_a_build_that_is_cancelled_anywhere_leaves_nothing(tmp_path: Path, program: bytes, scene: str):
    before, files, request = SCENES[scene]
    total = await counted(tmp_path / "counted", program, scene)
    assert total > 3
    cancelled = 0
    for at in range(1, total + 1):
        async with workshop(tmp_path / str(at), program) as shop:
            await before(shop)
            known = set(shop.engine.stored)
            asked = await shop.request(files, **request)
            try:
                await cancelled_at(shop, at, asked)
            except asyncio.CancelledError:
                cancelled += 1
                await shop.assert_nothing_is_left()
                new = set(shop.engine.stored) - known - await shop.layers()
                assert new <= {shop.tagged("app:latest")}, f"an image that nothing names, cancelled at {at}"
            shop.compose()
            outcome = await shop.run(asked)
            assert shop.tagged("app:latest") == outcome.images[0].image_id
            await shop.assert_nothing_is_left()
    assert cancelled >= total - 2, "removing sandboxes at the very end may win"


@pytest.mark.parametrize("scene", SCENES)
async def test_an_engine_that_fails_once_anywhere_leaves_nothing(tmp_path: Path, program: bytes, scene: str):
    before, files, request = SCENES[scene]
    async with workshop(tmp_path / "counted", program) as shop:
        await before(shop)
        shop.engine.calls.clear()
        await shop.build(files, **request)
        calls = [method for method, _ in shop.engine.calls]
    for at, method in enumerate(calls):
        async with workshop(tmp_path / str(at), program) as shop:
            await before(shop)
            known = set(shop.engine.stored)
            asked = await shop.request(files, **request)
            fail_at(shop, at)
            try:
                await shop.run(asked)
            except EngineUnavailable:
                new = set(shop.engine.stored) - known - await shop.layers()
                assert new <= {shop.tagged("app:latest")}, f"an image that nothing names, after {method}"
            else:
                assert method == "sandboxes.remove", f"{method} failed and the build did not"
            await shop.assert_nothing_is_left()
            await shop.run(asked)


def fail_at(shop: Workshop, at: int, *, for_good: bool = False) -> None:
    """Let the engine be down at its call with this number, counted from now."""
    calls = -1
    enter = shop.engine.enter

    def counting(method: str, subject: str) -> None:
        nonlocal calls
        calls += 1
        if calls == at or (for_good and calls > at):
            raise EngineUnavailable("The engine is restarting")
        enter(method, subject)

    shop.engine.enter = counting


async def test_an_engine_that_stays_away_fails_the_build_as_unavailable_wherever_it_went(
    tmp_path: Path, program: bytes
):
    async with workshop(tmp_path / "counted", program) as shop:
        await shop.build(UNLOCKED)
        total = len(shop.engine.calls)
    for at in range(total):
        async with workshop(tmp_path / str(at), program) as shop:
            asked = await shop.request(UNLOCKED)
            fail_at(shop, at, for_good=True)
            try:
                await shop.run(asked)
            except EngineUnavailable:
                continue
            assert at >= total - 2, "only the last removals may fail without the build"


async def test_a_store_that_fails_to_record_a_layer_leaves_no_image(shop: Workshop):
    async def full(_record: object) -> None:
        raise Failure("the disk is full")

    shop.store.record_layer = full

    with pytest.raises(Failure):
        await shop.build()
    assert await shop.layers() == set()
    await shop.assert_nothing_is_left()


async def test_a_store_that_fails_to_record_a_result_leaves_no_untagged_image(shop: Workshop):
    async def full(_record: object) -> None:
        raise Failure("the disk is full")

    shop.store.record_result = full

    with pytest.raises(Failure):
        await shop.build(tags=())
    assert shop.runtime_images() == set()
    await shop.assert_nothing_is_left()


async def test_a_build_that_is_cancelled_twice_still_removes_its_sandbox(shop: Workshop):
    started = asyncio.Event()
    removing = asyncio.Event()
    go_on = asyncio.Event()

    async def hangs(_step: object) -> int:
        started.set()
        await asyncio.Event().wait()
        return 0

    remove = shop.engine.sandboxes.remove

    async def slow(sandbox: str) -> None:
        removing.set()
        await go_on.wait()
        await remove(sandbox)

    shop.engine.script(hangs)
    shop.engine.sandboxes.remove = slow
    running = asyncio.create_task(shop.build())
    await started.wait()
    running.cancel()
    await removing.wait()
    running.cancel()
    await asyncio.sleep(0.01)
    assert not running.done()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await running
    await shop.assert_nothing_is_left()


async def test_one_of_two_builds_that_want_a_layer_is_cancelled_and_the_other_cooks(shop: Workshop):
    cooking = asyncio.Event()
    shop.cargo.pause = 0.05

    async def watched(step: Step) -> int | Exit:
        if step.spec.labels["bloomery.step"] == "cook":
            cooking.set()
        return await shop.cargo(step)

    shop.engine.script(watched)
    first = asyncio.create_task(shop.build())
    await cooking.wait()
    second = asyncio.create_task(shop.build(EDITED))
    await asyncio.sleep(0.02)
    first.cancel()

    outcome = await second

    with pytest.raises(asyncio.CancelledError):
        await first
    assert outcome.reuse.rung is Rung.NONE
    await shop.assert_nothing_is_left()


async def test_an_image_that_two_failing_builds_brought_is_gone_and_one_that_one_published_stays(shop: Workshop):
    shop.cargo.pause = 0.01
    await shop.build(tags=())
    (image,) = shop.runtime_images()
    await shop.engine.images.remove(image)
    checked = {"images": (ImageRequest(),)}
    shop.cargo.failures["check"] = (1, "no")

    ended = await asyncio.gather(
        shop.build(check=("/one",), **checked), shop.build(check=("/two",), **checked), return_exceptions=True
    )

    assert all(isinstance(one, Failure) for one in ended)
    assert shop.runtime_images() == set()

    ended = await asyncio.gather(shop.build(check=("/one",), **checked), shop.build(**checked), return_exceptions=True)

    assert isinstance(ended[0], Failure)
    assert shop.runtime_images() == {ended[1].images[0].image_id}
