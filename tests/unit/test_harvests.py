"""Harvests behind the answers: one after another, and whatever happens, no container is left."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cache.digest import Digest
from cache.store import Store
from cache.units import UnitOrigin
from daemon.behind import Behind
from daemon.errors import EngineRefused, EngineUnavailable, ImageGone
from daemon.units.background import Containers, Crop, Harvests
from daemon.units.cook import Cook, CookNotes
from daemon.units.harvest import Harvest, Harvester
from daemon.units.layout_v1 import LayoutV1
from tests.fakes.engine import FakeEngine, file
from tests.fakes.rust_projects import REGISTRY
from tests.fakes.target_directories import library
from tests.fakes.workshop import Stepwise

SOIL = library("soil")
LABELS = {"bloomery.instance": "here"}


class Harvested:
    """A harvester that notes what it is given, and may fail or wait."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.containers: list[int] = []
        self.fails: dict[str, Exception] = {}
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def harvest(self, archive: AsyncGenerator[bytes, None], cook: Cook) -> Harvest:
        self.log.append(f"begin {cook.notes.id}")
        async for _ in archive:
            pass
        await self.go_on.wait()
        if cook.notes.id in self.fails:
            raise self.fails[cook.notes.id]
        self.log.append(f"end {cook.notes.id}")
        return Harvest()


class Unbounded:
    """Drops nothing that is beyond; says what was revoked."""

    def __init__(self) -> None:
        self.revoked: list[tuple[str, str]] = []

    async def hold(self) -> None:
        pass

    async def revoke(self, scope: str, cook: str) -> None:
        self.revoked.append((scope, cook))


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    made.add_image("layer:1", {f"/target/{path}": file(bytes(content)) for path, content in SOIL.files.items()})
    return made


class Points:
    """Counts the calls of the engine, and does something at one of them."""

    def __init__(self, at: int) -> None:
        self.count = 0
        self.act: Callable[[], object] = lambda: None
        self._at = at

    async def __call__(self) -> None:
        self.count += 1
        if self.count == self._at:
            self.act()
        await asyncio.sleep(0)


def crop(name: str, image: str = "layer:1") -> Crop:
    origin = UnitOrigin(name="soil", version="1.0.0", source=REGISTRY, proof="ab")
    notes = CookNotes(id=name, live=(SOIL.live,))
    cook = Cook(scope="default", unit_key=Digest.of(b"key"), origins=(origin,), notes=notes)
    return Crop(image_id=image, cook=cook, layout=LayoutV1())


@pytest.fixture
def behind() -> Behind:
    return Behind()


def harvests(
    engine: FakeEngine,
    harvester: Harvested,
    behind: Behind,
    containers: Containers | None = None,
    bound: Unbounded | None = None,
) -> Harvests:
    return Harvests(
        containers=containers or engine.sandboxes,
        harvester=lambda _: harvester,
        bound=bound or Unbounded(),
        behind=behind,
        labels=LABELS,
    )


@contextlib.asynccontextmanager
async def running(behind: Behind) -> AsyncIterator[asyncio.Task[None]]:
    working = asyncio.create_task(behind.run())
    yield working
    working.cancel()
    await asyncio.wait({working})


async def done(behind: Behind) -> None:
    async with asyncio.timeout(10):
        await behind.idle()


