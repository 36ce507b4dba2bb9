"""What is gone or damaged makes a build slower, never failed and never wrong (law 9)."""

import asyncio
import json

import pytest

from cache.digest import Digest
from cache.reuse import Rung, WhyNot
from daemon.builds import BuiltImage, Outcome
from daemon.ecosystems.ecosystem import UntrustworthyLayer
from daemon.errors import BadOutput, EngineRefused, ImageGone, StoredFileDamaged
from daemon.tarball import Member
from tests.fakes.cargo import STALE, bring
from tests.fakes.engine import Exit, Step, file
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import SIMPLE, crate, lock, locked
from tests.fakes.workshop import Workshop

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}


def why(outcome: Outcome, rung: Rung) -> WhyNot:
    return next(refusal.why for refusal in outcome.reuse.refusals if refusal.rung is rung)


async def the_layer(shop: Workshop) -> str:
    (layer,) = await shop.layers()
    return layer


def blobs_of(shop: Workshop, image: BuiltImage) -> dict[str, Digest]:
    manifest = json.loads(shop.store.blobs.read(Digest.parse(image.digest)))
    return {
        "manifest": Digest.parse(image.digest),
        "config": Digest.parse(manifest["config"]["digest"]),
        "layer": Digest.parse(manifest["layers"][0]["digest"]),
        "contents": Digest.parse(image.contents),
    }


async def test_a_layer_that_was_pruned_behind_our_back_is_cooked_again_with_a_note(shop: Workshop):
    await shop.build()
    shop.ran()
    pruned = await the_layer(shop)
    del shop.engine.stored[pruned]
    heard = Heard()

    told = await shop.explain(EDITED)
    outcome = await shop.build(EDITED, progress=heard)

    assert shop.ran() == ["cook", "settle", "compile"], "what was fetched is still there"
    assert outcome.reuse.rung is Rung.NONE
    assert why(outcome, Rung.LAYER) is WhyNot.PRUNED
    assert told.refusals == outcome.reuse.refusals
    assert any("layer is gone" in note for note in heard.notes)
    assert await the_layer(shop) != pruned
    await shop.assert_nothing_is_left()


async def test_a_layer_that_is_pruned_between_plan_and_compile_is_cooked_again(shop: Workshop):
    await shop.build()
    shop.ran()
    shop.engine.fail("sandboxes.create", ImageGone("No such image"))
    heard = Heard()

    outcome = await shop.build(EDITED, progress=heard)

    assert shop.ran() == ["cook", "settle", "compile"]
    assert why(outcome, Rung.LAYER) is WhyNot.PRUNED
    assert any("cooking it again" in note for note in heard.notes)
    await shop.assert_nothing_is_left()


async def test_a_layer_that_is_removed_while_a_build_compiles_over_it_does_not_matter_to_that_build(shop: Workshop):
    await shop.build()
    layer = await the_layer(shop)

    async def removed_meanwhile(step: Step) -> int | Exit:
        with pytest.raises(EngineRefused):
            await shop.engine.images.remove(layer)
        return await shop.cargo(step)

    shop.engine.script(removed_meanwhile)

    assert (await shop.build(EDITED)).reuse.rung is Rung.LAYER


async def test_a_damaged_layer_is_forgotten_and_cooked_again_once(shop: Workshop):
    await shop.build()
    shop.ran()
    damaged = await the_layer(shop)
    shop.engine.stored[damaged].files[STALE] = file(b"")
    heard = Heard()

    outcome = await shop.build(EDITED, progress=heard)

    assert shop.ran() == ["compile", "cook", "settle", "compile"]
    assert outcome.reuse.rung is Rung.NONE
    assert why(outcome, Rung.LAYER) is WhyNot.DAMAGED
    assert any("cannot be used" in note for note in heard.notes)
    assert damaged not in shop.engine.stored
    assert (await shop.build({**EDITED, "x": "y"})).reuse.rung is Rung.LAYER
    await shop.assert_nothing_is_left()


async def test_a_layer_that_lacks_a_crate_that_its_cook_had_is_cooked_again(shop: Workshop):
    await shop.build()
    shop.ran()
    damaged = await the_layer(shop)

    async def misses_a_crate_once(step: Step) -> int | Exit:
        shop.engine.script(shop.cargo)
        step.complain("error: no matching package named `bytes` found\n")
        return 101

    shop.engine.script(misses_a_crate_once)

    outcome = await shop.build(EDITED)

    assert shop.ran() == ["cook", "settle", "compile"]
    assert why(outcome, Rung.LAYER) is WhyNot.DAMAGED
    assert damaged not in shop.engine.stored
    await shop.assert_nothing_is_left()


