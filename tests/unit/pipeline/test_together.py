"""Builds at the same time; tags; made locks; several images."""

import asyncio

import pytest

from cache.manifests.errors import NoManifest
from cache.reuse import Rung
from daemon.builds import BuildRequest, ImageRequest, Reuse
from daemon.errors import UnknownToolchain, UnknownTree
from tests.fakes.cargo import purpose_of
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import BYTES, SIMPLE, crate, lock, locked, stable
from tests.fakes.workshop import Workshop

UNLOCKED = {path: text for path, text in SIMPLE.items() if path != "Cargo.lock"}


def edited(word: str) -> dict[str, str]:
    return {**SIMPLE, "src/main.rs": f'fn main() {{ println!("{word}") }}\n'}


async def test_identical_builds_at_once_cook_once(shop: Workshop):
    shop.cargo.pause = 0.02

    outcomes = await asyncio.gather(*(shop.build() for _ in range(5)))

    assert [step for step in shop.ran() if step != "compile"] == ["fetch", "cook", "settle"]
    assert sorted(outcome.reuse.rung for outcome in outcomes) == [Rung.LAYER] * 4 + [Rung.NONE]
    assert len({outcome.images[0].digest for outcome in outcomes}) == 1
    await shop.assert_nothing_is_left()


async def test_builds_that_wait_for_anothers_cook_say_so(shop: Workshop):
    shop.cargo.pause = 0.02
    heard = [Heard(), Heard()]

    await asyncio.gather(shop.build(progress=heard[0]), shop.build(edited("other"), progress=heard[1]))

    notes = [note for one in heard for note in one.notes if "meanwhile" in note]
    assert len(notes) == 1


async def test_builds_of_two_scopes_at_once_cook_each_for_itself(shop: Workshop):
    shop.cargo.pause = 0.02

    await asyncio.gather(shop.build(scope="one"), shop.build(scope="two"))

    assert shop.ran().count("cook") == 2
    assert len(await shop.layers()) == 2


async def test_a_cook_that_fails_hands_over_to_the_next_that_waits(shop: Workshop):
    shop.cargo.pause = 0.02
    failed = False

    async def fails_once(step: Step) -> int | Exit:
        nonlocal failed
        if purpose_of(step) == "cook" and not failed:
            failed = True
            return 101
        return await shop.cargo(step)

    shop.engine.script(fails_once)

    ended = await asyncio.gather(shop.build(), shop.build(edited("b")), return_exceptions=True)

    assert sorted(type(one).__name__ for one in ended) == ["CompileFailed", "Outcome"]
    await shop.assert_nothing_is_left()


PATCHED = {
    "Cargo.toml": crate(
        "app", "0.3.0", '[dependencies]\nbytes = "1"\n[patch.crates-io]\nserde = { path = "patched" }\n'
    ),
    "Cargo.lock": lock(
        locked("app", "0.3.0", "bytes", source=""),
        BYTES.replace("checksum", 'dependencies = ["serde"]\nchecksum'),
        locked("serde", "1.0.9", source=""),
    ),
    "src/main.rs": "fn main() {}\n",
    "patched/Cargo.toml": crate("serde", "1.0.9"),
    "patched/src/lib.rs": "",
}


async def test_a_private_layer_serves_its_own_project_alone(shop: Workshop):
    """Law 6."""
    await shop.build(PATCHED, project="one")
    shop.ran()

    own = await shop.build({**PATCHED, "src/main.rs": "fn main() { }\n"}, project="one")
    assert (own.reuse.rung, shop.ran()) == (Rung.LAYER, ["compile"])
    other = await shop.build({**PATCHED, "src/main.rs": "fn main() { }\n"}, project="two")
    assert (other.reuse.rung, shop.ran()) == (Rung.NONE, ["cook", "settle", "compile"])


async def test_a_made_lock_is_kept_and_used_again(shop: Workshop):
    heard = Heard()
    first = await shop.build(UNLOCKED, progress=heard)
    assert shop.ran() == ["lock", "fetch", "cook", "settle", "compile"]
    assert any("Cargo.lock" in note for note in first.reuse.notes)
    assert set(first.reuse.notes) <= set(heard.notes)
    assert first.lockfile is not None
    shop.cargo.lock = shop.cargo.lock.replace("1.0.0", "1.0.9")

    told = await shop.explain({**UNLOCKED, "src/main.rs": "fn main() { }\n"})
    second = await shop.build({**UNLOCKED, "src/main.rs": "fn main() { }\n"})

    assert shop.ran() == ["compile"]
    assert second.lockfile == first.lockfile
    assert (told.rung, told.refusals) == (second.reuse.rung, second.reuse.refusals)
    assert (await shop.build(UNLOCKED)).reuse.rung is Rung.RESULT


async def test_a_clean_build_makes_its_lock_anew(shop: Workshop):
    first = await shop.build(UNLOCKED)
    shop.cargo.lock = shop.cargo.lock + "# another\n"
    shop.ran()

    told = await shop.explain(UNLOCKED, reuse=Reuse.NOTHING)
    second = await shop.build(UNLOCKED, reuse=Reuse.NOTHING)

    assert "lock" in shop.ran()
    assert second.lockfile != first.lockfile
    assert told.rung is Rung.NONE


async def test_explain_says_that_dependencies_are_unknown_before_a_lock_is_made(shop: Workshop):
    told = await shop.explain(UNLOCKED)

    assert told.dependencies == 0
    assert any("a build makes one first" in note for note in told.notes)
    assert shop.ran() == []


