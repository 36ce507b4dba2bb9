"""What a crash left in the engine is removed at start; what is somebody else's, or on record, stays."""

import pytest

from cache.errors import Failure
from daemon.engine.engine import SandboxSpec
from daemon.errors import EngineRefused, EngineUnavailable
from daemon.pipeline.cook import LAYER_LABEL
from daemon.pipeline.sandboxes import INSTANCE_LABEL
from daemon.recovery import PENDING_LABEL, Reaped, Recovery
from tests.fakes.engine import FakeEngine

MINE, THEIRS = {INSTANCE_LABEL: "mine"}, {INSTANCE_LABEL: "theirs"}


class Layers:
    """The layers on record."""

    def __init__(self, *ids: str) -> None:
        self.ids = frozenset(ids)

    async def layer_images(self) -> frozenset[str]:
        return self.ids


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    made.add_image("toolchain:1")
    return made


def recovery(engine: FakeEngine, *on_record: str) -> Recovery:
    return Recovery(engine.survey, engine.sandboxes, engine.images, Layers(*on_record), "mine")


async def sandbox(engine: FakeEngine, name: str, labels: dict[str, str]) -> str:
    return await engine.sandboxes.create(SandboxSpec(name=name, image="toolchain:1", command=("sh",), labels=labels))


def present(engine: FakeEngine) -> set[str]:
    return {*engine.containers, *engine.stored}


async def test_nothing_left_over_is_nothing_done(engine: FakeEngine):
    before = present(engine)

    assert await recovery(engine).reap() == Reaped()
    assert present(engine) == before


async def test_sandboxes_of_this_instance_go_and_others_stay(engine: FakeEngine):
    created = await sandbox(engine, "one", MINE)
    exited = await sandbox(engine, "two", MINE | {"bloomery.build": "b1"})
    engine.containers[exited].state = "exited"
    theirs = await sandbox(engine, "three", THEIRS)
    foreign = await sandbox(engine, "four", {})
    reaped = await recovery(engine).reap()

    assert set(reaped.sandboxes) == {created, exited}
    assert set(engine.containers) == {theirs, foreign}


async def test_layers_that_no_record_names_go_and_all_other_images_stay(engine: FakeEngine):
    kept = engine.add_image("bloomery/layer:kept", labels=MINE | {LAYER_LABEL: "k"})
    lost = engine.add_image("bloomery/layer:lost", labels=MINE | {LAYER_LABEL: "l"})
    pending = engine.add_image("half:made", labels=MINE | {PENDING_LABEL: "1"})
    theirs = engine.add_image("bloomery/layer:theirs", labels=THEIRS | {LAYER_LABEL: "t"})
    product = engine.add_image("shop:latest", labels=MINE)
    reaped = await recovery(engine, kept.id).reap()

    assert set(reaped.images) == {lost.id, pending.id}
    assert present(engine) >= {kept.id, theirs.id, product.id}
    assert not present(engine) & {lost.id, pending.id}


async def test_what_cannot_be_removed_is_told_and_the_rest_goes(engine: FakeEngine):
    stuck = await sandbox(engine, "stuck", MINE)
    gone = await sandbox(engine, "gone", MINE)
    engine.fail("sandboxes.remove", EngineRefused("busy"))
    reaped = await recovery(engine).reap()

    assert reaped == Reaped(sandboxes=(gone,), kept=(stuck,))


@pytest.mark.parametrize("method", ["survey.sandboxes", "sandboxes.remove"])
async def test_an_engine_that_does_not_answer_is_the_callers_to_handle(engine: FakeEngine, method: str):
    await sandbox(engine, "one", MINE)
    engine.fail(method, EngineUnavailable("no answer"))

    with pytest.raises(Failure, match="no answer"):
        await recovery(engine).reap()