async def test_a_layer_that_is_damaged_as_soon_as_it_is_cooked_fails_the_build_and_is_not_kept(shop: Workshop):
    async def always_stale(step: Step) -> int | Exit:
        step.write(STALE, b"")
        return await shop.cargo(step)

    shop.engine.script(always_stale)

    with pytest.raises(UntrustworthyLayer):
        await shop.build()
    assert shop.ran() == ["fetch", "cook", "settle", "compile"], "no second cook can be better"
    assert await shop.layers() == set()
    await shop.assert_nothing_is_left()

    shop.engine.script(shop.cargo)
    assert (await shop.build()).reuse.rung is Rung.NONE


async def test_a_damaged_layer_whose_successor_is_damaged_too_is_not_tried_a_third_time(shop: Workshop):
    await shop.build()
    shop.ran()

    async def always_stale(step: Step) -> int | Exit:
        step.write(STALE, b"")
        return await shop.cargo(step)

    shop.engine.script(always_stale)

    with pytest.raises(UntrustworthyLayer):
        await shop.build(EDITED)
    assert shop.ran() == ["compile", "cook", "settle", "compile"]
    assert await shop.layers() == set()
    await shop.assert_nothing_is_left()


async def test_a_layer_that_another_build_made_since_survives_the_forgetting_of_the_old_one(shop: Workshop):
    await shop.build()
    old = await the_layer(shop)
    shop.engine.stored[old].files[STALE] = file(b"")
    slow = {**SIMPLE, "src/main.rs": "fn main() { /* slow */ }\n"}
    second = asyncio.Event()

    async def watched(step: Step) -> int | Exit:
        if b"slow" in step.files.get("/work/src/main.rs", file(b"")).content and STALE in step.files:
            await second.wait()
        return await shop.cargo(step)

    shop.engine.script(watched)
    waiting = asyncio.create_task(shop.build(slow))
    await shop.build(EDITED)
    new = await the_layer(shop)
    shop.ran()
    second.set()

    outcome = await waiting

    assert new != old
    assert await the_layer(shop) == new
    assert "cook" not in shop.ran()
    assert outcome.reuse.rung is Rung.LAYER


async def test_a_result_whose_image_was_pruned_is_loaded_again(shop: Workshop):
    cold = await shop.build()
    shop.ran()
    await shop.engine.images.remove("app:latest")
    assert shop.runtime_images() == set()

    outcome = await shop.build()

    assert (outcome.reuse.rung, shop.ran()) == (Rung.RESULT, [])
    assert shop.tagged("app:latest") == cold.images[0].image_id


@pytest.mark.parametrize("lost", ["manifest", "config", "layer", "contents"])
async def test_a_result_that_lost_a_blob_is_built_again(shop: Workshop, lost: str):
    cold = await shop.build()
    shop.ran()
    shop.store.blobs.remove(blobs_of(shop, cold.images[0])[lost])
    heard = Heard()

    told = await shop.explain()
    outcome = await shop.build(progress=heard)

    assert shop.ran() == ["compile"]
    assert outcome.reuse.rung is Rung.LAYER
    assert why(outcome, Rung.RESULT) is WhyNot.PRUNED
    assert told.refusals == outcome.reuse.refusals
    assert any("result is gone" in note for note in heard.notes)
    assert outcome.images == cold.images
    assert (await shop.build()).reuse.rung is Rung.RESULT


@pytest.mark.parametrize("damaged", ["manifest", "config", "layer"])
@pytest.mark.parametrize("how", ["changed", "cut"])
async def test_a_result_with_a_damaged_blob_is_built_again_and_the_blob_made_good(
    shop: Workshop, damaged: str, how: str
):
    cold = await shop.build()
    shop.ran()
    digest = blobs_of(shop, cold.images[0])[damaged]
    path = shop.store.blobs.path(digest)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?" if how == "changed" else content[:-7])
    await shop.engine.images.remove("app:latest")
    heard = Heard()

    outcome = await shop.build(progress=heard)

    assert outcome.reuse.rung is Rung.LAYER
    assert why(outcome, Rung.RESULT) in {WhyNot.DAMAGED, WhyNot.PRUNED}
    assert heard.notes
    assert Digest.of_file(path) == digest
    assert shop.tagged("app:latest") == cold.images[0].image_id
    assert (await shop.build()).reuse.rung is Rung.RESULT


