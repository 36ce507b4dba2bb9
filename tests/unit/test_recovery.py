"""What a crash left in the engine is removed at start; what is somebody else's, or on record, stays."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from cache.digest import Digest
from cache.errors import Failure
from cache.keys import Key, KeyKind
from cache.workspaces import WorkspaceRecord
from daemon.engine.engine import Limits, SandboxSpec
from daemon.errors import EngineRefused, EngineUnavailable
from daemon.pipeline.cook import LAYER_LABEL
from daemon.pipeline.sandboxes import INSTANCE_LABEL
from daemon.recovery import PENDING_LABEL, Reaped, Recovery
from tests.fakes.engine import FakeEngine, Step

MINE, THEIRS = {INSTANCE_LABEL: "mine"}, {INSTANCE_LABEL: "theirs"}


@dataclass
class Records:
    """The layers and the workspaces on record."""

    layers: frozenset[str] = frozenset()
    held: list[WorkspaceRecord] = field(default_factory=list)

    async def layer_images(self) -> frozenset[str]:
        return self.layers

    async def workspaces(self) -> tuple[WorkspaceRecord, ...]:
        return tuple(self.held)

    async def forget_workspace(self, sandbox: str) -> None:
        self.held = [workspace for workspace in self.held if workspace.sandbox != sandbox]


@pytest.fixture
def engine() -> FakeEngine:
    made = FakeEngine()
    made.add_image("toolchain:1")
    return made


def recovery(engine: FakeEngine, records: Records | None = None) -> Recovery:
    return Recovery(engine.survey, engine.sandboxes, engine.images, records or Records(), "mine")


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
    reaped = await recovery(engine, Records(layers=frozenset({kept.id}))).reap()

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


# --- workspaces


async def run(engine: FakeEngine, container: str) -> None:
    await engine.sandboxes.run(container, lambda *_: None, Limits())


async def recorded(engine: FakeEngine, container: str) -> WorkspaceRecord:
    """What is on record of a container as it is now."""
    state = await engine.survey.sandbox(container)
    assert state is not None
    return WorkspaceRecord(
        scope="default",
        project="shop",
        lineage=container,
        key=Key(KeyKind.EXACT, ()),
        sandbox=container,
        generation=state.generation,
        tree=Digest.of(b"tree"),
        ledger=b"{}",
        seconds=60.0,
        size=1000,
        created_at=1.0,
        used_at=2.0,
    )


async def compiled(engine: FakeEngine, name: str, labels: dict[str, str] = MINE) -> WorkspaceRecord:
    """A container that has run one step, and its record."""
    container = await sandbox(engine, name, labels)
    await run(engine, container)
    return await recorded(engine, container)


@contextlib.asynccontextmanager
async def running(engine: FakeEngine, container: str) -> AsyncIterator[None]:
    started = asyncio.Event()

    async def compile_for_long(_step: Step) -> int:
        started.set()
        await asyncio.Event().wait()
        return 0

    engine.script(compile_for_long)
    task = asyncio.create_task(run(engine, container))
    await started.wait()
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_workspace_that_nobody_has_run_since_stays(engine: FakeEngine):
    workspace = await compiled(engine, "one")
    left_over = await sandbox(engine, "two", MINE)
    records = Records(held=[workspace])
    reaped = await recovery(engine, records).reap()

    assert reaped == Reaped(sandboxes=(left_over,))
    assert set(engine.containers) == {workspace.sandbox}
    assert records.held == [workspace]


async def test_a_workspace_that_somebody_has_run_since_goes_with_its_record(engine: FakeEngine):
    workspace = await compiled(engine, "one")
    await run(engine, workspace.sandbox)
    records = Records(held=[workspace])
    reaped = await recovery(engine, records).reap()

    assert reaped == Reaped(sandboxes=(workspace.sandbox,), forgotten=(workspace.sandbox,))
    assert not engine.containers
    assert records.held == []


async def test_a_workspace_that_runs_goes_with_its_record(engine: FakeEngine):
    workspace = await compiled(engine, "one")
    records = Records(held=[workspace])
    async with running(engine, workspace.sandbox):
        state = await engine.survey.sandbox(workspace.sandbox)
        assert state is not None
        assert (state.state, state.generation) == ("running", workspace.generation)
        reaped = await recovery(engine, records).reap()

    assert reaped == Reaped(sandboxes=(workspace.sandbox,), forgotten=(workspace.sandbox,))
    assert not engine.containers
    assert records.held == []


async def test_a_container_that_was_compiling_when_the_daemon_was_killed_goes(engine: FakeEngine):
    in_use = await compiled(engine, "one")
    async with running(engine, in_use.sandbox):
        reaped = await recovery(engine, Records(held=[])).reap()

    assert reaped == Reaped(sandboxes=(in_use.sandbox,))
    assert not engine.containers


async def test_the_record_of_a_container_that_is_gone_goes(engine: FakeEngine):
    gone, stays = await compiled(engine, "one"), await compiled(engine, "two")
    await engine.sandboxes.remove(gone.sandbox)
    records = Records(held=[gone, stays])
    reaped = await recovery(engine, records).reap()

    assert reaped == Reaped(forgotten=(gone.sandbox,))
    assert set(engine.containers) == {stays.sandbox}
    assert records.held == [stays]


async def test_a_record_that_names_a_strangers_container_goes_and_the_container_stays(engine: FakeEngine):
    theirs = await compiled(engine, "one", THEIRS)
    records = Records(held=[theirs])
    reaped = await recovery(engine, records).reap()

    assert reaped == Reaped(forgotten=(theirs.sandbox,))
    assert set(engine.containers) == {theirs.sandbox}
    assert records.held == []


async def test_a_workspace_that_cannot_be_removed_is_forgotten_all_the_same(engine: FakeEngine):
    workspace = await compiled(engine, "one")
    records = Records(held=[replace(workspace, generation="another")])
    engine.fail("sandboxes.remove", EngineRefused("busy"))
    reaped = await recovery(engine, records).reap()

    assert reaped == Reaped(kept=(workspace.sandbox,), forgotten=(workspace.sandbox,))
    assert records.held == []


async def test_a_workspace_that_the_engine_does_not_tell_of_is_not_used_and_stops_nothing(engine: FakeEngine):
    untold, stays = await compiled(engine, "one"), await compiled(engine, "two")
    records = Records(held=[untold, stays])
    engine.fail("survey.sandbox", EngineRefused("broken"))
    reaped = await recovery(engine, records).reap()

    assert reaped == Reaped(sandboxes=(untold.sandbox,), forgotten=(untold.sandbox,))
    assert records.held == [stays]


async def test_an_engine_that_stops_answering_costs_no_workspace(engine: FakeEngine):
    workspace = await compiled(engine, "one")
    records = Records(held=[workspace])
    engine.fail("survey.sandbox", EngineUnavailable("no answer"))
    with pytest.raises(EngineUnavailable):
        await recovery(engine, records).reap()

    assert set(engine.containers) == {workspace.sandbox}
    assert records.held == [workspace]
    assert await recovery(engine, records).reap() == Reaped()


async def test_a_layer_that_a_workspace_stands_on_stays_with_it(engine: FakeEngine):
    layer = engine.add_image("bloomery/layer:lost", labels=MINE | {LAYER_LABEL: "l"})
    container = await engine.sandboxes.create(
        SandboxSpec(name="one", image="bloomery/layer:lost", command=("sh",), labels=MINE)
    )
    await run(engine, container)
    records = Records(held=[await recorded(engine, container)])

    assert await recovery(engine, records).reap() == Reaped()
    records.held = []
    assert await recovery(engine, records).reap() == Reaped(sandboxes=(container,), images=(layer.id,))
