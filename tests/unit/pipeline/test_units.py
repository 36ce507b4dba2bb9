"""The rung of units: what is harvested of a cook and when, and to which cooks it is given."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.errors import Failure
from cache.reuse import Refusal, Rung, WhyNot
from daemon.builds import Reuse
from daemon.ecosystems.ecosystem import UntrustworthyLayer
from daemon.units.background import Crop
from tests.fakes.cargo import STALE, purpose_of
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import BYTES, BYTES_CRATE, PATCHED, SIMPLE, Files, crate, lock, locked
from tests.fakes.workshop import Workshop

ITOA_CRATE = b"the archive of itoa 1.0.18"
ITOA = locked("itoa", "1.0.18", checksum=Digest.of(ITOA_CRATE).hex)
MORE: Files = {
    "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\nitoa = "1"\n'),
    "Cargo.lock": lock(locked("app", "0.3.0", "bytes", "itoa", source=""), BYTES, ITOA),
    "src/main.rs": "fn main() {}\n",
}
"""One dependency more."""
CONFIGURED = '[source.crates-io]\nreplace-with = "here"\n[source.here]\ndirectory = "vendor"\n'
PRIVATE: Files = {**PATCHED, "Cargo.lock": str(PATCHED["Cargo.lock"]).replace("0" * 64, Digest.of(BYTES_CRATE).hex)}
VENDORED: Files = {**SIMPLE, ".cargo/config.toml": CONFIGURED, "vendor/bytes/src/lib.rs": ""}
ALL_STEPS = ["fetch", "cook", "settle", "compile"]


def offer_itoa(shop: Workshop) -> None:
    """From now on a fetch brings both crates."""
    shop.cargo.crates = {"bytes-1.0.0": BYTES_CRATE, "itoa-1.0.18": ITOA_CRATE}


async def given(shop: Workshop, files: Files, **request: object) -> list[str]:
    """Build, and say which units lay in the sandbox when the cook began, by package."""
    found: list[str] = []

    async def watched(step: Step) -> int | Exit:
        if purpose_of(step) == "cook":
            marks = [path.split("/") for path in step.files if "/.fingerprint/" in path and path.endswith(".json")]
            found.extend(sorted(parts[4].rpartition("-")[0] for parts in marks))
        return await shop.cargo(step)

    shop.engine.script(watched)
    await shop.build(files, **request)
    shop.engine.script(shop.cargo)
    return found


async def units(shop: Workshop, scope: str = "default") -> set[tuple[str, float]]:
    """The packages that units are stored of, and what compiling each took."""
    query = "SELECT name, seconds FROM units WHERE scope = ?"
    rows = await shop.store._database.read(lambda tables: tables.execute(query, (scope,)).fetchall())
    return {(name, seconds) for name, seconds in rows}


async def stored(shop: Workshop, scope: str = "default") -> set[str]:
    return {name for name, _ in await units(shop, scope)}


async def blob(shop: Workshop, name: str) -> Path:
    """Where the one unit of a package is kept."""
    query = "SELECT blob FROM units WHERE name = ?"
    ((found,),) = await shop.store._database.read(lambda tables: tables.execute(query, (name,)).fetchall())
    return shop.store.blobs.path(Digest.parse(found))


async def test_a_lock_with_one_dependency_more_compiles_that_one_and_its_members(shop: Workshop):
    await shop.build()
    await shop.harvest()
    offer_itoa(shop)
    shop.ran()

    more = await shop.build(MORE)

    assert shop.ran() == ALL_STEPS
    assert more.reuse.rung is Rung.UNITS
    assert more.reuse.compiled == ("itoa 1.0.18", "app 0.3.0")
    assert (more.reuse.dependencies, more.reuse.reused) == (2, 1)
    assert more.reuse.seconds_saved > 0
    assert [(it.rung, it.why) for it in more.reuse.refusals] == [
        (Rung.RESULT, WhyNot.KEY_CHANGED),
        (Rung.OBSERVED, WhyNot.KEY_CHANGED),
        (Rung.WORKSPACE, WhyNot.PRUNED),
        (Rung.LAYER, WhyNot.KEY_CHANGED),
    ]
    await shop.harvest()
    assert await stored(shop) == {"bytes", "itoa"}
    await shop.assert_nothing_is_left()


async def test_a_build_over_units_makes_the_image_of_a_clean_one(shop: Workshop):
    await shop.build()
    await shop.harvest()
    offer_itoa(shop)

    over_units = await shop.build(MORE)
    clean = await shop.build(MORE, scope="clean", reuse=Reuse.NOTHING)

    assert over_units.reuse.rung is Rung.UNITS
    assert over_units.images[0].digest == clean.images[0].digest


async def test_explain_says_that_it_would_stand_on_units(shop: Workshop):
    await shop.build()
    assert (await shop.explain(MORE)).rung is Rung.NONE
    await shop.harvest()

    told = await shop.explain(MORE)

    assert told.rung is Rung.UNITS
    offer_itoa(shop)
    assert told.refusals == (await shop.build(MORE)).reuse.refusals


@pytest.mark.parametrize("fails", [False, True], ids=["that succeeds", "whose compile fails"])
async def test_a_crop_is_handed_over_when_its_own_build_has_ended(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, *, fails: bool
):
    crops: list[Crop] = []
    while_compiling: list[str] = []
    monkeypatch.setattr(shop.harvests, "put", crops.append)
    own = await shop.request(scope="own")
    other = await shop.request(scope="other")

    async def watched(step: Step) -> int | Exit:
        if purpose_of(step) == "compile" and step.spec.labels["bloomery.build"] == "b1":
            await shop.run(other, sequence=2)
            while_compiling.extend(crop.cook.scope for crop in crops)
            if fails:
                step.complain("error: could not compile `app`\n")
                return 101
        return await shop.cargo(step)

    shop.engine.script(watched)
    with pytest.raises(Failure) if fails else nullcontext():
        await shop.run(own, sequence=1)

    assert while_compiling == ["other"]
    assert [crop.cook.scope for crop in crops] == ["other", "own"]
    await shop.harvests.harvest(crops[1])
    assert await stored(shop, "own") == {"bytes"}


async def test_a_cook_that_fails_leaves_no_crop(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    crops: list[Crop] = []
    monkeypatch.setattr(shop.harvests, "put", crops.append)
    shop.cargo.failures["cook"] = (101, "error: could not compile `bytes`\n")

    with pytest.raises(Failure):
        await shop.build()

    assert crops == []


async def test_a_layer_that_is_not_to_be_trusted_is_not_harvested(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    crops: list[Crop] = []
    monkeypatch.setattr(shop.harvests, "put", crops.append)

    async def always_stale(step: Step) -> int | Exit:
        step.write(STALE, b"")
        return await shop.cargo(step)

    shop.engine.script(always_stale)
    with pytest.raises(UntrustworthyLayer):
        await shop.build()

    assert crops == []


async def test_a_build_over_a_layer_leaves_no_crop(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    await shop.build()
    crops: list[Crop] = []
    monkeypatch.setattr(shop.harvests, "put", crops.append)

    edited = await shop.build({**SIMPLE, "src/main.rs": "fn main() { }\n"})

    assert (edited.reuse.rung, crops) == (Rung.LAYER, [])


@pytest.mark.parametrize("files", [PRIVATE, VENDORED], ids=["private", "vendored"])
async def test_law_11_what_no_lock_proves_is_neither_harvested_nor_given_units(shop: Workshop, files: Files):
    await shop.build()
    await shop.harvest()
    stored_before = await units(shop)

    told = await given(shop, files, project="another")
    await shop.harvest()

    assert told == []
    assert await units(shop) == stored_before
    told_of_third = await shop.explain(files, project="third")
    assert told_of_third.rung is Rung.NONE
    assert Rung.UNITS not in {refusal.rung for refusal in told_of_third.refusals}, "it never could stand on them"


async def test_law_7_another_scope_is_given_nothing(shop: Workshop):
    await shop.build(scope="one")
    await shop.harvest()
    offer_itoa(shop)

    assert await given(shop, MORE, scope="two") == []
    assert await given(shop, MORE, scope="one") == ["bytes"]
    await shop.harvest()
    assert (await stored(shop, "one"), await stored(shop, "two")) == ({"bytes", "itoa"}, {"bytes", "itoa"})


async def test_a_clean_build_is_given_nothing_and_what_it_compiles_is_harvested(shop: Workshop):
    await shop.build()
    await shop.harvest()
    offer_itoa(shop)

    assert await given(shop, MORE, reuse=Reuse.NOTHING) == []
    await shop.harvest()

    assert await stored(shop) == {"bytes", "itoa"}


async def test_other_flags_are_another_unit_key(shop: Workshop):
    await shop.build()
    await shop.harvest()
    flagged = {**SIMPLE, ".cargo/config.toml": '[build]\nrustflags = ["-Cdebug-assertions"]\n'}

    outcome = await shop.build(flagged)

    assert outcome.reuse.rung is Rung.NONE
    refused = outcome.reuse.refusals[-1]
    assert (refused.rung, refused.why) == (Rung.UNITS, WhyNot.KEY_CHANGED)
    assert [one.label for one in refused.differences] == ["cargo configuration"]


async def test_units_that_cargo_finds_no_use_for_are_no_rung(shop: Workshop):
    """Of another profile or other features: the key does not know, cargo does."""
    await shop.build()
    await shop.harvest()
    offer_itoa(shop)

    async def mistrustful(step: Step) -> int | Exit:
        if purpose_of(step) == "cook":
            step.delete("/target/release")
        return await shop.cargo(step)

    shop.engine.script(mistrustful)
    outcome = await shop.build(MORE)

    assert outcome.reuse.rung is Rung.NONE
    assert outcome.reuse.refusals[-1] == Refusal(Rung.UNITS, WhyNot.NOT_STORED)
    assert (outcome.reuse.reused, outcome.reuse.seconds_saved) == (0, 0.0)


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "gone"])
async def test_law_9_a_bad_unit_is_told_of_forgotten_and_stored_anew(shop: Workshop, *, gone: bool):
    await shop.build()
    await shop.harvest()
    offer_itoa(shop)
    path = await blob(shop, "bytes")
    path.unlink() if gone else path.write_bytes(path.read_bytes()[:-1] + b"!")
    heard = Heard()

    outcome = await shop.build(MORE, progress=heard)

    assert "1 stored units were damaged or gone; they are compiled again." in heard.notes
    assert outcome.reuse.rung is Rung.NONE
    assert outcome.reuse.refusals[-1] == Refusal(Rung.UNITS, WhyNot.DAMAGED)
    assert set(outcome.reuse.compiled) == {"bytes 1.0.0", "itoa 1.0.18", "app 0.3.0"}
    assert await stored(shop) == set()
    await shop.harvest()
    assert await stored(shop) == {"bytes", "itoa"}


async def test_law_9_a_bad_unit_is_forgotten_also_where_the_cook_then_fails(shop: Workshop):
    await shop.build()
    await shop.harvest()
    (await blob(shop, "bytes")).unlink()
    offer_itoa(shop)
    shop.cargo.failures["cook"] = (101, "error: could not compile `itoa`\n")
    heard = Heard()

    with pytest.raises(Failure):
        await shop.build(MORE, progress=heard)

    assert "1 stored units were damaged or gone; they are compiled again." in heard.notes
    assert await stored(shop) == set()


async def test_a_unit_carries_its_share_of_what_the_cook_took_whoever_is_given_it(shop: Workshop):
    shop.cargo.pause = 0.2
    await shop.build()
    await shop.harvest()
    ((_, first),) = await units(shop)
    assert first >= 0.2
    offer_itoa(shop)
    shop.cargo.pause = 0.0

    outcome = await shop.build(MORE)
    await shop.harvest()

    assert outcome.reuse.seconds_saved == first
    seconds = dict(await units(shop))
    assert seconds["bytes"] == first
    assert seconds["itoa"] > 0


@pytest.mark.parametrize("fails", ["once", "always"])
async def test_law_9_a_cook_that_fails_over_given_units_is_done_without_them(shop: Workshop, fails: str):
    await shop.build()
    await shop.harvest()
    offer_itoa(shop)
    cooks: list[bool] = []

    async def spoiled(step: Step) -> int | Exit:
        if purpose_of(step) != "cook":
            return await shop.cargo(step)
        cooks.append(any("/.fingerprint/" in path for path in step.files))
        if fails == "always" or cooks[-1]:
            step.complain("error: could not compile `bytes` (lib)")
            return 101
        return await shop.cargo(step)

    shop.engine.script(spoiled)
    heard = Heard()

    if fails == "always":
        with pytest.raises(Failure, match="bytes"):
            await shop.build(MORE, progress=heard)
    else:
        assert (await shop.build(MORE, progress=heard)).reuse.rung is Rung.NONE

    assert cooks == [True, False]
    assert any("without them" in note for note in heard.notes)
    await shop.assert_nothing_is_left()


async def test_the_store_of_units_stays_within_its_bound(shop: Workshop):
    await shop.build()
    await shop.harvest()
    assert await stored(shop) == {"bytes"}
    blobs = await blob(shop, "bytes")
    shop.unit_bytes = 1
    shop.compose()

    await shop.build(reuse=Reuse.NOTHING)
    await shop.harvest()

    assert await stored(shop) == set()
    assert not blobs.exists()
    assert (await shop.build({**SIMPLE, "src/main.rs": "fn main() { }\n"})).reuse.rung is Rung.LAYER