async def test_what_was_fetched_and_lost_is_fetched_again(shop: Workshop):
    await shop.build()
    del shop.engine.stored[await the_layer(shop)]
    archive = Digest.of(shop.cargo.crates["bytes-1.0.0"])
    shop.store.blobs.remove(archive)
    shop.ran()

    await shop.build(EDITED)

    assert shop.ran() == ["fetch", "cook", "settle", "compile"]
    assert shop.store.blobs.has(archive)


@pytest.mark.parametrize("what", ["fetch", "cook", "settle", "compile"])
async def test_a_step_that_fails_leaves_nothing_and_records_nothing(shop: Workshop, what: str):
    """Law 7: failures are never cached."""
    shop.cargo.failures[what] = (101, "error: no matching package named `bytes` found\n")
    asked = await shop.request()

    with pytest.raises(Exception, match=r"no matching package|ended with code") as caught:
        await shop.run(asked)

    assert caught.value.kind in {"fetch_failed", "compile_failed"}
    assert shop.runtime_images() == set()
    assert len(await shop.layers()) == (1 if what == "compile" else 0), "a cook that ended well is kept"
    await shop.assert_nothing_is_left()
    shop.cargo.failures.clear()
    shop.ran()
    outcome = await shop.run(asked)
    assert outcome.reuse.rung is (Rung.LAYER if what == "compile" else Rung.NONE)
    assert outcome.reuse.refusals[0].why is WhyNot.FIRST_BUILD


async def test_a_check_that_fails_leaves_no_tag_and_no_image(shop: Workshop):
    shop.cargo.failures["check"] = (1, "it does not work\n")

    with pytest.raises(Exception, match="it does not work"):
        await shop.build(check=("/app/app", "--version"))

    assert shop.tagged("app:latest") is None
    assert shop.runtime_images() == set()
    assert await shop.store.tag_owner("app:latest") is None
    await shop.assert_nothing_is_left()


async def test_a_check_that_fails_takes_no_image_that_another_build_published(shop: Workshop):
    published = await shop.build(tags=())
    shop.cargo.failures["check"] = (1, "it does not work\n")

    with pytest.raises(Exception, match="it does not work"):
        await shop.build(check=("/app/app", "--version"))

    assert shop.runtime_images() == {published.images[0].image_id}


async def test_a_step_that_runs_out_of_memory_says_so_whatever_it_printed(shop: Workshop):
    shop.engine.script(lambda step: Exit(code=137, out_of_memory=True, seconds=1.0))

    with pytest.raises(Exception, match=r"\[limits\] memory") as caught:
        await shop.build()

    assert caught.value.kind == "out_of_memory"
    await shop.assert_nothing_is_left()


async def test_output_that_is_too_large_names_the_setting(shop: Workshop):
    async def large(step: Step) -> int | Exit:
        code = await shop.cargo(step)
        if step.spec.labels["bloomery.step"] == "fetch":
            bring(step, "/cargo/registry/index/large", bytes(2 << 20))
        return code

    shop.engine.script(large)

    with pytest.raises(Exception, match=r"raise \[limits\] file_size") as caught:
        await shop.build()

    assert caught.value.kind == "output_too_large"
    await shop.assert_nothing_is_left()


@pytest.mark.parametrize("packages", ["kept", "gone"])
@pytest.mark.parametrize("how", ["lost", "changed", "nonsense"])
async def test_a_list_of_what_was_fetched_that_is_damaged_is_made_again(shop: Workshop, how: str, packages: str):
    await shop.build()
    del shop.engine.stored[await the_layer(shop)]
    project = await shop.plan.plan(await shop.plan.source(await shop.request()))
    key = project.fetching.key()
    listing = await shop.store.fetched(key)
    assert listing is not None
    if how == "nonsense":
        bad = shop.store.blobs.put(b'{"files":[{"path":"x","digest":"none","size":1}]}')
        await shop.store.record_fetched(key, bad)
    elif how == "lost":
        shop.store.blobs.remove(listing)
    else:
        shop.store.blobs.path(listing).write_bytes(b"{}")
    if packages == "gone":
        await shop.store._database.write(lambda tables: tables.execute("DELETE FROM kept_packages"))
    shop.ran()

    await shop.build(EDITED)

    assert shop.ran() == [*(["fetch"] if packages == "gone" else []), "cook", "settle", "compile"]