async def test_two_builds_without_a_lock_at_once_get_the_same_one(shop: Workshop):
    shop.cargo.pause = 0.02

    outcomes = await asyncio.gather(shop.build(UNLOCKED), shop.build(UNLOCKED))

    assert shop.ran().count("lock") == 1
    assert len({outcome.lockfile for outcome in outcomes}) == 1


async def test_locks_are_not_shared_between_scopes(shop: Workshop):
    await shop.build(UNLOCKED, scope="one")
    shop.ran()

    await shop.build(UNLOCKED, scope="two")

    assert shop.ran()[:2] == ["lock", "fetch"]


async def test_a_tag_never_moves_to_an_older_build_that_finishes_later(shop: Workshop):
    heard = Heard()
    newer = await shop.build(edited("newer"), sequence=20, tags=("app", "app:20"))

    older = await shop.build(edited("older"), sequence=10, tags=("app", "app:10"), progress=heard)

    assert shop.tagged("app:latest") == newer.images[0].image_id
    assert shop.tagged("app:10") == older.images[0].image_id
    assert older.images[0].tags == ("app:10",)
    assert older.images[0].reference == "app:10", "what is run by it is what was built"
    assert "app:latest stays with the image of a newer build." in heard.notes


async def test_an_older_build_without_a_tag_of_its_own_is_named_by_its_id(shop: Workshop):
    await shop.build(edited("newer"), sequence=20)

    older = await shop.build(edited("older"), sequence=10)

    assert older.images[0].tags == ()
    assert older.images[0].reference == older.images[0].image_id
    assert older.images[0].image_id in shop.runtime_images()


async def test_a_result_that_is_published_again_moves_its_tag_back(shop: Workshop):
    first = await shop.build(edited("one"))
    await shop.build(edited("two"))

    again = await shop.build(edited("one"))

    assert again.reuse.rung is Rung.RESULT
    assert shop.tagged("app:latest") == first.images[0].image_id


async def test_a_result_goes_under_the_tags_of_the_build_that_asks(shop: Workshop):
    await shop.build(tags=("one",))

    again = await shop.build(tags=("two", "three"))

    assert again.reuse.rung is Rung.RESULT
    assert again.images[0].tags == ("two:latest", "three:latest")
    assert shop.tagged("one:latest") == shop.tagged("three:latest") == again.images[0].image_id


TWO = {
    **SIMPLE,
    "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\n')
    + '[[bin]]\nname = "serve"\npath = "src/main.rs"\n[[bin]]\nname = "migrate"\npath = "src/migrate.rs"\n',
    "src/migrate.rs": "fn main() {}\n",
}


async def test_several_binaries_of_one_compile_become_several_images(shop: Workshop):
    asked = (ImageRequest(binary="serve", tags=("serve",)), ImageRequest(binary="migrate", tags=("migrate",)))

    outcome = await shop.build(TWO, images=asked)

    assert shop.ran().count("compile") == 1
    assert [(image.binary, image.reference) for image in outcome.images] == [
        ("serve", "serve:latest"),
        ("migrate", "migrate:latest"),
    ]
    assert shop.tagged("serve:latest") != shop.tagged("migrate:latest")
    again = await shop.build(TWO, images=asked)
    assert (again.reuse.rung, again.images) == (Rung.RESULT, outcome.images)


async def test_if_one_of_several_images_does_not_pass_its_check_none_is_tagged(shop: Workshop):
    asked = (ImageRequest(binary="serve", tags=("serve",)), ImageRequest(binary="migrate", tags=("migrate",)))
    checks = 0

    async def second_check_fails(step: Step) -> int | Exit:
        nonlocal checks
        if "bloomery.step" not in step.spec.labels:
            checks += 1
            return 0 if checks == 1 else 1
        return await shop.cargo(step)

    shop.engine.script(second_check_fails)

    with pytest.raises(Exception, match="exit code 1"):
        await shop.build(TWO, images=asked, check=("/bin/true",))
    assert checks == 2
    assert (shop.tagged("serve:latest"), shop.tagged("migrate:latest")) == (None, None)
    assert shop.runtime_images() == set()


async def test_a_toolchain_that_was_made_since_the_list_was_is_found(shop: Workshop):
    made = stable(shop.engine.add_image("bloomery/toolchain:nightly").id, release="1.97.0-nightly")
    with pytest.raises(UnknownToolchain):
        await shop.build(toolchain="nightly")
    shop.offered.made = [made]

    assert (await shop.build(toolchain="nightly")).reuse.rung is Rung.NONE


async def test_a_tree_that_is_not_here_is_refused(shop: Workshop):
    for digest in ("sha256:" + "0" * 64, "no digest"):
        with pytest.raises(UnknownTree):
            await shop.run(BuildRequest(tree=digest))


async def test_a_directory_without_a_manifest_is_refused(shop: Workshop):
    with pytest.raises(NoManifest, match="at src"):
        await shop.build(directory="src")


async def test_warnings_of_the_compiler_are_kept_with_the_outcome(shop: Workshop):
    warning = (
        '{"reason":"compiler-message","package_id":"path+file:///work#app@0.3.0","message":{"level":"warning",'
        '"message":"unused variable","spans":[],"rendered":"warning: unused variable\\n"}}\n'
    )

    async def warns(step: Step) -> int | Exit:
        if step.spec.labels["bloomery.step"] == "compile":
            step.print(warning)
        return await shop.cargo(step)

    shop.engine.script(warns)
    heard = Heard()

    outcome = await shop.build(progress=heard)

    assert [diagnostic.message for diagnostic in outcome.diagnostics] == ["unused variable"]
    assert heard.diagnostics == list(outcome.diagnostics)
    assert (await shop.build()).diagnostics == outcome.diagnostics
