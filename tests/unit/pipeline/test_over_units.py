"""Where nothing is expected to be missing: units straight into the compile's own container, the layer behind it."""

import asyncio
import json

import pytest

from cache.digest import Digest
from cache.errors import Failure
from cache.reuse import Rung, WhyNot
from daemon.builds import Reuse, StageName
from daemon.errors import CompileFailed, DependencyFailed, OutOfMemory
from tests.fakes.cargo import purpose_of
from tests.fakes.crates import FEATURED
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import BYTES, BYTES_CRATE, Files, crate, lock, locked
from tests.fakes.workshop import Workshop
from tests.unit.pipeline.test_units import blob, stored

OTHER: Files = {
    "Cargo.toml": crate("other", "0.1.0", '[dependencies]\nbytes = "1"\n' + FEATURED),
    "Cargo.lock": lock(locked("other", "0.1.0", "bytes", source=""), BYTES),
    "src/main.rs": 'fn main() { println!("other") }\n',
}
"""Another project with the same dependency, and no layer that fits."""
EDITED: Files = {**OTHER, "src/main.rs": "fn main() {}\n"}


def error_message(code: str) -> str:
    """The compiler refuses a line of the project."""
    span = {"is_primary": True, "file_name": "src/main.rs", "line_start": 1}
    said = {"level": "error", "message": "no", "code": {"code": code}, "spans": [span], "rendered": "no"}
    message = {"reason": "compiler-message", "package_id": "path+file:///work#other@0.1.0", "message": said}
    return f"{json.dumps(message)}\n"


async def sown(shop: Workshop) -> None:
    """A first project was built and harvested."""
    await shop.build()
    await shop.harvest()
    shop.ran()


async def test_it_is_compiled_at_once_and_the_layer_comes_behind_the_answer(shop: Workshop):
    await sown(shop)
    heard, before = Heard(), await shop.layers()

    other = await shop.build(OTHER, progress=heard)

    assert shop.ran() == ["compile"]
    assert StageName.COMMIT not in heard.stages
    assert (other.reuse.rung, other.reuse.compiled) == (Rung.UNITS, ("other 0.1.0",))
    assert (other.reuse.dependencies, other.reuse.reused) == (1, 1)
    assert other.reuse.seconds_saved > 0
    assert await shop.layers() == before
    await shop.harvest()
    assert shop.ran() == ["cook", "settle"]
    assert len(await shop.layers()) == len(before) + 1
    third = await shop.build(EDITED, lineage="third")
    assert (third.reuse.rung, shop.ran()) == (Rung.LAYER, ["compile"])
    await shop.assert_nothing_is_left()


