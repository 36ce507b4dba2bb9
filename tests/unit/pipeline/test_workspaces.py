"""The workspace of a lineage: when a build goes on in it, when it does not, and that it is never guessed about."""

import asyncio
from dataclasses import replace

import pytest

from cache.digest import Digest
from cache.keys import Key, KeyKind
from cache.reuse import Rung, WhyNot
from cache.workspaces import WorkspaceRecord
from daemon.builds import Outcome, Reuse
from daemon.errors import EngineUnavailable, SandboxGone
from daemon.pipeline.workspaces import WorkspaceBounds, surplus
from tests.fakes.cargo import purpose_of
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import SIMPLE
from tests.fakes.workshop import Workshop

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}
TWICE = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited twice") }\n'}
MORE = {**SIMPLE, "src/more.rs": "pub fn more() {}\n", "docs/one.md": "one\n"}


async def the_workspace(shop: Workshop) -> WorkspaceRecord:
    (workspace,) = await shop.store.workspaces()
    return workspace


def why(outcome: Outcome, rung: Rung) -> WhyNot:
    return next(refusal.why for refusal in outcome.reuse.refusals if refusal.rung is rung)


async def compiling(shop: Workshop, pause: float) -> "asyncio.Task[Outcome]":
    """A build of the edited sources, in the middle of its compile."""
    shop.cargo.pause = pause
    begun = asyncio.Event()

    async def watched(step: Step) -> int | Exit:
        begun.set()
        return await shop.cargo(step)

    shop.engine.script(watched)
    running = asyncio.create_task(shop.build(EDITED))
    await begun.wait()
    return running


async def test_an_edit_is_compiled_where_the_last_compile_was(yard: Workshop):
    await yard.build()
    first = await the_workspace(yard)
    yard.ran()
    heard = Heard()

    told = await yard.explain(EDITED)
    outcome = await yard.build(EDITED, progress=heard)

    assert yard.ran() == ["compile"]
    assert (outcome.reuse.rung, told.rung) == (Rung.WORKSPACE, Rung.WORKSPACE)
    assert [(it.rung, it.why) for it in outcome.reuse.refusals] == [
        (Rung.RESULT, WhyNot.KEY_CHANGED),
        (Rung.OBSERVED, WhyNot.NOT_OBSERVED),
    ]
    assert outcome.reuse.compiled == ("app 0.3.0",)
    kept = await the_workspace(yard)
    assert (kept.sandbox, kept.tree != first.tree, kept.generation != first.generation) == (first.sandbox, True, True)
    assert outcome.images[0].digest == await yard.clean(EDITED)
    await yard.assert_nothing_is_left()


async def test_only_what_changed_is_put_and_what_is_gone_is_taken_away_in_the_same_step(yard: Workshop):
    await yard.build(MORE)
    yard.ran()

    outcome = await yard.build(EDITED)

    assert yard.ran() == ["compile"]
    left = yard.engine.containers[(await the_workspace(yard)).sandbox].files
    assert {"/work/src/more.rs", "/work/docs/one.md"} & left.keys() == set()
    assert outcome.images[0].digest == await yard.clean(EDITED)


async def test_a_file_where_a_directory_was_is_put_after_that_is_gone(yard: Workshop):
    await yard.build(MORE)
    outcome, other = None, {**EDITED, "docs": "a file now"}
    yard.ran()

    outcome = await yard.build(other)

    assert yard.ran() == ["clear", "compile"]
    assert outcome.images[0].digest == await yard.clean(other)


async def test_the_same_tree_with_other_settings_compiles_nothing(yard: Workshop):
    await yard.build()

    outcome = await yard.build(check=("/app",))

    assert (outcome.reuse.rung, outcome.reuse.compiled) == (Rung.WORKSPACE, ())


async def test_another_lineage_has_none(yard: Workshop):
    await yard.build(lineage="main")

    outcome = await yard.build(EDITED, lineage="fix", parent="nobody")

    assert outcome.reuse.rung is Rung.LAYER
    assert why(outcome, Rung.WORKSPACE) is WhyNot.FIRST_BUILD
    assert len(await yard.store.workspaces()) == 2
    await yard.assert_nothing_is_left()


