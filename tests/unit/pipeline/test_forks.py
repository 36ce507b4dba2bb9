"""A new lineage's first build: it goes on from a copy of another lineage's workspace, which stays as it is."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from cache.reuse import Refusal, Rung, WhyNot
from cache.workspaces import WorkspaceRecord
from daemon.builds import Outcome, Reuse
from daemon.engine.engine import SandboxState
from daemon.errors import EngineUnavailable
from daemon.pipeline.workspaces import WorkspaceBounds
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import SIMPLE
from tests.fakes.workshop import Workshop
from tests.unit.pipeline.test_endings import Points, failing_at

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}
TWICE = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited twice") }\n'}
LESS = {**EDITED, "docs/one.md": "one\n"}
OPTIMISED = {**SIMPLE, "Cargo.toml": str(SIMPLE["Cargo.toml"]) + "\n[profile.release]\nopt-level = 1\n"}


@pytest.fixture
async def yard(yard: Workshop) -> Workshop:
    """One that copies whatever it costs."""
    yard.weigh = lambda *_: None
    yard.compose()
    return yard


async def of(shop: Workshop, lineage: str = "main") -> WorkspaceRecord:
    found = await shop.store.workspace("default", "app", lineage)
    assert found is not None
    return found


async def state_of(shop: Workshop, workspace: WorkspaceRecord) -> SandboxState:
    found = await shop.engine.survey.sandbox(workspace.sandbox)
    assert found is not None
    return found


def against(outcome: Outcome) -> Refusal:
    return next(refusal for refusal in outcome.reuse.refusals if refusal.rung is Rung.WORKSPACE)


async def test_a_new_lineage_goes_on_from_main_and_main_stays_as_it_is(yard: Workshop):
    await yard.build()
    parent, files = await of(yard), dict(yard.engine.containers[(await of(yard)).sandbox].files)
    state = await state_of(yard, parent)
    yard.ran()

    told = await yard.explain(EDITED, lineage="fix")
    outcome = await yard.build(EDITED, lineage="fix")

    assert yard.ran() == ["compile"]
    assert (outcome.reuse.rung, outcome.reuse.forked_from) == (Rung.WORKSPACE, "main")
    assert (told.rung, told.forked_from) == (Rung.WORKSPACE, "main")
    assert {it.rung for it in outcome.reuse.refusals} == {Rung.RESULT, Rung.OBSERVED}
    assert (await of(yard), await state_of(yard, parent)) == (parent, state)
    assert yard.engine.containers[parent.sandbox].files == files
    assert outcome.images[0].digest == await yard.clean(EDITED)
    await yard.assert_nothing_is_left()


async def test_the_same_sources_with_other_settings_compile_nothing(yard: Workshop):
    await yard.build()

    outcome = await yard.build(check=("/app",), lineage="fix")

    assert (outcome.reuse.forked_from, outcome.reuse.compiled) == ("main", ())


async def test_what_it_left_is_the_lineages_own_from_then_on(yard: Workshop):
    await yard.build()
    await yard.build(EDITED, lineage="fix")
    own = await of(yard, "fix")

    outcome = await yard.build(TWICE, lineage="fix")

    assert (outcome.reuse.rung, outcome.reuse.forked_from) == (Rung.WORKSPACE, None)
    assert (await of(yard, "fix")).sandbox == own.sandbox != (await of(yard)).sandbox


async def test_only_what_the_layer_lacks_is_copied_and_what_the_new_sources_lack_is_not_there(yard: Workshop):
    await yard.build({**LESS, "src/more.rs": "pub fn more() {}\n"})
    put: list[set[str]] = []
    unpack = yard.engine.sandboxes.put

    async def watched(sandbox: str, archive: AsyncGenerator[bytes, None]) -> None:
        before = dict(yard.engine.containers[sandbox].files)
        await unpack(sandbox, archive)
        now = yard.engine.containers[sandbox].files
        put.append({path for path, member in now.items() if before.get(path) is not member})

    yard.engine.sandboxes.put = watched
    yard.ran()

    outcome = await yard.build(LESS, lineage="fix")

    copied, sources = put[0], put[1]
    assert "/target/release/app" in copied
    assert not [path for path in copied if "bytes" in path or "bloomery" in path or not path.startswith("/target")]
    assert {"/work/src/main.rs", "/work/docs/one.md"} <= sources
    assert yard.ran() == ["compile"]
    assert outcome.images[0].digest == await yard.clean(LESS)


async def test_the_one_that_is_named_is_taken_and_no_other(yard: Workshop):
    await yard.build(lineage="main")
    await yard.build(EDITED, lineage="next", parent="nobody")

    named = await yard.build(TWICE, lineage="fix", parent="next")
    nobody = await yard.build({**TWICE, "a.md": ""}, lineage="other", parent="nobody")

    assert named.reuse.forked_from == "next"
    assert (nobody.reuse.rung, against(nobody)) == (
        Rung.LAYER,
        Refusal(Rung.WORKSPACE, WhyNot.FIRST_BUILD, parent="nobody"),
    )


async def test_where_main_has_none_the_one_that_was_used_last_is_taken(yard: Workshop):
    for number, lineage in enumerate(("one", "two")):
        await yard.build({**SIMPLE, "a.md": lineage}, lineage=lineage, parent="nobody")
        await yard.store.record_workspace(replace(await of(yard, lineage), used_at=float(number)))

    assert (await yard.build(EDITED, lineage="fix")).reuse.forked_from == "two"


async def test_another_project_and_another_scope_have_nothing_to_fork(yard: Workshop):
    await yard.build()

    assert (await yard.build(EDITED, lineage="fix", project="another")).reuse.forked_from is None
    assert (await yard.build(EDITED, lineage="fix", scope="another")).reuse.forked_from is None


async def test_a_parent_that_stands_on_something_else_is_named_with_what_differs(yard: Workshop):
    await yard.build(OPTIMISED)

    outcome = await yard.build(EDITED, lineage="fix")

    refused = against(outcome)
    assert (refused.why, refused.parent, bool(refused.differences)) == (WhyNot.KEY_CHANGED, "main", True)
    assert outcome.reuse.forked_from is None


async def test_a_clean_build_forks_nothing(yard: Workshop):
    await yard.build()

    outcome = await yard.build(EDITED, lineage="fix", reuse=Reuse.NOTHING)

    assert (outcome.reuse.rung, outcome.reuse.forked_from) == (Rung.NONE, None)


async def test_sources_that_do_not_compile_leave_a_workspace_and_the_next_build_goes_on(yard: Workshop):
    await yard.build()

    async def fails(step: Step) -> int | Exit:
        await yard.cargo(step)
        step.complain("error[E0425]: cannot find value")
        return 101

    yard.engine.script(fails)
    with pytest.raises(Exception, match="E0425"):
        await yard.build(EDITED, lineage="fix")
    yard.engine.script(yard.cargo)
    own = await of(yard, "fix")

    outcome = await yard.build(TWICE, lineage="fix")

    assert (outcome.reuse.rung, outcome.reuse.forked_from) == (Rung.WORKSPACE, None)
    assert (await of(yard, "fix")).sandbox == own.sandbox
    assert outcome.images[0].digest == await yard.clean(TWICE)
    await yard.assert_nothing_is_left()


async def building(yard: Workshop, *, pause: float, **request: Any) -> "asyncio.Task[Outcome]":
    """A build in the middle of its compile."""
    yard.cargo.pause = pause
    begun = asyncio.Event()

    async def watched(step: Step) -> int | Exit:
        begun.set()
        return await yard.cargo(step)

    yard.engine.script(watched)
    running = asyncio.create_task(yard.build(**request))
    await begun.wait()
    return running


async def test_a_parent_in_use_is_not_waited_for(yard: Workshop):
    await yard.build()
    running = await building(yard, pause=0.1, files=EDITED)

    outcome = await yard.build(TWICE, lineage="fix")

    assert (outcome.reuse.rung, against(outcome)) == (
        Rung.LAYER,
        Refusal(Rung.WORKSPACE, WhyNot.BUSY, parent="main"),
    )
    await running


async def test_two_new_lineages_at_once_both_fork_it(yard: Workshop):
    await yard.build()

    one, other = await asyncio.gather(yard.build(EDITED, lineage="one"), yard.build(TWICE, lineage="other"))

    assert (one.reuse.forked_from, other.reuse.forked_from) == ("main", "main")
    assert one.images[0].digest == await yard.clean(EDITED)
    assert other.images[0].digest == await yard.clean(TWICE)
    await yard.assert_nothing_is_left()


async def test_a_build_of_the_parent_waits_for_the_copy_and_goes_on_in_its_workspace(yard: Workshop):
    await yard.build()
    copying, go_on = asyncio.Event(), asyncio.Event()
    get = yard.engine.sandboxes.get

    async def slow(sandbox: str, path: str) -> AsyncGenerator[bytes, None]:
        if path == "/target":
            copying.set()
            await go_on.wait()
        async for piece in get(sandbox, path):
            yield piece

    yard.engine.sandboxes.get = slow
    forking = asyncio.create_task(yard.build(EDITED, lineage="fix"))
    await copying.wait()
    yard.ran()
    going_on = asyncio.create_task(yard.build(TWICE))
    await asyncio.sleep(0.05)
    assert yard.ran() == [], "somebody ran what is being read"
    go_on.set()

    assert (await forking).reuse.forked_from == "main"
    assert (await going_on).reuse.rung is Rung.WORKSPACE
    await yard.assert_nothing_is_left()


async def falls(yard: Workshop, why: set[WhyNot]) -> None:
    """The next build of a new lineage stands on the layer, says why, and is right."""
    heard = Heard()
    outcome = await yard.build(EDITED, lineage="fix", progress=heard)
    assert (outcome.reuse.rung, outcome.reuse.forked_from) == (Rung.LAYER, None)
    assert against(outcome).why in why
    assert against(outcome).parent == "main"
    assert any("`main`" in note for note in heard.notes), heard.notes
    assert outcome.images[0].digest == await yard.clean(EDITED)


@pytest.mark.parametrize("how", ["gone", "run since", "unreadable", "tree forgotten"])
async def test_a_parent_that_cannot_be_trusted_is_not_forked(yard: Workshop, how: str):
    await yard.build()
    parent = await of(yard)
    match how:
        case "gone":
            await yard.engine.sandboxes.remove(parent.sandbox)
        case "run since":
            await yard.engine.sandboxes.run(parent.sandbox, lambda *_: None, yard.limits)
        case "unreadable":
            await yard.store.record_workspace(replace(parent, ledger=b"{"))
        case _:
            await yard.store.forget_tree(parent.tree)

    await falls(yard, {WhyNot.PRUNED, WhyNot.DAMAGED})


@pytest.mark.parametrize("target", ["/usr", "../../etc"])
async def test_a_parent_whose_artefacts_lead_out_is_not_forked(yard: Workshop, target: str):
    await yard.build()
    files = yard.engine.containers[(await of(yard)).sandbox].files
    files["/target/release/out"] = replace(files["/target/release/app"], content=None, target=target)

    await falls(yard, {WhyNot.DAMAGED})
    await yard.assert_nothing_is_left()


@pytest.mark.parametrize("how", ["removed", "run", "broken off"])
async def test_a_parent_that_something_happens_to_during_the_copy_is_not_forked(yard: Workshop, how: str):
    await yard.build()
    parent = await of(yard)
    get = yard.engine.sandboxes.get

    async def broken(sandbox: str, path: str) -> AsyncGenerator[bytes, None]:
        async for piece in get(sandbox, path):
            yield piece
            if sandbox == parent.sandbox and path == "/target":
                match how:
                    case "removed":
                        await yard.engine.sandboxes.remove(sandbox)
                    case "run":
                        await yard.engine.sandboxes.run(sandbox, lambda *_: None, yard.limits)
                    case _:
                        raise EngineUnavailable("The engine broke off")

    yard.engine.sandboxes.get = broken

    await falls(yard, {WhyNot.PRUNED, WhyNot.DAMAGED})


async def test_a_fork_in_which_marking_does_not_work_is_discarded(yard: Workshop):
    await yard.build()

    async def blind(step: Step) -> int | Exit:
        script = step.read("/bloomery/step").decode().replace("for package in app; do", "for package in none; do")
        step.write("/bloomery/step", script.encode())
        return await yard.cargo(step)

    yard.engine.script(blind)
    heard = Heard()

    outcome = await yard.build(EDITED, lineage="fix", progress=heard)

    assert (outcome.reuse.rung, against(outcome).why) == (Rung.LAYER, WhyNot.DAMAGED)
    assert any("unchanged" in note for note in heard.notes)
    assert outcome.images[0].digest == await yard.clean(EDITED)


async def test_on_another_layer_of_the_same_key_everything_is_copied(yard: Workshop):
    """The one that the parent stands on was replaced: its units may have been compiled to other bytes."""
    await yard.build()
    layer = await yard.store.latest_layer("default", "app")
    assert layer is not None
    image = yard.engine.find(layer.image_id)
    assert image is not None
    other = yard.engine.add_image("other", image.files, labels=dict(image.labels))
    await yard.store.record_layer(replace(layer, image_id=other.id))
    image.labels.clear()

    outcome = await yard.build(EDITED, lineage="fix")

    own = yard.engine.containers[(await of(yard, "fix")).sandbox]
    assert (outcome.reuse.forked_from, own.image.id) == ("main", other.id)
    assert outcome.images[0].digest == await yard.clean(EDITED)


async def test_without_any_layer_of_its_key_it_is_not_forked(yard: Workshop):
    await yard.build()
    layer = await yard.store.latest_layer("default", "app")
    assert layer is not None
    image = yard.engine.find(layer.image_id)
    assert image is not None
    image.labels.clear()

    outcome = await yard.build(EDITED, lineage="fix")

    assert (outcome.reuse.rung, against(outcome).why) == (Rung.NONE, WhyNot.PRUNED)


async def test_a_fork_that_is_cancelled_anywhere_leaves_the_parent_and_nothing_else(yard: Workshop):
    yard.bounds = WorkspaceBounds(count=1000)
    yard.compose()
    await yard.build()
    parent, counting = await of(yard), Points()
    yard.compose(counting)
    assert (await yard.build(EDITED, lineage="fix")).reuse.forked_from == "main"
    for at in range(1, counting.count + 1):
        yard.compose()
        points = Points(at)
        edited = {**EDITED, "a.md": str(at)}
        asked = await yard.request(edited, lineage=f"fix-{at}", parent="main")
        yard.compose(points)
        running = asyncio.create_task(yard.run(asked))
        points.act = running.cancel
        await asyncio.gather(running, return_exceptions=True)

        assert await of(yard) == parent
        assert (await state_of(yard, parent)).generation == parent.generation
        await yard.assert_nothing_is_left()
    yard.compose()
    assert (await yard.build(TWICE)).reuse.rung is Rung.WORKSPACE


async def test_an_engine_that_fails_once_anywhere_leaves_the_parent_and_nothing_else(yard: Workshop):
    yard.bounds = WorkspaceBounds(count=1000)
    yard.compose()
    await yard.build()
    parent = await of(yard)
    yard.engine.calls.clear()
    await yard.build(EDITED, lineage="fix")
    for at in range(len(yard.engine.calls)):
        asked = await yard.request({**EDITED, "a.md": str(at)}, lineage=f"fix-{at}", parent="main")
        with failing_at(yard, at):
            await asyncio.gather(yard.run(asked), return_exceptions=True)

        assert await of(yard) == parent
        assert (await state_of(yard, parent)).generation == parent.generation
        await yard.assert_nothing_is_left()


async def test_the_new_one_may_take_the_parents_place_where_there_is_room_for_one(yard: Workshop):
    yard.bounds = WorkspaceBounds(count=1)
    yard.compose()
    await yard.build()

    assert (await yard.build(EDITED, lineage="fix")).reuse.forked_from == "main"
    (left,) = await yard.store.workspaces()
    assert left.lineage == "fix"
    await yard.assert_nothing_is_left()