async def test_law_6_the_image_is_a_clean_build_s_and_only_the_cook_is_harvested(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    await sown(shop)
    crops: list[str] = []
    monkeypatch.setattr(shop.harvests, "put", lambda crop: crops.append(crop.image_id))

    other = await shop.build(OTHER)
    clean = await shop.build(OTHER, scope="clean", reuse=Reuse.NOTHING)
    of_clean = set(crops)
    await shop.harvest()

    assert other.images[0].digest == clean.images[0].digest
    (of_cook,) = set(crops) - of_clean
    assert shop.engine.stored[of_cook].labels["bloomery.layer"]


async def test_the_cook_waits_until_the_build_s_containers_are_gone(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    await sown(shop)
    there: list[int] = []
    monkeypatch.setattr(shop.behind, "put", lambda *_: there.append(len(shop.engine.containers)))

    await shop.build(OTHER)

    assert there == [0]


async def test_explain_says_the_same(shop: Workshop):
    await sown(shop)

    told = await shop.explain(OTHER)
    done = await shop.build(OTHER)

    assert (told.rung, told.refusals) == (done.reuse.rung, done.reuse.refusals)


async def test_the_workspace_stays_and_the_next_compile_goes_on_in_it(yard: Workshop):
    await sown(yard)
    await yard.build(OTHER)
    await yard.harvest()
    yard.ran()

    again = await yard.build(EDITED)

    assert (again.reuse.rung, yard.ran()) == (Rung.WORKSPACE, ["compile"])
    await yard.assert_nothing_is_left()


async def test_a_wrong_expectation_costs_time_alone(shop: Workshop):
    """Of another profile or other features: cargo compiles it again, unharvested."""
    await sown(shop)
    before = await stored(shop)

    async def mistrustful(step: Step) -> int | Exit:
        if purpose_of(step) == "compile":
            step.delete("/target/release")
        return await shop.cargo(step)

    shop.engine.script(mistrustful)
    other = await shop.build(OTHER)

    assert (other.reuse.rung, other.reuse.refusals[-1].why) == (Rung.NONE, WhyNot.NOT_STORED)
    assert set(other.reuse.compiled) == {"bytes 1.0.0", "other 0.1.0"}
    assert (other.reuse.reused, other.reuse.seconds_saved) == (0, 0.0)
    assert await stored(shop) == before


@pytest.mark.parametrize(("fewest", "expects"), [(1, False), (2, True)], ids=["much", "little"])
async def test_where_an_expectation_has_failed_the_next_build_of_that_lock_expects_nothing(
    shop: Workshop, fewest: int, *, expects: bool
):
    """What was missing was compiled beside a project's own code: for others it is cooked, and once."""
    shop.fewest = fewest
    shop.compose()
    await sown(shop)

    async def mistrustful(step: Step) -> int | Exit:
        if purpose_of(step) == "compile":
            step.delete("/target/release")
        return await shop.cargo(step)

    shop.engine.script(mistrustful)
    await shop.build(OTHER)
    shop.ran()
    shop.engine.script(shop.cargo)

    told = await shop.explain(EDITED, lineage="third")
    third = await shop.build(EDITED, lineage="third")

    assert shop.ran() == (["compile"] if expects else ["cook", "settle", "compile"])
    assert third.reuse.rung is told.rung is Rung.UNITS
    assert third.reuse.compiled == ("other 0.1.0",)
    await shop.harvest()
    assert shop.ran() == (["cook", "settle"] if expects else []), "the layer that was owed is there by then"


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "gone"])
async def test_law_9_a_bad_unit_is_told_of_forgotten_and_stored_anew_behind_the_answer(shop: Workshop, *, gone: bool):
    await sown(shop)
    path = await blob(shop, "bytes")
    path.unlink() if gone else path.write_bytes(path.read_bytes()[:-1] + b"!")
    heard = Heard()

    other = await shop.build(OTHER, progress=heard)

    assert "1 stored units were damaged or gone; they are compiled again." in heard.notes
    assert (other.reuse.rung, other.reuse.refusals[-1].why) == (Rung.NONE, WhyNot.DAMAGED)
    assert set(other.reuse.compiled) == {"bytes 1.0.0", "other 0.1.0"}
    assert await stored(shop) == set()
    await shop.harvest()
    assert await stored(shop) == {"bytes"}


@pytest.mark.parametrize("fails", ["once", "always"])
async def test_law_9_a_compile_that_fails_over_units_is_done_over_a_layer_cooked_without_them(
    shop: Workshop, fails: str
):
    await sown(shop)
    cooks: list[bool] = []
    compiles = 0

    async def spoiled(step: Step) -> int | Exit:
        nonlocal compiles
        match purpose_of(step):
            case "cook":
                cooks.append(any("/.fingerprint/" in path for path in step.files))
            case "compile":
                compiles += 1
                if fails == "always" or compiles == 1:
                    step.complain("error: could not compile `other` (bin)")
                    return 101
        return await shop.cargo(step)

    shop.engine.script(spoiled)
    heard = Heard()

    if fails == "always":
        with pytest.raises(DependencyFailed, match="other"):
            await shop.build(OTHER, progress=heard)
    else:
        other = await shop.build(OTHER, progress=heard)
        assert (other.reuse.rung, other.reuse.refusals[-1].why) == (Rung.NONE, WhyNot.DAMAGED)
    assert (cooks, compiles) == ([False], 2)
    assert any("without them" in note for note in heard.notes)
    await shop.harvest()
    assert cooks == [False], "there is a layer: none is owed"
    await shop.assert_nothing_is_left()