async def test_a_made_lock_that_is_lost_is_made_again(shop: Workshop):
    unlocked = {path: text for path, text in SIMPLE.items() if path != "Cargo.lock"}
    first = await shop.build(unlocked)
    shop.store.blobs.remove(Digest.parse(str(first.lockfile)))
    shop.ran()

    told = await shop.explain(unlocked)
    second = await shop.build(unlocked)

    assert told.rung is Rung.NONE
    assert shop.ran() == ["lock"], "with the same lock the result is the same"
    assert (second.lockfile, second.reuse.rung) == (first.lockfile, Rung.RESULT)


async def test_a_project_whose_crates_are_all_from_git_fetches_no_archive(shop: Workshop):
    repository = "git+https://git.example.org/x#" + "1" * 40
    files = {
        "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nx = { git = "https://git.example.org/x" }\n'),
        "Cargo.lock": lock(locked("app", "0.3.0", "x", source=""), locked("x", "1.0.0", source=repository)),
        "src/main.rs": "fn main() {}\n",
    }
    shop.cargo.crates = {}

    async def fetches_git(step: Step) -> int | Exit:
        if step.spec.labels["bloomery.step"] == "fetch":
            step.write("/cargo/git/db/x/HEAD", b"ref")
            shop.cargo.ran.append("fetch")
            return 0
        if step.spec.labels["bloomery.step"] == "cook" and step.run == 1:
            assert "/cargo/fetched-0.tar" in step.files
            assert "tar -C /cargo --no-same-owner -xf /cargo/fetched-0.tar" in step.read("/bloomery/step").decode()
        return await shop.cargo(step)

    shop.engine.script(fetches_git)

    assert (await shop.build(files)).reuse.rung is Rung.NONE
    assert shop.ran() == ["fetch", "cook", "settle", "compile"]


@pytest.mark.parametrize("left", ["nothing", "a directory", "a link", "one elsewhere"])
async def test_a_build_that_leaves_no_regular_file_as_its_binary_is_refused(shop: Workshop, left: str):
    async def leaves(step: Step) -> int | Exit:
        code = await shop.cargo(step)
        if step.spec.labels["bloomery.step"] == "compile":
            program = step.files.pop("/target/.bloomery/app")
            if left == "a directory":
                step.write("/target/.bloomery/app/x", b"")
            elif left == "a link":
                step.files["/target/.bloomery/app"] = Member(path="", mode=0o777, mtime=0, target="/etc/passwd")
            elif left == "one elsewhere":
                step.write("/target/.bloomery/deep/app", program.content or b"")
        return code

    shop.engine.script(leaves)

    with pytest.raises(BadOutput):
        await shop.build()
    assert shop.runtime_images() == set()
    await shop.assert_nothing_is_left()


async def test_a_source_that_was_damaged_on_disk_is_never_compiled_and_has_to_be_sent_again(shop: Workshop):
    request = await shop.request(EDITED)
    main = Digest.of(EDITED["src/main.rs"].encode())
    path = shop.store.blobs.path(main)
    path.write_bytes(path.read_bytes().replace(b"edited", b"edible"))

    with pytest.raises(StoredFileDamaged, match="send the sources again"):
        await shop.run(request)

    assert not shop.store.blobs.has(main)
    assert await shop.store.tree(Digest.parse(request.tree)) is None
    await shop.assert_nothing_is_left()
    outcome = await shop.build(EDITED)
    assert outcome.reuse.rung is Rung.LAYER, "the layer that was cooked meanwhile is as good as any"


async def test_a_source_that_is_lost_has_to_be_sent_again(shop: Workshop):
    request = await shop.request(EDITED)
    shop.store.blobs.remove(Digest.of(EDITED["src/main.rs"].encode()))

    with pytest.raises(StoredFileDamaged, match="send the sources again"):
        await shop.run(request)

    assert await shop.store.tree(Digest.parse(request.tree)) is None
    await shop.assert_nothing_is_left()


async def test_a_fetched_file_that_was_damaged_is_dropped_so_that_the_next_attempt_fetches_it(shop: Workshop):
    await shop.build()
    del shop.engine.stored[await the_layer(shop)]
    project = await shop.plan.plan(await shop.plan.source(await shop.request()))
    listing = await shop.store.fetched(project.fetching.key())
    assert listing is not None
    fetched = json.loads(shop.store.blobs.read(listing))["files"][0]
    path = shop.store.blobs.path(Digest.parse(fetched["digest"]))
    path.write_bytes(bytes(path.stat().st_size))
    shop.ran()

    with pytest.raises(StoredFileDamaged, match="fetched again"):
        await shop.build(EDITED)
    await shop.build(EDITED)

    assert shop.ran()[-4:] == ["fetch", "cook", "settle", "compile"]
    await shop.assert_nothing_is_left()