async def reached(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a fake sets no event
            await asyncio.sleep(0)


async def test_units_come_out_of_a_container_that_was_never_started_and_is_gone_then(
    engine: FakeEngine, tmp_path: Path
):
    store = await Store.open(tmp_path / "state")
    made = Harvests(
        containers=engine.sandboxes,
        harvester=lambda layout: Harvester(blobs=store.blobs, records=store, layout=layout, scratch=tmp_path),
        bound=Unbounded(),
        behind=Behind(),
        labels=LABELS,
    )

    found = await made.harvest(crop("one"))

    assert [unit.origin.name for unit in found.stored] == ["soil"]
    assert await store.units("default", Digest.of(b"key"), ["soil"]) == found.stored
    assert [method for method, _ in engine.calls] == ["sandboxes.create", "sandboxes.get", "sandboxes.remove"]
    assert engine.containers == {}
    await store.close()


async def test_its_container_has_no_network_and_the_labels_by_which_a_start_reaps_it(
    engine: FakeEngine, behind: Behind
):
    harvester = Harvested()
    harvester.go_on.clear()
    made = harvests(engine, harvester, behind)
    async with running(behind):
        made.put(crop("one"))
        await reached(lambda: harvester.log == ["begin one"])
        (container,) = engine.containers.values()
        assert (container.state, str(container.spec.network)) == ("created", "none")
        assert container.spec.labels == {**LABELS, "bloomery.step": "harvest"}


@pytest.mark.parametrize(
    "failure",
    [EngineRefused("no"), OSError("the disk"), ValueError("hostile bytes"), RecursionError("hostile depth")],
    ids=["a failure", "an error of the system", "a value", "a recursion"],
)
async def test_one_that_fails_leaves_no_container_and_the_next_is_harvested(
    engine: FakeEngine, behind: Behind, failure: Exception
):
    harvester = Harvested()
    harvester.fails["bad"] = failure
    made = harvests(engine, harvester, behind)
    made.put(crop("bad"))
    made.put(crop("good"))
    async with running(behind) as working:
        await done(behind)
        assert not working.done()

    assert harvester.log == ["begin bad", "begin good", "end good"]
    assert engine.containers == {}


@pytest.mark.parametrize("call", ["create", "get"])
async def test_an_engine_that_is_away_costs_that_harvest_alone(engine: FakeEngine, behind: Behind, call: str):
    harvester = Harvested()
    made = harvests(engine, harvester, behind)
    engine.fail(call, EngineUnavailable("away"))
    made.put(crop("lost"))
    made.put(crop("good"))
    async with running(behind):
        await done(behind)

    assert harvester.log[-1] == "end good"
    assert "end lost" not in harvester.log
    assert engine.containers == {}


async def test_a_layer_that_is_gone_is_passed_over(engine: FakeEngine, behind: Behind):
    harvester = Harvested()
    made = harvests(engine, harvester, behind)
    with pytest.raises(ImageGone):
        await made.harvest(crop("gone", "layer:none"))
    made.put(crop("gone", "layer:none"))
    made.put(crop("good"))
    async with running(behind):
        await done(behind)

    assert harvester.log == ["begin good", "end good"]
    assert engine.containers == {}


async def test_a_harvest_that_is_cancelled_anywhere_leaves_no_container(engine: FakeEngine):
    cancelled = 0
    for at in range(1, 100):
        points = Points(at)
        stepwise: Any = Stepwise(engine.sandboxes, points)
        working = asyncio.create_task(harvests(engine, Harvested(), Behind(), stepwise).harvest(crop(f"at-{at}")))
        points.act = working.cancel
        await asyncio.wait({working})
        assert engine.containers == {}, f"cancelled at {at}"
        if points.count < at:
            break
        cancelled += working.cancelled()

    assert cancelled > 3, "create, get and remove each come by"


async def test_the_end_of_the_daemon_ends_the_harvest_and_leaves_no_container(engine: FakeEngine, behind: Behind):
    harvester = Harvested()
    harvester.go_on.clear()
    made = harvests(engine, harvester, behind)
    made.put(crop("one"))
    async with running(behind) as working:
        await reached(lambda: bool(engine.containers) and bool(harvester.log))

    assert working.cancelled()
    assert engine.containers == {}
    assert harvester.log == ["begin one"]


async def test_they_are_harvested_in_turn_one_container_at_a_time(engine: FakeEngine, behind: Behind):
    harvester = Harvested()
    harvester.go_on.clear()
    made = harvests(engine, harvester, behind)
    for name in ("one", "two", "three"):
        made.put(crop(name))
    async with running(behind):
        await reached(lambda: bool(harvester.log))
        for _ in range(20):
            await asyncio.sleep(0)
        assert (harvester.log, len(engine.containers)) == (["begin one"], 1)
        harvester.go_on.set()
        await done(behind)

    assert harvester.log == [f"{what} {name}" for name in ("one", "two", "three") for what in ("begin", "end")]


async def test_idle_is_when_nothing_waits_and_nothing_is_brought_in(engine: FakeEngine, behind: Behind):
    harvester = Harvested()
    harvester.go_on.clear()
    made = harvests(engine, harvester, behind)
    await behind.idle()
    made.put(crop("one"))
    waiting = asyncio.create_task(behind.idle())
    async with running(behind):
        await reached(lambda: bool(harvester.log))
        assert not waiting.done()
        harvester.go_on.set()
        await waiting

    assert harvester.log == ["begin one", "end one"]


async def test_one_that_has_no_turn_of_its_own_is_harvested_for_who_hurries_and_once(
    engine: FakeEngine, behind: Behind
):
    harvester = Harvested()
    made = harvests(engine, harvester, behind)
    made.ripen(crop("one"))
    assert made.waits(crop("one"))

    await asyncio.gather(made.hurry(crop("one")), made.hurry(crop("one")))

    assert harvester.log == ["begin one", "end one"]
    assert not made.waits(crop("one"))


async def test_what_is_withdrawn_is_not_harvested_and_what_was_harvested_of_it_goes(engine: FakeEngine, behind: Behind):
    harvester, bound = Harvested(), Unbounded()
    made = harvests(engine, harvester, behind, bound=bound)
    made.put(crop("one"))

    await made.withdraw(crop("one"))
    await made.hurry(crop("one"))
    async with running(behind):
        await done(behind)

    assert harvester.log == []
    assert bound.revoked == [("default", "one")]


async def test_one_that_is_withdrawn_while_it_is_harvested_goes_when_that_has_ended(engine: FakeEngine, behind: Behind):
    harvester, bound = Harvested(), Unbounded()
    harvester.go_on.clear()
    made = harvests(engine, harvester, behind, bound=bound)
    made.ripen(crop("one"))
    harvesting = asyncio.create_task(made.hurry(crop("one")))
    await reached(lambda: harvester.log == ["begin one"])

    withdrawing = asyncio.create_task(made.withdraw(crop("one")))
    await asyncio.sleep(0.01)
    assert bound.revoked == []
    harvester.go_on.set()
    await asyncio.gather(harvesting, withdrawing)

    assert (harvester.log, bound.revoked) == (["begin one", "end one"], [("default", "one")])
