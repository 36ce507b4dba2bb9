"""Which rung of the ladder a build stands on, what it then runs, and what it says about it."""

import pytest

from cache.digest import Digest
from cache.reuse import Rung, WhyNot
from daemon.builds import Reuse, StageName
from tests.fakes.cargo import purpose_of
from tests.fakes.engine import Exit, Step, file
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import SIMPLE, stable
from tests.fakes.workshop import Workshop

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}
ALL_STEPS = ["fetch", "cook", "settle", "compile"]


async def test_the_first_build_does_everything(shop: Workshop):
    heard = Heard()

    outcome = await shop.build(progress=heard)

    assert shop.ran() == ALL_STEPS
    assert outcome.reuse.rung is Rung.NONE
    assert [(it.rung, it.why) for it in outcome.reuse.refusals] == [
        (Rung.RESULT, WhyNot.FIRST_BUILD),
        (Rung.OBSERVED, WhyNot.FIRST_BUILD),
        (Rung.WORKSPACE, WhyNot.FIRST_BUILD),
        (Rung.LAYER, WhyNot.FIRST_BUILD),
        (Rung.UNITS, WhyNot.NOT_STORED),
    ]
    assert (outcome.reuse.dependencies, outcome.reuse.seconds_saved) == (1, 0.0)
    assert outcome.reuse.compiled == ("bytes 1.0.0", "app 0.3.0")
    assert heard.stages == [
        StageName.PLAN,
        StageName.FETCH,
        StageName.COOK,
        StageName.COMMIT,
        StageName.COMPILE,
        StageName.ASSEMBLE,
        StageName.CHECK,
        StageName.PUBLISH,
    ]
    (image,) = outcome.images
    assert (image.reference, image.tags) == ("app:latest", ("app:latest",))
    assert shop.tagged("app:latest") == image.image_id
    await shop.assert_nothing_is_left()


async def test_only_the_fetch_step_has_a_network_and_what_goes_with_it(shop: Workshop):
    found: dict[str, str] = {}

    async def watched(step: Step) -> int | Exit:
        everything = [f"{name}={value}" for name, value in step.environment.items()]
        everything += [(member.content or b"").decode(errors="replace") for member in step.files.values()]
        found[purpose_of(step)] = "\n".join(everything)
        return await shop.cargo(step)

    shop.engine.script(watched)
    await shop.build()

    assert shop.cargo.networks == {"fetch": "bridge", "cook": "none", "settle": "none", "compile": "none"}
    for secret in ("http://proxy.example.org", "the bundle", "CARGO_HTTP_CAINFO"):
        assert [purpose for purpose, all_of_it in found.items() if secret in all_of_it] == ["fetch"]
    layer = next(image for image in shop.engine.stored.values() if "bloomery.layer" in image.labels)
    assert not any(name.endswith("CAINFO") or "proxy" in name for name in layer.environment)
    assert not any(b"proxy" in (member.content or b"") for member in layer.files.values())


async def test_an_edit_is_compiled_over_the_layer(shop: Workshop):
    cold = await shop.build()
    shop.ran()

    outcome = await shop.build(EDITED)

    assert shop.ran() == ["compile"]
    assert outcome.reuse.rung is Rung.LAYER
    assert outcome.reuse.seconds_saved > 0
    assert [(it.rung, it.why) for it in outcome.reuse.refusals] == [
        (Rung.RESULT, WhyNot.KEY_CHANGED),
        (Rung.OBSERVED, WhyNot.NOT_OBSERVED),
        (Rung.WORKSPACE, WhyNot.PRUNED),
    ]
    assert [one.label for one in outcome.reuse.refusals[0].differences] == ["source tree"]
    assert outcome.reuse.compiled == ("app 0.3.0",)
    assert outcome.images[0].digest != cold.images[0].digest


async def test_nothing_changed_is_answered_from_the_result(shop: Workshop):
    cold = await shop.build()
    shop.ran()
    heard = Heard()

    outcome = await shop.build(progress=heard)

    assert shop.ran() == []
    assert outcome.reuse.rung is Rung.RESULT
    assert outcome.reuse.refusals == ()
    assert outcome.reuse.compiled == ()
    assert outcome.reuse.seconds_saved > 0
    assert outcome.images == cold.images
    assert heard.stages == [StageName.PLAN, StageName.PUBLISH]


async def test_nothing_changed_asks_the_engine_no_more_than_it_must(shop: Workshop):
    await shop.build()
    shop.engine.calls.clear()

    await shop.build()

    assert [method for method, _ in shop.engine.calls] == ["images.inspect", "images.tag"]


async def test_a_build_from_the_layer_creates_one_sandbox_of_its_own(shop: Workshop):
    await shop.build()
    shop.engine.calls.clear()

    await shop.build(EDITED)

    created = [name for method, name in shop.calls("create")]
    assert len(created) == 1
    assert created[0].endswith("-compile")


async def test_a_cold_build_and_one_from_the_layer_make_the_same_image(shop: Workshop):
    first = await shop.build()
    await shop.build(EDITED)
    await shop.store.forget_result(Digest.parse((await shop.explain()).keys["result"]), "default")

    again = await shop.build()

    assert again.reuse.rung is Rung.LAYER
    assert again.images[0].digest == first.images[0].digest