async def test_another_scope_never_sees_it(yard: Workshop):
    await yard.build(scope="a")

    outcome = await yard.build(EDITED, scope="b")

    assert outcome.reuse.rung is Rung.NONE


async def test_a_change_of_what_it_stands_on_is_told_and_it_is_replaced(yard: Workshop):
    await yard.build()
    before = await the_workspace(yard)
    optimised = {**SIMPLE, "Cargo.toml": str(SIMPLE["Cargo.toml"]) + "\n[profile.release]\nopt-level = 1\n"}

    outcome = await yard.build(optimised)

    refused = next(it for it in outcome.reuse.refusals if it.rung is Rung.WORKSPACE)
    assert (refused.why, bool(refused.differences)) == (WhyNot.KEY_CHANGED, True)
    assert (await the_workspace(yard)).sandbox != before.sandbox
    await yard.assert_nothing_is_left()


async def test_sources_that_do_not_compile_leave_it_and_the_next_build_goes_on(yard: Workshop):
    await yard.build()
    sandbox = (await the_workspace(yard)).sandbox

    async def fails(step: Step) -> int | Exit:
        await yard.cargo(step)
        step.complain("error[E0425]: cannot find value")
        return 101

    yard.engine.script(fails)
    with pytest.raises(Exception, match="E0425") as caught:
        await yard.build(EDITED)
    assert getattr(caught.value, "kind", "") == "compile_failed"
    assert (await the_workspace(yard)).sandbox == sandbox
    yard.engine.script(yard.cargo)

    outcome = await yard.build(TWICE)

    assert outcome.reuse.rung is Rung.WORKSPACE
    assert outcome.images[0].digest == await yard.clean(TWICE)
    await yard.assert_nothing_is_left()


async def test_a_first_build_that_fails_leaves_no_container(yard: Workshop):
    yard.cargo.failures["compile"] = (101, "error: no")

    with pytest.raises(Exception, match=r"."):
        await yard.build()

    assert yard.engine.containers == {}
    assert await yard.store.workspaces() == ()


@pytest.mark.parametrize("how", ["gone", "run since", "unreadable", "another format"])
async def test_one_that_cannot_be_trusted_is_discarded_and_the_layer_taken(yard: Workshop, how: str):
    await yard.build()
    before = await the_workspace(yard)
    match how:
        case "gone":
            await yard.engine.sandboxes.remove(before.sandbox)
        case "run since":
            await yard.engine.sandboxes.run(before.sandbox, lambda *_: None, yard.limits)
            yard.ran()
        case "unreadable":
            await yard.store.record_workspace(replace(before, ledger=b"{"))
        case _:
            await yard.store.record_workspace(replace(before, ledger=b'{"format": 999, "ledger": {}}'))
    heard = Heard()

    outcome = await yard.build(EDITED, progress=heard)

    assert outcome.reuse.rung is Rung.LAYER
    assert why(outcome, Rung.WORKSPACE) in {WhyNot.PRUNED, WhyNot.DAMAGED}
    assert any("workspace" in note for note in heard.notes)
    assert (await the_workspace(yard)).sandbox != before.sandbox
    assert outcome.images[0].digest == await yard.clean(EDITED)
    await yard.assert_nothing_is_left()


async def test_one_in_which_marking_does_not_work_is_discarded(yard: Workshop):
    await yard.build()

    async def blind(step: Step) -> int | Exit:
        if purpose_of(step) == "compile" and step.run > 1:
            script = step.read("/bloomery/step").decode().replace("for package in app; do", "for package in none; do")
            step.write("/bloomery/step", script.encode())
        return await yard.cargo(step)

    yard.engine.script(blind)
    heard = Heard()

    outcome = await yard.build(EDITED, progress=heard)

    assert (outcome.reuse.rung, why(outcome, Rung.WORKSPACE)) == (Rung.LAYER, WhyNot.DAMAGED)
    assert any("unchanged" in note for note in heard.notes)
    assert outcome.images[0].digest == await yard.clean(EDITED)


