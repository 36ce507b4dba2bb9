"""The proof of reuse: what is built again clean, what comes of it, and what of it stays."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
import pytest

from cache.digest import Digest
from cache.errors import Failure
from cache.reuse import Rung
from daemon.builds import ImageRequest, Outcome, Reuse, Verification, Verified
from daemon.ecosystems.rust.steps import OUT
from daemon.ecosystems.step import Reads
from daemon.units.harvest import Harvester
from daemon.verification import verifier
from daemon.verification.sample import in_sample
from tests.fakes.cargo import purpose_of
from tests.fakes.engine import Exit, Step
from tests.fakes.rust_projects import SIMPLE, Files
from tests.fakes.workshop import Workshop
from tests.unit.pipeline.test_over_units import OTHER
from tests.unit.pipeline.test_units import PRIVATE, stored

EDITED: Files = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}
TWICE: Files = {**EDITED, "src/main.rs": 'fn main() { println!("edited again") }\n'}
README: Files = {**SIMPLE, "README.md": "words\n"}
WRONG = b"a program that was reused and is wrong"
CLEAN = ["cook", "settle", "compile"]


async def told(shop: Workshop) -> Verification:
    """What came of the only verification."""
    ((value,),) = await shop.store._database.read(
        lambda tables: tables.execute("SELECT value FROM verifications").fetchall()
    )
    return msgspec.json.decode(value, type=Verification)


async def kept(shop: Workshop) -> Mapping[str, object]:
    """All that a build could leave for another, in the store and in the engine."""
    queries = ("results", "layers", "workspaces", "units", "tags", "observed", "fetched", "builds")
    rows = {
        name: await shop.store._database.read(
            lambda tables, name=name: tables.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
        )
        for name in queries
    }
    engine = shop.engine
    blobs = {path.name for path in (shop.scratch.parent / "state/blobs/sha256").rglob("*") if path.is_file()}
    images = {image.id: frozenset(image.tags) for image in engine.stored.values()}
    return {**rows, "containers": set(engine.containers), "images": images, "blobs": blobs}


def verified(shop: Workshop, result: Verified) -> float:
    """The metric."""
    return shop.registry.get_sample_value("bloomery_verifications_total", {"result": result}) or 0.0


async def of_result(shop: Workshop) -> Outcome:
    await shop.build()
    return await shop.build(verify=True)


async def of_observed(shop: Workshop) -> Outcome:
    shop.reads = Reads.TOLD
    shop.compose()
    await shop.build(README)
    return await shop.build({**README, "README.md": "other words\n"}, verify=True)


async def of_workspace(shop: Workshop) -> Outcome:
    await shop.build()
    return await shop.build(EDITED, verify=True)


async def of_fork(shop: Workshop) -> Outcome:
    shop.weigh = lambda *_: None  # it copies whatever that costs
    shop.compose()
    await shop.build()
    return await shop.build(EDITED, lineage="other", verify=True)


async def of_layer(shop: Workshop) -> Outcome:
    await shop.build()
    return await shop.build(EDITED, lineage="other", parent="nobody", verify=True)


async def of_units(shop: Workshop) -> Outcome:
    await shop.build()
    await shop.harvest()
    outcome = await shop.build(OTHER, verify=True)
    await shop.harvest()
    return outcome


async def of_nothing(shop: Workshop) -> Outcome:
    return await shop.build(verify=True, reuse=Reuse.NOTHING)


RUNGS = {
    of_result: Rung.RESULT,
    of_observed: Rung.OBSERVED,
    of_workspace: Rung.WORKSPACE,
    of_fork: Rung.WORKSPACE,
    of_layer: Rung.LAYER,
    of_units: Rung.UNITS,
    of_nothing: Rung.NONE,
}


@pytest.mark.parametrize("built", RUNGS, ids=lambda built: built.__name__)
async def test_what_is_right_is_equal_on_every_rung_and_nothing_of_the_clean_build_stays(
    yard: Workshop, built: Callable[[Workshop], Awaitable[Outcome]]
):
    outcome = await built(yard)
    assert outcome.reuse.rung is RUNGS[built]
    assert (await told(yard)).result is Verified.WAITING
    await yard.harvest()
    before = await kept(yard)
    yard.ran()

    await yard.verify()

    assert yard.ran() == CLEAN
    assert await kept(yard) == before
    found = await told(yard)
    assert (found.result, found.images, found.units, found.revoked) == (Verified.EQUAL, (), (), 0)
    assert found.seconds > 0
    assert verified(yard, Verified.EQUAL) == 1
    await yard.assert_nothing_is_left()


async def test_its_sandboxes_have_an_eighth_of_a_builds_weight_and_no_network(yard: Workshop):
    await of_workspace(yard)
    seen: list[tuple[str, float, str]] = []

    async def watched(step: Step) -> int | Exit:
        seen.append((purpose_of(step), step.spec.limits.weight, str(step.spec.network)))
        return await yard.cargo(step)

    yard.engine.script(watched)
    await yard.verify()

    assert seen == [(purpose, 0.125, "none") for purpose in CLEAN]


# --- which builds


def test_the_sample_follows_from_the_id_and_a_larger_one_has_all_of_a_smaller_one():
    ids = [f"build{number}" for number in range(4000)]
    samples = [{name for name in ids if in_sample(name, rate)} for rate in (0.0, 0.01, 0.5, 1.0)]
    assert [len(sample) / len(ids) for sample in samples] == pytest.approx([0, 0.01, 0.5, 1], abs=0.03)
    assert samples[0] == set()
    assert 0 < len(samples[1]) < 100
    assert samples[1] < samples[2] < samples[3] == set(ids)
    assert in_sample("build7", 0.5) == in_sample("build7", 0.5)


async def test_of_builds_that_reused_anything_the_share_is_verified_and_of_no_others(yard: Workshop):
    yard.rate = 1.0
    yard.compose()
    await yard.build()
    assert await yard.store.verifications_in(Verified.WAITING) == ()

    await yard.build(EDITED)

    (waiting,) = await yard.store.verifications_in(Verified.WAITING)
    assert waiting.build == "b2"


async def test_images_that_were_found_equal_are_not_verified_again_unless_that_is_asked_for(yard: Workshop):
    yard.rate = 1.0
    yard.compose()
    await yard.build()
    await yard.build(EDITED)
    await yard.verify()
    yard.ran()

    await yard.build(EDITED)
    await yard.build(EDITED)
    await yard.verify()
    assert yard.ran() == []

    await yard.build(EDITED, verify=True)
    await yard.verify()
    assert (yard.ran(), verified(yard, Verified.EQUAL)) == (CLEAN, 2)


async def test_a_build_that_fails_is_not_verified(yard: Workshop):
    yard.cargo.failures["compile"] = (101, "error: no\n")
    with pytest.raises(Failure):
        await yard.build(verify=True)
    assert await yard.store.verifications_in(Verified.WAITING) == ()


# --- what differs


async def wrong(shop: Workshop, lineage: str = "main") -> Outcome:
    """A build whose reused compile is wrong: where the clean one has the program, it has another."""
    await shop.build()
    await shop.harvest()
    right, shop.cargo.program = shop.cargo.program, shop.cargo.program + WRONG
    outcome = await shop.build(EDITED, lineage=lineage, verify=True)
    shop.cargo.program = right
    return outcome


async def is_found_and_revoked(shop: Workshop) -> None:
    """The witness of the proof: wrong reuse is told, and not served again."""
    outcome = await wrong(shop)
    assert outcome.reuse.rung is Rung.WORKSPACE
    await shop.verify()

    found = await told(shop)
    assert found.result is Verified.DIFFERENT, "the wrong image was not found"
    assert verified(shop, Verified.DIFFERENT) == 1
    (image,) = found.images
    clean = await shop.build(EDITED, scope="elsewhere")
    assert (image.binary, image.digest) == ("app", outcome.images[0].digest)
    assert image.clean == clean.images[0].digest != image.digest
    assert [(file.path, file.presence) for file in image.files.files] == [("/app/app", "changed")]
    assert found.revoked >= 4

    again = await shop.build(EDITED)

    assert again.reuse.rung is Rung.UNITS, "what was wrong is reused"
    assert again.images[0].digest == clean.images[0].digest
    await shop.assert_nothing_is_left()


async def test_wrong_reuse_is_found_told_and_revoked_and_the_next_build_is_right(yard: Workshop):
    await is_found_and_revoked(yard)


async def test_a_comparison_that_is_not_made_would_be_noticed(yard: Workshop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(verifier, "differences", lambda *_: ())
    with pytest.raises(AssertionError, match="the wrong image was not found"):
        await is_found_and_revoked(yard)


async def test_a_revocation_that_is_not_made_would_be_noticed(yard: Workshop, monkeypatch: pytest.MonkeyPatch):
    async def nothing(*_given: object) -> int:
        return 4

    monkeypatch.setattr(yard.verifier._revocation, "revoke", nothing)
    with pytest.raises(AssertionError, match="what was wrong is reused"):
        await is_found_and_revoked(yard)


async def test_all_of_the_project_goes_and_nothing_of_another_or_of_another_scope(yard: Workshop):
    await yard.build(TWICE, lineage="third", parent="nobody")
    await yard.build(OTHER)
    await yard.build(EDITED, scope="elsewhere")
    await wrong(yard)

    await yard.verify()

    async def left(table: str) -> set[tuple[str, str]]:
        sql = f"SELECT scope, project FROM {table}"
        return set(await yard.store._database.read(lambda tables: tables.execute(sql).fetchall()))

    for table in ("results", "layers", "workspaces"):
        assert await left(table) == {("default", "other"), ("elsewhere", "app")}, table
    assert await stored(yard) == {"bytes"}, "the clean cook made the same"
    assert (await yard.maintenance.contents("elsewhere")).size > 0
    await yard.assert_nothing_is_left()


async def test_two_images_are_both_compared(yard: Workshop):
    images = (ImageRequest(binary="one"), ImageRequest(binary="two"))
    binaries = "".join(f'[[bin]]\nname = "{name}"\npath = "src/{name}.rs"\n' for name in ("one", "two"))
    files = {**SIMPLE, "Cargo.toml": f"{SIMPLE['Cargo.toml']}{binaries}"}
    files |= {f"src/{name}.rs": "fn main() {}\n" for name in ("one", "two")}

    async def compiled(step: Step) -> int | Exit:
        code = await yard.cargo(step)
        if purpose_of(step) == "compile" and "-verify-" not in step.spec.name:
            step.write(f"{OUT}/two", yard.cargo.program + WRONG, 0o755)
        return code

    await yard.build(files, images=images)
    yard.engine.script(compiled)
    await yard.build({**files, "src/one.rs": "fn main() { }\n"}, images=images, verify=True)
    yard.engine.script(yard.cargo)

    await yard.verify()

    found = await told(yard)
    assert (found.result, [image.binary for image in found.images]) == (Verified.DIFFERENT, ["two"])


async def test_a_source_that_is_not_reproducible_is_told_so_and_nothing_is_revoked(yard: Workshop):
    times = 0

    async def ticking(step: Step) -> int | Exit:
        nonlocal times
        times += 1
        yard.cargo.program = program + f"built at {times}".encode()
        return await yard.cargo(step)

    program = yard.cargo.program
    yard.engine.script(ticking)
    await of_workspace(yard)
    await yard.harvest()
    before = await kept(yard)

    await yard.verify()

    found = await told(yard)
    assert (found.result, found.revoked, len(found.images)) == (Verified.UNSTABLE, 0, 1)
    assert await kept(yard) == before
    assert (verified(yard, Verified.UNSTABLE), verified(yard, Verified.DIFFERENT)) == (1, 0)


async def test_a_clean_build_that_the_source_fails_is_a_difference(yard: Workshop):
    """What was reused has hidden an error."""
    await of_workspace(yard)
    yard.cargo.failures["compile"] = (101, "error: could not compile `app`\n")

    await yard.verify()

    found = await told(yard)
    (image,) = found.images
    assert (found.result, image.clean) == (Verified.DIFFERENT, None)
    assert "could not compile `app`" in found.detail
    assert image.files.files == ()
    assert await stored(yard) == set()
    assert verified(yard, Verified.DIFFERENT) == 1


async def test_of_a_private_project_its_own_goes_and_nothing_is_known_of_units(shop: Workshop):
    """Its cook is not harvested: there is nothing to compare, and nothing stored that it could have been given."""
    await shop.build(PRIVATE)
    await shop.build({**PRIVATE, "src/main.rs": "fn main() { }\n"}, verify=True)
    await shop.verify()
    assert (await told(shop)).result is Verified.EQUAL

    await shop.build({**PRIVATE, "src/main.rs": "fn main() { }\n"}, verify=True, tags=())
    shop.cargo.failures["compile"] = (101, "error: could not compile `app`\n")
    await shop.verify()

    (found,) = await shop.store.verifications_in(Verified.DIFFERENT)
    assert found.build == "b3"
    assert await shop.layers() == set()


async def test_damaged_notes_of_a_layer_and_a_lost_list_of_contents_keep_nothing_from_being_revoked(yard: Workshop):
    outcome = await wrong(yard)
    await yard.store._database.write(lambda tables: tables.execute("UPDATE layers SET cook = ?", [b"not JSON"]))
    yard.store.blobs.path(Digest.parse(outcome.images[0].contents)).unlink()

    await yard.verify()

    found = await told(yard)
    assert (found.result, found.images[0].files.files) == (Verified.DIFFERENT, ())
    assert await yard.layers() == set()


# --- units


async def of_other_bytes(shop: Workshop, *, image_too: bool) -> None:
    """A stored unit is not what compiling its package makes, and the image may show it."""
    await shop.build()
    await shop.harvest()
    assert await stored(shop) == {"bytes"}

    async def other(step: Step) -> int | Exit:
        code = await shop.cargo(step)
        if purpose_of(step) == "cook":
            for path in [path for path in step.files if path.startswith("/target/") and path.endswith(".rlib")]:
                step.write(path, step.read(path) + b" and more")
        return code

    if image_too:
        await wrong(shop)
    else:
        await shop.build(EDITED, verify=True)
    shop.engine.script(other)
    await shop.verify()
    shop.engine.script(shop.cargo)


async def test_a_stored_unit_that_the_clean_build_makes_otherwise_is_named(yard: Workshop):
    await of_other_bytes(yard, image_too=False)

    found = await told(yard)
    assert (found.result, found.units) == (Verified.EQUAL, ("bytes 1.0.0",))
    assert await stored(yard) == {"bytes"}


async def test_with_a_wrong_image_its_cook_is_revoked_and_all_that_was_given_anything_of_it(yard: Workshop):
    await yard.build()
    await yard.harvest()
    await yard.build(OTHER)
    await yard.harvest()
    assert len(await yard.layers()) == 2

    await of_other_bytes(yard, image_too=True)

    found = await told(yard)
    assert (found.result, found.units) == (Verified.DIFFERENT, ("bytes 1.0.0",))
    assert await stored(yard) == set()
    assert await yard.layers() == set()
    assert (await yard.build(OTHER)).reuse.rung is Rung.NONE
    await yard.assert_nothing_is_left()


async def test_where_units_cannot_be_compared_none_of_the_lock_s_is_trusted(
    yard: Workshop, monkeypatch: pytest.MonkeyPatch
):
    async def unreadable(*_given: object) -> None:
        return None

    await wrong(yard)
    monkeypatch.setattr(Harvester, "differing", unreadable)
    await yard.verify()

    assert (await told(yard)).result is Verified.DIFFERENT
    assert await stored(yard) == set()