async def test_what_is_not_the_units_fault_is_not_tried_again(shop: Workshop):
    await sown(shop)
    shop.cargo.failures["compile"] = (101, "error: could not compile `other`\nsignal: 9, SIGKILL: kill\n")

    with pytest.raises(OutOfMemory):
        await shop.build(OTHER)

    assert shop.ran() == ["compile"]


async def test_an_error_in_the_project_s_own_lines_is_not_the_units_fault(shop: Workshop):
    await sown(shop)

    async def refused(step: Step) -> int | Exit:
        if purpose_of(step) != "compile":
            return await shop.cargo(step)
        shop.ran()
        step.print(error_message("E0308"))
        return 101

    shop.engine.script(refused)
    with pytest.raises(CompileFailed, match=r"main\.rs:1"):
        await shop.build(OTHER)

    assert shop.ran() == []


async def test_a_project_that_names_what_is_not_stored_cooks_first(shop: Workshop):
    await sown(shop)
    own = locked("own", "1.0.0")
    more = {
        **OTHER,
        "Cargo.toml": crate("other", "0.1.0", '[dependencies]\nbytes = "1"\nown = "1"\n'),
        "Cargo.lock": lock(locked("other", "0.1.0", "bytes", "own", source=""), BYTES, own),
    }

    await shop.build(more)

    assert shop.ran() == ["fetch", "cook", "settle", "compile"]


async def test_one_who_cooked_the_same_meanwhile_has_spared_the_cook(shop: Workshop):
    await sown(shop)
    await shop.build(OTHER)
    await shop.build(OTHER, reuse=Reuse.NOTHING)
    layers = await shop.layers()
    shop.ran()

    await shop.harvest()

    assert (shop.ran(), await shop.layers()) == ([], layers)


async def test_a_cook_that_fails_costs_nothing_and_the_next_build_stands_on_units_again(shop: Workshop):
    await sown(shop)
    await shop.build(OTHER)
    layers = await shop.layers()
    shop.cargo.failures["cook"] = (101, "error: could not compile `bytes`\n")
    await shop.harvest()
    assert await shop.layers() == layers
    del shop.cargo.failures["cook"]

    again = await shop.build(EDITED, lineage="again")

    assert again.reuse.rung is Rung.UNITS
    await shop.harvest()
    assert len(await shop.layers()) == len(layers) + 1
    await shop.assert_nothing_is_left()


async def test_what_is_gone_from_the_disk_by_then_ends_the_cook_alone(shop: Workshop):
    await sown(shop)
    await shop.build(OTHER)
    shop.store.blobs.remove(Digest.of(BYTES_CRATE))
    shop.cargo.failures["fetch"] = (101, "error: failed to get `bytes`\n")
    layers = await shop.layers()

    await shop.harvest()

    assert await shop.layers() == layers
    await shop.assert_nothing_is_left()


async def test_a_daemon_that_ends_in_the_middle_of_the_cook_leaves_nothing(shop: Workshop):
    await sown(shop)
    await shop.build(OTHER)
    layers, begun = await shop.layers(), asyncio.Event()

    async def endless(step: Step) -> int | Exit:
        if purpose_of(step) == "cook":
            begun.set()
            await asyncio.Event().wait()
        return await shop.cargo(step)

    shop.engine.script(endless)
    working = asyncio.create_task(shop.behind.run())
    async with asyncio.timeout(5):
        await begun.wait()
    (container,) = shop.engine.containers.values()
    assert container.spec.labels["bloomery.instance"] == shop.store.instance
    working.cancel()
    await asyncio.wait({working})

    assert await shop.layers() == layers
    await shop.assert_nothing_is_left()


async def test_a_build_that_fails_before_its_compile_owes_no_layer(shop: Workshop):
    await sown(shop)
    shop.cargo.failures["compile"] = (101, "error: could not compile `other`\nsignal: 9, SIGKILL: kill\n")
    with pytest.raises(Failure):
        await shop.build(OTHER)
    shop.ran()

    await shop.harvest()

    assert shop.ran() == []
