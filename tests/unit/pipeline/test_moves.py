"""A workspace under another lock: what is put in, what goes, what cargo compiles there, and what follows."""

import pytest

from cache.reuse import Rung, WhyNot
from cache.workspaces import WorkspaceRecord
from daemon.builds import Outcome
from daemon.errors import CompileFailed
from tests.fakes.cargo import purpose_of
from tests.fakes.crates import FEATURED
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import BYTES, SIMPLE, Files, crate, lock, locked
from tests.fakes.workshop import Workshop
from tests.unit.pipeline.test_over_units import error_message
from tests.unit.pipeline.test_units import ITOA, MORE, blob, offer_itoa, stored

EDITED: Files = {**MORE, "src/main.rs": 'fn main() { println!("edited") }\n'}


async def the_workspace(shop: Workshop) -> WorkspaceRecord:
    (workspace,) = [one for one in await shop.store.workspaces() if one.scope == "default" and one.project == "app"]
    return workspace


async def begun(shop: Workshop) -> WorkspaceRecord:
    """A lineage was built, and harvested; from now on there is one crate more."""
    await shop.build()
    await shop.harvest()
    offer_itoa(shop)
    shop.ran()
    return await the_workspace(shop)


async def sown(shop: Workshop) -> None:
    """Another project has compiled that crate."""
    other = {**MORE, "Cargo.toml": MORE["Cargo.toml"].replace('"app"', '"other"') + FEATURED,
             "Cargo.lock": lock(locked("other", "0.3.0", "bytes", "itoa", source=""), BYTES, ITOA)}  # fmt: skip
    await shop.build(other, project="other")
    await shop.harvest()
    shop.ran()


def why(outcome: Outcome) -> WhyNot:
    return next(refusal.why for refusal in outcome.reuse.refusals if refusal.rung is Rung.WORKSPACE)


async def test_a_crate_more_is_compiled_where_the_last_compile_was_and_cooked_behind_the_answer(yard: Workshop):
    before = await begun(yard)
    layers = await yard.layers()

    told = await yard.explain(MORE)
    more = await yard.build(MORE)

    assert yard.ran() == ["fetch", "compile"]
    assert (told.rung, more.reuse.rung) == (Rung.WORKSPACE, Rung.WORKSPACE)
    assert set(more.reuse.compiled) == {"itoa 1.0.18", "app 0.3.0"}
    assert (await the_workspace(yard)).sandbox == before.sandbox
    assert (await stored(yard), await yard.layers()) == ({"bytes"}, layers), "nothing of it is harvested"
    await yard.harvest()
    assert yard.ran() == ["cook", "settle"]
    assert await stored(yard) == {"bytes", "itoa"}
    assert len(await yard.layers()) == len(layers) + 1
    assert more.images[0].digest == await yard.clean(MORE)


async def test_what_is_stored_is_put_in_and_only_members_are_compiled(yard: Workshop):
    await begun(yard)
    await sown(yard)

    more = await yard.build(MORE)

    assert (more.reuse.rung, more.reuse.compiled) == (Rung.WORKSPACE, ("app 0.3.0",))
    assert yard.ran() == ["clear", "compile"]
    assert more.images[0].digest == await yard.clean(MORE)


async def test_back_to_the_first_lock_nothing_but_members_is_compiled_and_nothing_stays(yard: Workshop):
    before = await begun(yard)
    await sown(yard)
    await yard.build(MORE)
    await yard.build(EDITED)

    back = await yard.build(SIMPLE)
    again = await yard.build({**SIMPLE, "Cargo.toml": SIMPLE["Cargo.toml"] + "[features]\nloud = []\n"})

    assert back.reuse.rung is Rung.RESULT
    assert (again.reuse.rung, again.reuse.compiled) == (Rung.WORKSPACE, ("app 0.3.0",))
    files = yard.engine.containers[before.sandbox].files
    assert [path for path in files if "itoa" in path and ".crate" in path] == []
    third = await yard.build({**SIMPLE, "Cargo.toml": SIMPLE["Cargo.toml"] + "[features]\nquiet = []\n"})
    assert third.reuse.rung is Rung.WORKSPACE
    left = [path for path, member in files.items() if member.content is not None and path.startswith("/target")]
    assert [path for path in left if "itoa" in path] == []


