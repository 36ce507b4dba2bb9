"""However a build ends, and whenever: nothing of it is left, and the next one succeeds."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from cache.errors import Failure
from cache.reuse import Rung
from daemon.builds import BuildRequest, ImageRequest
from daemon.errors import EngineUnavailable
from daemon.pipeline.sandboxes import INSTANCE_LABEL
from tests.fakes.cargo import purpose_of
from tests.fakes.engine import Exit, Step
from tests.fakes.rust_projects import SIMPLE
from tests.fakes.workshop import Workshop

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


@dataclass(frozen=True)
class Scene:
    """One kind of build. Each try differs from the others in what makes it a build of this kind."""

    rung: Rung

    async def prepared(self, shop: Workshop, number: int) -> BuildRequest:
        if self.rung is Rung.NONE:  # a scope of its own: a lock to make, fetch, cook, compile, check
            return await shop.request(UNLOCKED, tags=(f"app:{number % 1000}",), scope=f"s{number}", check=CHECK)
        if (await shop.explain(SIMPLE)).rung is not Rung.RESULT:
            await shop.build(SIMPLE, tags=())
        edit = {"src/main.rs": f"fn main() {{ let _ = {number}; }}\n"} if self.rung is Rung.LAYER else {}
        return await shop.request({**SIMPLE, **edit}, tags=(f"app:{number % 1000}",))


SCENES = [Scene(Rung.NONE), Scene(Rung.LAYER), Scene(Rung.RESULT)]
NAMES = ["cold", "from the layer", "from the result"]


async def images_that_nothing_names(shop: Workshop, known: set[str], tag: str) -> set[str]:
    return set(shop.engine.stored) - known - await shop.layers() - {shop.tagged(tag)}


@pytest.mark.parametrize("scene", SCENES, ids=NAMES)
async def test_a_build_that_is_cancelled_anywhere_leaves_nothing(shop: Workshop, scene: Scene):
    await shop.run(await scene.prepared(shop, -1))  # from here on the toolchain's libraries are known
    counting = Points()
    asked = await scene.prepared(shop, 0)
    shop.compose(counting)
    assert (await shop.run(asked)).reuse.rung is scene.rung
    assert counting.count > 3
    cancelled = 0
    for at in range(1, counting.count + 1):
        shop.compose()
        asked = await scene.prepared(shop, at)
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
            assert await shop.layers() <= set(shop.engine.stored), "a record without its image"
        await shop.assert_nothing_is_left()
        if at % 5 == 0:
            shop.compose()
            outcome = await shop.run(asked)
            assert shop.tagged(f"app:{at}") == outcome.images[0].image_id
    assert cancelled >= counting.count - 2, "only where the last sandbox is removed the build may win"


@pytest.mark.parametrize("scene", SCENES, ids=NAMES)
async def test_an_engine_that_fails_once_anywhere_leaves_nothing(shop: Workshop, scene: Scene):
    await shop.run(await scene.prepared(shop, -1))
    asked = await scene.prepared(shop, 0)
    shop.engine.calls.clear()
    assert (await shop.run(asked)).reuse.rung is scene.rung
    calls = [method for method, _ in shop.engine.calls]
    for at, method in enumerate(calls):
        asked = await scene.prepared(shop, at + 1)
        known = set(shop.engine.stored)
        with failing_at(shop, at):
            try:
                await shop.run(asked)
            except EngineUnavailable:
                assert not await images_that_nothing_names(shop, known, f"app:{at + 1}"), f"after {method}"
            else:
                # The engine has the image: the load that was begun for it is not needed.
                assert method in {"sandboxes.remove", "images.load"}, f"{method} failed and the build did not"
        await shop.assert_nothing_is_left()
        await shop.run(asked)


@contextmanager
def failing_at(shop: Workshop, at: int, *, for_good: bool = False) -> Iterator[None]:
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
    yield
    shop.engine.enter = enter


async def test_an_engine_that_stays_away_fails_the_build_as_unavailable_wherever_it_went(shop: Workshop):
    scene = SCENES[0]
    await shop.run(await scene.prepared(shop, -1))
    asked = await scene.prepared(shop, 0)
    shop.engine.calls.clear()
    await shop.run(asked)
    total = len(shop.engine.calls)
    unavailable = 0
    for at in range(total):
        asked = await scene.prepared(shop, at + 1)
        with failing_at(shop, at, for_good=True):
            try:
                await shop.run(asked)
            except EngineUnavailable:
                unavailable += 1
        mine = {INSTANCE_LABEL: shop.store.instance}
        left = [sandbox.id for sandbox in await shop.engine.survey.sandboxes(mine)]
        assert set(left) == set(shop.engine.containers), "what is left can be told by its label"
        for sandbox in left:
            await shop.engine.sandboxes.remove(sandbox)
    assert unavailable >= total - 2, "only the last removals may fail without the build"


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
        if purpose_of(step) == "cook":
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