async def test_a_change_of_dependencies_is_named(shop: Workshop):
    await shop.build()
    newer = str(SIMPLE["Cargo.lock"]).replace("1.0.0", "1.0.1")
    shop.cargo.crates = {"bytes-1.0.1": shop.cargo.crates["bytes-1.0.0"]}

    outcome = await shop.build({**SIMPLE, "Cargo.lock": newer})

    assert outcome.reuse.rung is Rung.NONE
    refused = {refusal.rung: refusal for refusal in outcome.reuse.refusals}
    assert refused[Rung.LAYER].why is WhyNot.KEY_CHANGED
    assert [one.label for one in refused[Rung.LAYER].differences] == ["Cargo.lock"]
    assert {one.label for one in refused[Rung.RESULT].differences} == {"Cargo.lock", "source tree"}


async def test_another_toolchain_is_named(shop: Workshop):
    await shop.build()
    shop.offered.toolchains = [stable(shop.engine.add_image("bloomery/toolchain:newer").id)]

    outcome = await shop.build()

    refused = {it.rung: [one.label for one in it.differences] for it in outcome.reuse.refusals}
    assert refused == {
        Rung.RESULT: ["toolchain image"],
        Rung.OBSERVED: ["toolchain image"],
        Rung.WORKSPACE: [],
        Rung.LAYER: ["toolchain image"],
        Rung.UNITS: ["toolchain image"],
    }


async def test_a_clean_build_uses_nothing_and_keeps_what_it_makes(shop: Workshop):
    await shop.build()
    (before,) = await shop.layers()
    shop.ran()

    clean = await shop.build(reuse=Reuse.NOTHING)

    assert shop.ran() == ALL_STEPS
    assert {it.why for it in clean.reuse.refusals} == {WhyNot.ASKED_NOT_TO}
    (after,) = await shop.layers()
    assert after != before
    assert before not in shop.engine.stored, "the layer that was replaced is gone"
    assert (await shop.build(EDITED)).reuse.rung is Rung.LAYER
    await shop.assert_nothing_is_left()


async def test_two_scopes_share_nothing(shop: Workshop):
    """Law 7."""
    await shop.build(scope="one")
    shop.ran()

    outcome = await shop.build(scope="two")

    assert shop.ran() == ALL_STEPS
    assert {it.why for it in outcome.reuse.refusals} == {WhyNot.FIRST_BUILD, WhyNot.NOT_STORED}
    assert len(await shop.layers()) == 2
    assert (await shop.build(scope="one")).reuse.rung is Rung.RESULT
    assert (await shop.build(EDITED, scope="one")).reuse.rung is Rung.LAYER


async def test_two_lineages_of_a_project_share_their_layer_and_their_results(shop: Workshop):
    await shop.build(lineage="main")

    assert (await shop.build(EDITED, lineage="feature")).reuse.rung is Rung.LAYER
    assert (await shop.build(lineage="feature")).reuse.rung is Rung.RESULT


async def test_a_result_of_another_project_is_told_as_this_ones(shop: Workshop):
    await shop.build(project="one")

    outcome = await shop.build(project="two")

    assert (outcome.reuse.rung, outcome.project) == (Rung.RESULT, "two")


@pytest.mark.parametrize("changed", [False, True])
async def test_explain_says_what_a_build_then_does(shop: Workshop, changed: bool):  # noqa: FBT001 - a table's column
    files = EDITED if changed else SIMPLE
    for _ in range(3):
        told = await shop.explain(files)
        done = await shop.build(files)

        assert (told.rung, told.refusals) == (done.reuse.rung, done.reuse.refusals)
        assert (told.project, told.dependencies) == (done.project, done.reuse.dependencies)
        assert shop.ran() == {Rung.NONE: ALL_STEPS, Rung.LAYER: ["compile"], Rung.RESULT: []}[told.rung]
        files = SIMPLE


async def test_explain_runs_nothing_and_leaves_no_trace(shop: Workshop):
    await shop.explain()

    assert shop.engine.calls == []
    assert shop.ran() == []
    assert (await shop.explain()).rung is Rung.NONE


async def test_explain_tells_the_recorded_cost_of_what_is_reused(shop: Workshop):
    await shop.build()

    assert (await shop.explain(EDITED)).seconds_saved > 0
    assert (await shop.explain()).seconds_saved >= (await shop.explain(EDITED)).seconds_saved


async def test_a_layer_counts_with_what_it_adds_to_its_toolchain(shop: Workshop):
    shop.engine.stored[shop.toolchain.facts.image_id].files["/usr/bin/cc"] = file(bytes(1000))
    await shop.build()

    (layer,) = await shop.layers()
    image = await shop.engine.images.inspect(layer)
    toolchain = await shop.engine.images.inspect(shop.toolchain.facts.image_id)
    assert image is not None
    assert toolchain is not None
    assert 1000 <= toolchain.size < image.size
    assert await shop.store.layer_bytes() == image.size - toolchain.size