async def test_law_9_a_bad_unit_is_compiled_instead(yard: Workshop):
    await begun(yard)
    await sown(yard)
    (await blob(yard, "itoa")).unlink()
    heard = Heard()

    more = await yard.build(MORE, progress=heard)

    assert (more.reuse.rung, set(more.reuse.compiled)) == (Rung.WORKSPACE, {"itoa 1.0.18", "app 0.3.0"})
    assert "1 stored units were damaged or gone; they are compiled again." in heard.notes


async def test_law_9_a_compile_that_fails_after_units_were_put_in_is_done_below(yard: Workshop):
    before = await begun(yard)
    await sown(yard)
    compiles = 0

    async def spoiled(step: Step) -> int | Exit:
        nonlocal compiles
        compiles += purpose_of(step) == "compile"
        if purpose_of(step) == "compile" and compiles == 1:
            step.complain("error: could not compile `app` (bin)")
            return 101
        return await yard.cargo(step)

    yard.engine.script(spoiled)
    heard = Heard()

    more = await yard.build(MORE, progress=heard)

    assert (more.reuse.rung, why(more), compiles) == (Rung.UNITS, WhyNot.DAMAGED, 2)
    assert any("it is discarded" in note for note in heard.notes)
    assert (await the_workspace(yard)).sandbox != before.sandbox
    assert before.sandbox not in yard.engine.containers


@pytest.mark.parametrize("puts", [False, True], ids=["compiled there", "put in"])
async def test_an_error_in_the_project_s_own_lines_leaves_the_workspace(yard: Workshop, *, puts: bool):
    before = await begun(yard)
    if puts:
        await sown(yard)

    async def refused(step: Step) -> int | Exit:
        if purpose_of(step) != "compile":
            return await yard.cargo(step)
        await yard.cargo(step)
        step.print(error_message("E0308"))
        return 101

    yard.engine.script(refused)
    with pytest.raises(CompileFailed):
        await yard.build(MORE)
    yard.engine.script(yard.cargo)
    kept = await the_workspace(yard)
    assert (kept.sandbox, kept.key != before.key) == (before.sandbox, True)
    layers = await yard.layers()
    await yard.harvest()
    assert len(await yard.layers()) == len(layers) + 1, "who forks it needs the layer"

    mended = await yard.build(EDITED)

    assert mended.reuse.rung is Rung.WORKSPACE
    assert mended.images[0].digest == await yard.clean(EDITED)


async def test_what_it_holds_is_not_guessed_at(yard: Workshop):
    before = await begun(yard)
    await yard.store._database.write(lambda tables: tables.execute("UPDATE workspaces SET holdings = x'7b'"))

    more = await yard.build(MORE)

    assert (more.reuse.rung, why(more)) == (Rung.UNITS, WhyNot.DAMAGED)
    assert before.sandbox not in yard.engine.containers


async def test_a_fetch_that_fails_costs_no_workspace(yard: Workshop):
    before = await begun(yard)
    yard.cargo.failures["fetch"] = (101, "error: failed to get `itoa`\n")

    with pytest.raises(Exception, match="itoa"):
        await yard.build(MORE)

    assert (await the_workspace(yard)).sandbox == before.sandbox


async def test_features_alone_put_nothing_in_and_compile_what_cargo_wants(yard: Workshop):
    await begun(yard)
    flagged = {**SIMPLE, "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\n[features]\nloud = []\n')}

    loud = await yard.build(flagged, features=("loud",))

    assert (loud.reuse.rung, yard.ran()[-1]) == (Rung.WORKSPACE, "compile")
    assert "bytes 1.0.0" not in loud.reuse.compiled