async def test_a_compile_that_is_killed_in_it_costs_the_workspace(yard: Workshop):
    await yard.build()

    async def killed(step: Step) -> int | Exit:
        if purpose_of(step) == "compile" and step.run > 1:
            raise SandboxGone("killed")
        return await yard.cargo(step)

    yard.engine.script(killed)

    outcome = await yard.build(EDITED)

    assert (outcome.reuse.rung, why(outcome, Rung.WORKSPACE)) == (Rung.LAYER, WhyNot.DAMAGED)
    await yard.assert_nothing_is_left()


async def test_a_build_that_is_cancelled_in_it_leaves_neither_it_nor_its_container(yard: Workshop):
    await yard.build()
    running = await compiling(yard, pause=5.0)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert yard.engine.containers == {}
    assert await yard.store.workspaces() == ()


async def test_an_engine_that_goes_away_in_it_costs_the_workspace_and_the_next_attempt_stands_on_the_layer(
    yard: Workshop,
):
    await yard.build()
    yard.engine.fail("run", EngineUnavailable("gone"))

    with pytest.raises(EngineUnavailable):
        await yard.build(EDITED)

    assert (await yard.build(EDITED)).reuse.rung is Rung.LAYER
    await yard.assert_nothing_is_left()


async def test_of_two_builds_at_once_one_goes_on_in_it_and_the_other_stands_on_the_layer(yard: Workshop):
    await yard.build()
    yard.cargo.pause = 0.05

    one, other = await asyncio.gather(yard.build(EDITED), yard.build(TWICE))

    assert {one.reuse.rung, other.reuse.rung} == {Rung.WORKSPACE, Rung.LAYER}
    assert len(await yard.store.workspaces()) == 1
    assert one.images[0].digest == await yard.clean(EDITED)
    assert other.images[0].digest == await yard.clean(TWICE)
    await yard.assert_nothing_is_left()


async def test_while_one_builds_in_it_explain_says_so(yard: Workshop):
    await yard.build()
    running = await compiling(yard, pause=0.2)

    told = await yard.explain(TWICE)

    assert {it.rung: it.why for it in told.refusals}[Rung.WORKSPACE] is WhyNot.BUSY
    await running


async def test_a_clean_build_does_not_use_it_and_leaves_its_own(yard: Workshop):
    await yard.build()
    before = await the_workspace(yard)

    outcome = await yard.build(EDITED, reuse=Reuse.NOTHING)

    assert (outcome.reuse.rung, why(outcome, Rung.WORKSPACE)) == (Rung.NONE, WhyNot.ASKED_NOT_TO)
    assert (await the_workspace(yard)).sandbox != before.sandbox
    await yard.assert_nothing_is_left()


async def test_no_more_are_kept_than_are_allowed(yard: Workshop):
    yard.bounds = WorkspaceBounds(count=2)
    yard.compose()

    for lineage in ("a", "b", "c"):
        await yard.build({**SIMPLE, "src/main.rs": f"fn main() {{ /* {lineage} */ }}"}, lineage=lineage)

    assert len(await yard.store.workspaces()) == 2
    await yard.assert_nothing_is_left()


def record(name: str, **more: object) -> WorkspaceRecord:
    values: dict[str, object] = {"seconds": 60.0, "size": 1 << 20, "used_at": 0.0, **more}
    return WorkspaceRecord(
        scope="default",
        project="app",
        lineage=name,
        key=Key(KeyKind.EXACT, ()),
        sandbox=name,
        generation="",
        tree=Digest.of(b""),
        ledger=b"",
        created_at=0.0,
        **values,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("held", "gone"),
    [
        ([record("cheap", seconds=5.0), record("dear")], ["cheap"]),
        ([record("large", size=1 << 30), record("small")], ["large"]),
        ([record("old"), record("young", used_at=7 * 86400.0)], ["old"]),
    ],
    ids=["cheap", "large", "old"],
)
def test_what_is_least_worth_its_bytes_goes_first(held: list[WorkspaceRecord], gone: list[str]):
    found = surplus(held, WorkspaceBounds(count=1), now=7 * 86400.0)
    assert [one.sandbox for one in found] == gone


def test_one_that_alone_is_larger_than_all_may_be_goes():
    assert len(list(surplus([record("huge", size=2 << 30)], WorkspaceBounds(size=1 << 30), now=0.0))) == 1
    assert list(surplus([record("fits")], WorkspaceBounds(size=1 << 30), now=0.0)) == []
