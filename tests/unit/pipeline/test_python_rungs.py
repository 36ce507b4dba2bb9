"""Builds of Python projects: which rung they stand on, what is installed for them, and what they leave."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.errors import Failure
from cache.reuse import Rung, WhyNot
from daemon.builds import Outcome, Reuse, StageName
from daemon.engine.engine import Network
from daemon.errors import (
    CheckFailed,
    EngineRefused,
    FetchFailed,
    GroundRevoked,
    OutputTooLarge,
    RegistryUnreachable,
    StoredFileDamaged,
    Unresolvable,
)
from daemon.maintenance import Trial
from tests.fakes.engine import Exit, Step
from tests.fakes.progress import Heard
from tests.fakes.python_packages import Distribution, wheel
from tests.fakes.python_projects import (
    APPLE,
    BERRY,
    CHERRY,
    PROGRAM,
    SIMPLE,
    SITE,
    TOOL,
    built_with,
    project,
)
from tests.fakes.python_shop import QUINCE, RHUBARB, PythonShop, python_shop
from tests.fakes.rust_projects import Files
from tests.fakes.uv import purpose_of

EDITED: Files = {**SIMPLE, "app.py": "import berry\n"}
MORE = project(APPLE, BERRY, CHERRY)
OTHER: Files = {**SIMPLE, "app.py": "import berry, apple\n", "more.py": ""}
SDISTS = project(APPLE, QUINCE, RHUBARB, building=(TOOL,))
PINNED: Files = {**PROGRAM, "requirements.txt": f"apple==1.0 --hash=sha256:{APPLE.sha256}\n"}
UNLOCKED: Files = {**PROGRAM, "requirements.txt": "apple\nquince\n"}
ALL_STEPS = ["fetch", "install"]


@pytest.fixture
async def yard(tmp_path: Path, program: bytes) -> AsyncIterator[PythonShop]:
    async with python_shop(tmp_path, program) as made:
        yield made


def refusals(outcome: Outcome) -> list[tuple[Rung, WhyNot]]:
    return [(one.rung, one.why) for one in outcome.reuse.refusals]


# --- the rungs


async def test_the_first_build_installs_everything(yard: PythonShop):
    heard = Heard()

    outcome = await yard.build(progress=heard)

    assert yard.ran() == ALL_STEPS
    assert yard.installed() == [["apple 1.0", "berry 1.0"]]
    assert outcome.reuse.rung is Rung.NONE
    assert refusals(outcome) == [
        (Rung.RESULT, WhyNot.FIRST_BUILD),
        (Rung.OBSERVED, WhyNot.FIRST_BUILD),
        (Rung.LAYER, WhyNot.FIRST_BUILD),
        (Rung.UNITS, WhyNot.NOT_STORED),
    ]
    assert (outcome.ecosystem, outcome.reuse.dependencies, outcome.reuse.reused) == ("python", 2, 0)
    assert outcome.reuse.compiled == ("apple 1.0", "berry 1.0")
    assert heard.stages == [
        StageName.PLAN,
        StageName.FETCH,
        StageName.INSTALL,
        StageName.ASSEMBLE,
        StageName.CHECK,
        StageName.PUBLISH,
    ]
    (image,) = outcome.images
    assert (image.binary, image.tags) == ("app", ("app:latest",))
    assert yard.shop.tagged("app:latest") == image.image_id
    await yard.shop.assert_nothing_is_left()


async def test_an_image_holds_interpreter_packages_and_application_and_nothing_of_the_installation(yard: PythonShop):
    found = await yard.contents(await yard.build())

    packages = {
        f"{SITE}/{path}"
        for name in ("apple", "berry")
        for path in (
            *(f"{name}.py", f"__pycache__/{name}.cpython-311.pyc"),
            *(f"{name}-1.0.dist-info/{file}" for file in ("METADATA", "WHEEL", "INSTALLER", "RECORD")),
        )
    }
    assert {path for path, entry in found.items() if entry.kind == "file"} == packages | {
        *("/usr/bin/python3.11", "/usr/lib/python3.11/os.py", "/env/pyvenv.cfg"),
        *(f"{SITE}/app.pth", "/app/app.py", "/etc/passwd", "/etc/group"),
    }
    assert found["/env/bin/python"].target == "/usr/bin/python3.11"
    assert found[f"{SITE}/apple.py"].reason == "package: apple 1.0"
    assert found["/app/app.py"].reason == "application: app.py"


async def test_only_the_steps_that_fetch_have_a_network_and_what_goes_with_it(yard: PythonShop):
    found: dict[str, str] = {}

    async def watched(step: Step) -> int | Exit:
        everything = [f"{name}={value}" for name, value in step.environment.items()]
        everything += [(member.content or b"").decode(errors="replace") for member in step.files.values()]
        found[purpose_of(step)] = "\n".join(everything)
        return await yard.uv(step)

    yard.shop.engine.script(watched)
    await yard.build(UNLOCKED)

    assert yard.uv.networks == {"lock": "bridge", "fetch": "bridge", "install": "none"}
    for secret in ("http://proxy.example.org", "the bundle"):
        assert {purpose for purpose, all_of_it in found.items() if secret in all_of_it} == {"lock", "fetch"}


async def test_sources_are_in_no_sandbox(yard: PythonShop):
    secret = "nobody but the image has this"
    seen: list[bytes] = []

    async def watched(step: Step) -> int | Exit:
        seen.extend(member.content or b"" for member in step.files.values())
        return await yard.uv(step)

    yard.shop.engine.script(watched)
    await yard.build({**UNLOCKED, "app.py": f"# {secret}\n"})

    assert seen
    assert not any(secret.encode() in content for content in seen)


async def test_nothing_changed_is_answered_from_the_result(yard: PythonShop):
    cold = await yard.build()
    yard.ran()
    heard = Heard()

    outcome = await yard.build(progress=heard)

    assert yard.ran() == []
    assert (outcome.reuse.rung, outcome.reuse.refusals) == (Rung.RESULT, ())
    assert outcome.images == cold.images
    assert heard.stages == [StageName.PLAN, StageName.PUBLISH]


async def test_an_edit_stands_on_the_environment_and_makes_no_sandbox_at_all(yard: PythonShop):
    cold = await yard.build()
    yard.ran()
    yard.created()
    heard = Heard()

    outcome = await yard.build(EDITED, progress=heard)

    assert (yard.ran(), yard.created()) == ([], [])
    assert outcome.reuse.rung is Rung.LAYER
    assert refusals(outcome) == [(Rung.RESULT, WhyNot.KEY_CHANGED), (Rung.OBSERVED, WhyNot.NOT_OBSERVED)]
    assert (outcome.reuse.compiled, outcome.reuse.reused) == ((), 2)
    assert outcome.images[0].digest != cold.images[0].digest
    assert heard.notes == []
    assert (await yard.contents(outcome))["/app/app.py"].digest == str(Digest.of(b"import berry\n"))


async def test_a_dependency_more_is_installed_and_no_other(yard: PythonShop):
    await yard.build()
    yard.installed()
    yard.uv.downloaded.clear()

    outcome = await yard.build(MORE)

    assert yard.installed() == [["cherry 1.0"]]
    assert yard.uv.downloaded == [CHERRY.file]
    assert outcome.reuse.rung is Rung.UNITS
    assert (outcome.reuse.compiled, outcome.reuse.reused) == (("cherry 1.0",), 2)
    (layer,) = [one for one in outcome.reuse.refusals if one.rung is Rung.LAYER]
    assert layer.why is WhyNot.KEY_CHANGED
    assert [one.label for one in layer.differences] == ["packages"]
    assert {f"{SITE}/{name}.py" for name in ("apple", "berry", "cherry")} <= (await yard.contents(outcome)).keys()
    await yard.shop.assert_nothing_is_left()


async def test_another_version_is_installed_and_the_old_one_is_not_in_the_image(yard: PythonShop):
    newer = wheel("apple", "1.1")
    yard.uv.packages.append(newer)
    await yard.build()
    yard.installed()

    found = await yard.contents(await yard.build(project(newer, BERRY)))

    assert yard.installed() == [["apple 1.1"]]
    assert f"{SITE}/apple-1.1.dist-info/METADATA" in found
    assert f"{SITE}/apple-1.0.dist-info/METADATA" not in found


async def test_a_dependency_less_needs_no_sandbox_and_is_gone_from_the_image(yard: PythonShop):
    await yard.build()
    yard.ran()
    yard.created()

    outcome = await yard.build(project(APPLE))

    assert (yard.ran(), yard.created()) == ([], [])
    assert outcome.reuse.rung is Rung.UNITS
    assert f"{SITE}/berry.py" not in await yard.contents(outcome)


async def test_another_project_with_the_same_packages_installs_nothing(yard: PythonShop):
    await yard.build(MORE, project="one")
    yard.ran()
    yard.created()

    outcome = await yard.build(project="two")

    assert (yard.ran(), yard.created()) == ([], [])
    assert outcome.reuse.rung is Rung.UNITS
    assert (outcome.project, outcome.reuse.compiled, outcome.reuse.reused) == ("two", (), 2)
    (layer,) = [one for one in outcome.reuse.refusals if one.rung is Rung.LAYER]
    assert layer.why is WhyNot.FIRST_BUILD


async def test_what_was_put_together_of_kept_packages_is_an_environment_from_then_on(yard: PythonShop):
    await yard.build(MORE, project="one")
    await yard.build(project="two")

    assert (await yard.build(EDITED, project="two")).reuse.rung is Rung.LAYER


async def test_two_scopes_share_nothing(yard: PythonShop):
    """Law 7."""
    await yard.build(scope="one")
    yard.ran()
    yard.uv.downloaded.clear()

    outcome = await yard.build(scope="two")

    assert yard.ran() == ALL_STEPS
    assert sorted(yard.uv.downloaded) == [APPLE.file, BERRY.file]
    assert outcome.reuse.rung is Rung.NONE


async def test_a_project_without_dependencies_needs_no_sandbox(yard: PythonShop):
    outcome = await yard.build(project())

    assert yard.ran() == []
    assert outcome.reuse.rung is Rung.NONE
    assert (await yard.build({**project(), "app.py": "pass\n"})).reuse.rung is Rung.LAYER


# --- clean builds


async def test_a_clean_build_installs_all_anew_and_comes_to_the_same_image(yard: PythonShop):
    cold = await yard.build()
    yard.ran()
    yard.installed()
    yard.uv.downloaded.clear()

    clean = await yard.build(reuse=Reuse.NOTHING)

    assert yard.ran() == ALL_STEPS
    assert yard.installed() == [["apple 1.0", "berry 1.0"]]
    assert sorted(yard.uv.downloaded) == [APPLE.file, BERRY.file]
    assert {why for _, why in refusals(clean)} == {WhyNot.ASKED_NOT_TO}
    assert clean.reuse.rung is Rung.NONE
    assert clean.images[0].digest == cold.images[0].digest
    await yard.shop.assert_nothing_is_left()


@pytest.mark.parametrize("before", [SIMPLE, MORE, project(BERRY), project(APPLE)], ids=["layer", "more", "b", "a"])
async def test_whatever_was_reused_an_image_is_that_of_a_clean_build(yard: PythonShop, before: Files):
    await yard.build(before)

    reused = await yard.build(EDITED)

    assert reused.reuse.rung in {Rung.LAYER, Rung.UNITS}
    assert reused.images[0].digest == await yard.shop.clean(EDITED)


# --- sdists and locks


async def test_programs_of_packages_can_be_started(yard: PythonShop):
    served = wheel("served", scripts={"serve": "served:main"})
    yard.uv.packages.append(served)

    found = await yard.contents(await yard.build(project(served), check=("serve", "--help")))

    assert found["/env/bin/serve"].mode == 0o755
    assert found["/env/bin/serve"].reason == "package: served 1.0"
    assert yard.ran() == [*ALL_STEPS, "check"]


async def test_each_sdist_is_built_in_a_sandbox_of_its_own_with_what_it_is_built_with(yard: PythonShop):
    outcome = await yard.build(SDISTS)

    assert yard.ran() == ALL_STEPS * 3
    assert yard.installed() == [["apple 1.0"], ["quince 1.0"], ["rhubarb 1.0"]]
    assert yard.uv.beside == [[APPLE.file], [QUINCE.file, TOOL.file], [RHUBARB.file, TOOL.file]]
    assert sorted(yard.uv.downloaded) == sorted([APPLE.file, QUINCE.file, RHUBARB.file, TOOL.file])
    found = await yard.contents(outcome)
    assert {f"{SITE}/{name}.py" for name in ("apple", "quince", "rhubarb")} <= found.keys()
    assert f"{SITE}/tool.py" not in found
    await yard.shop.assert_nothing_is_left()


async def test_an_sdist_that_does_not_build_fails_the_build_and_the_others_are_fetched(yard: PythonShop):
    yard.uv.packages.remove(TOOL)

    with pytest.raises(FetchFailed, match="404"):
        await yard.build(SDISTS)

    await yard.shop.assert_nothing_is_left()


async def test_without_a_lock_one_is_made_told_and_kept(yard: PythonShop):
    heard = Heard()

    outcome = await yard.build(UNLOCKED, progress=heard)

    assert yard.ran() == ["lock", *ALL_STEPS * 2]
    assert yard.installed() == [["apple 1.0"], ["quince 1.0"]]
    assert outcome.lockfile is not None
    lock = yard.shop.store.blobs.read(Digest.parse(outcome.lockfile)).decode()
    assert "tool.bloomery.build.packages" in lock
    assert any(note.startswith("There is no lock: one was made") for note in heard.notes)
    assert (await yard.build({**UNLOCKED, "app.py": "pass\n"})).reuse.rung is Rung.LAYER
    assert yard.ran() == []


async def test_a_lock_that_does_not_say_what_its_sdists_are_built_with_is_made_whole(yard: PythonShop):
    outcome = await yard.build(project(APPLE, QUINCE))

    assert yard.ran() == ["lock", *ALL_STEPS * 2]
    assert outcome.reuse.notes == ()


async def test_an_sdist_that_is_built_with_nothing_is_built(yard: PythonShop):
    alone = built_with(name="alone")
    yard.uv.packages.append(alone)

    outcome = await yard.build(project(alone))

    assert yard.installed() == [["alone 1.0"]]
    assert f"{SITE}/alone.py" in await yard.contents(outcome)


async def test_what_nobody_has_cannot_be_locked(yard: PythonShop):
    with pytest.raises(Unresolvable, match="nothing was not found"):
        await yard.build({**PROGRAM, "requirements.txt": "nothing\n"})
    await yard.shop.assert_nothing_is_left()


# --- what is lost or damaged


async def lost(yard: PythonShop, package: str) -> None:
    """A blob of a package is gone."""
    kept = await yard.kept()
    (path,) = [one for one in kept[package].fetched.files if one.path == f"{SITE}/{package}.py"]
    yard.shop.store.blobs.remove(Digest.parse(path.digest))


async def test_a_package_that_has_lost_a_file_is_installed_again_with_a_note_and_no_other(yard: PythonShop):
    """Law 9."""
    await yard.build()
    yard.ran()
    yard.installed()
    await lost(yard, "apple")
    heard = Heard()

    outcome = await yard.build(EDITED, progress=heard)

    assert yard.installed() == [["apple 1.0"]]
    assert yard.ran() == ["install"], "what was fetched is here"
    assert heard.notes == ["A part of the kept environment is gone from here; it is made again."]
    assert outcome.reuse.rung is Rung.UNITS
    assert (Rung.LAYER, WhyNot.PRUNED) in refusals(outcome)
    assert outcome.images[0].digest == await yard.shop.clean(EDITED)


async def damaged(yard: PythonShop, digest: Digest) -> None:
    """A blob has another content, as long as its own."""
    path = yard.shop.store.blobs.path(digest)
    path.write_bytes(bytes(path.stat().st_size))


async def test_a_package_with_a_damaged_file_is_installed_again_by_the_next_attempt(yard: PythonShop):
    """Law 9."""
    await yard.build()
    yard.installed()
    (path,) = [one for one in (await yard.kept())["apple"].fetched.files if one.path == f"{SITE}/apple.py"]
    await damaged(yard, Digest.parse(path.digest))

    with pytest.raises(StoredFileDamaged):
        await yard.build(MORE)
    outcome = await yard.build(MORE)

    assert yard.installed() == [["cherry 1.0"], ["apple 1.0"]]
    assert outcome.images[0].digest == await yard.shop.clean(MORE)
    await yard.shop.assert_nothing_is_left()


@pytest.mark.parametrize("number", [0, 1], ids=["interpreter", "packages"])
async def test_a_damaged_layer_is_written_again_by_the_next_attempt(yard: PythonShop, number: int):
    """Law 9."""
    cold = await yard.build()
    manifest = json.loads(yard.shop.store.blobs.read(Digest.parse(cold.images[0].digest)))
    await damaged(yard, Digest.parse(manifest["layers"][number]["digest"]))

    with pytest.raises(StoredFileDamaged):
        await yard.build(EDITED)
    outcome = await yard.build(EDITED)

    assert outcome.images[0].digest == await yard.shop.clean(EDITED)
    await yard.shop.assert_nothing_is_left()


@pytest.mark.parametrize("number", [0, 1, 2], ids=["interpreter", "packages", "application"])
async def test_a_lost_layer_is_written_again(yard: PythonShop, number: int):
    """Law 9."""
    cold = await yard.build()
    manifest = json.loads(yard.shop.store.blobs.read(Digest.parse(cold.images[0].digest)))
    yard.shop.store.blobs.remove(Digest.parse(manifest["layers"][number]["digest"]))

    again = await yard.build()

    assert again.reuse.rung is Rung.LAYER
    assert again.images[0].digest == cold.images[0].digest
    await yard.shop.assert_nothing_is_left()


async def test_a_row_that_says_nothing_is_a_package_that_is_not_kept(yard: PythonShop):
    await yard.build()
    yard.installed()
    await yard.shop.store._database.write(
        lambda tables: tables.execute(
            "UPDATE kept_packages SET value = CAST('no' AS BLOB) WHERE name LIKE 'apple 1.0%'"
        )
    )

    await yard.build(EDITED)

    assert yard.installed() == [["apple 1.0"]]


async def test_a_row_that_names_no_blob_is_a_package_that_is_not_kept(yard: PythonShop):
    await yard.build()
    yard.installed()
    await yard.shop.store._database.write(
        lambda tables: tables.execute(
            "UPDATE kept_packages SET value = CAST(replace(value, 'sha256:', 'sha0:') AS BLOB)"
        )
    )

    await yard.build(EDITED)

    assert yard.installed() == [["apple 1.0", "berry 1.0"]]


async def test_a_wheel_that_is_lost_is_fetched_again(yard: PythonShop):
    await yard.build()
    yard.uv.downloaded.clear()
    await lost(yard, "apple")
    yard.shop.store.blobs.remove(Digest.of(APPLE.content))

    await yard.build(EDITED)

    assert yard.uv.downloaded == [APPLE.file]


async def test_a_file_with_another_content_than_the_lock_says_fails_the_build(yard: PythonShop):
    other = Distribution(APPLE.name, APPLE.version, APPLE.file, b"other")
    yard.uv.packages[0] = other

    with pytest.raises(FetchFailed, match="has sha256"):
        await yard.build()
    assert await yard.kept() == {}
    await yard.shop.assert_nothing_is_left()


async def test_an_index_that_is_away_fails_the_build_and_the_next_one_is_whole(yard: PythonShop):
    yard.uv.failures["fetch"] = (75, "error: https://index.example.org/files/apple: timed out\n")
    with pytest.raises(RegistryUnreachable):
        await yard.build()

    yard.uv.failures.clear()
    assert (await yard.build()).reuse.rung is Rung.NONE


async def test_an_environment_without_anything_is_an_output_that_is_refused(yard: PythonShop):
    async def idle(step: Step) -> int | Exit:
        return 0 if purpose_of(step) == "install" else await yard.uv(step)

    yard.shop.engine.script(idle)

    with pytest.raises(Failure, match="left nothing at /target/env"):
        await yard.build()
    assert await yard.kept() == {}


async def test_an_environment_that_is_too_large_is_refused(yard: PythonShop):
    async def large(step: Step) -> int | Exit:
        code = await yard.uv(step)
        if purpose_of(step) == "install":
            step.write("/target/env.tar", bytes(65 << 20))
        return code

    yard.shop.engine.script(large)

    with pytest.raises(OutputTooLarge):
        await yard.build()
    await yard.shop.assert_nothing_is_left()


async def test_an_image_whose_check_fails_is_not_tagged(yard: PythonShop):
    yard.uv.failures["check"] = (1, "no\n")

    with pytest.raises(CheckFailed):
        await yard.build(check=("python", "-c", "import apple"))
    assert yard.shop.tagged("app:latest") is None


# --- an engine in trouble


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("method", ["sandboxes.create", "sandboxes.put", "sandboxes.run", "sandboxes.get"])
async def test_an_engine_that_refuses_in_the_middle_leaves_no_sandbox(yard: PythonShop, method: str, times: int):
    calls = 0
    enter = yard.shop.engine.enter

    def refusing(name: str, subject: str) -> None:
        nonlocal calls
        calls += name == method
        if name == method and calls == times:
            raise EngineRefused("no")
        enter(name, subject)

    yard.shop.engine.enter = refusing  # type: ignore[method-assign]
    try:
        await yard.build()
    except EngineRefused:
        assert calls == times
    else:
        assert calls < times
    await yard.shop.assert_nothing_is_left()

    yard.shop.engine.enter = enter  # type: ignore[method-assign]
    outcome = await yard.build(EDITED)
    assert outcome.images[0].digest == await yard.shop.clean(EDITED)
    await yard.shop.assert_nothing_is_left()


async def test_a_sandbox_that_cannot_be_taken_off_its_network_is_not_installed_in(yard: PythonShop):
    yard.shop.engine.fail("isolate", EngineRefused("no"))
    heard = Heard()

    await yard.build(progress=heard)

    assert yard.created()[:2] == ["fetch", "install"]
    assert yard.uv.networks == {"fetch": "bridge", "install": "none"}
    assert any("of its own" in note for note in heard.notes)


async def test_a_sandbox_that_has_its_network_again_is_left_for_another(yard: PythonShop):
    begun = 0

    async def connected(step: Step) -> int | Exit:
        nonlocal begun
        begun += purpose_of(step) == "install"
        return 199 if purpose_of(step) == "install" and begun == 1 else await yard.uv(step)

    yard.shop.engine.script(connected)
    heard = Heard()

    outcome = await yard.build(progress=heard)

    assert yard.created()[:2] == ["fetch", "install"]
    assert any(note.startswith("Packages are installed in a sandbox of their own") for note in heard.notes)
    assert outcome.reuse.compiled == ("apple 1.0", "berry 1.0")
    await yard.shop.assert_nothing_is_left()


async def test_on_the_hosts_network_packages_are_installed_in_a_sandbox_of_their_own(yard: PythonShop):
    yard.shop.network = Network.HOST
    yard.shop.compose()

    await yard.build()

    assert yard.created()[:2] == ["fetch", "install"]
    assert yard.uv.networks == {"fetch": "host", "install": "none"}


@pytest.mark.parametrize("network", [Network.BRIDGE, Network.HOST])
async def test_a_small_environment_is_made_in_memory_and_one_that_is_built_here_is_not(
    yard: PythonShop, network: Network
):
    yard.shop.network = network
    yard.shop.compose()

    outcome = await yard.build(SDISTS)

    assert list(zip(yard.uv.installed, yard.uv.in_memory, strict=True)) == [
        (["apple 1.0"], ("/env",)),
        (["quince 1.0"], ()),
        (["rhubarb 1.0"], ()),
    ]
    assert f"{SITE}/apple.py" in await yard.contents(outcome)


# --- at the same time


async def test_two_builds_at_once_install_a_package_once(yard: PythonShop):
    yard.uv.pause = 0.05

    outcomes = await asyncio.gather(yard.build(), yard.build(EDITED), yard.build(MORE))

    installed = [package for part in yard.installed() for package in part]
    assert sorted(installed) == ["apple 1.0", "berry 1.0", "cherry 1.0"]
    assert sorted(yard.uv.downloaded) == sorted([APPLE.file, BERRY.file, CHERRY.file])
    assert [len(one.reuse.compiled) + one.reuse.reused for one in outcomes] == [2, 2, 3]
    for files, outcome in zip((SIMPLE, EDITED, MORE), outcomes, strict=True):
        assert outcome.images[0].digest == await yard.shop.clean(files)
    await yard.shop.assert_nothing_is_left()


async def test_a_build_that_is_cancelled_leaves_no_sandbox(yard: PythonShop):
    yard.uv.pause = 30.0
    building = asyncio.create_task(yard.build())
    async with asyncio.timeout(10):
        while not yard.uv.ran:  # noqa: ASYNC110 - the fake sets no event
            await asyncio.sleep(0.01)

    building.cancel()
    await asyncio.wait({building})

    assert building.cancelled()
    yard.uv.pause = 0.0
    await yard.shop.assert_nothing_is_left()
    assert (await yard.build()).reuse.rung is Rung.NONE


# --- the proof


async def verified(yard: PythonShop) -> str:
    """What came of the last verification."""
    rows = await yard.shop.store._database.read(
        lambda tables: tables.execute("SELECT result FROM verifications ORDER BY at DESC LIMIT 1").fetchall()
    )
    return str(rows[0][0])


@pytest.mark.parametrize("files", [SIMPLE, EDITED, MORE, project(APPLE)], ids=["result", "layer", "more", "less"])
async def test_what_was_reused_rightly_is_found_equal_and_nothing_of_the_proof_stays(yard: PythonShop, files: Files):
    await yard.build()
    await yard.build(files, verify=True)
    before = await yard.kept()
    yard.installed()

    await yard.shop.verify()

    assert await verified(yard) == "equal"
    assert await yard.kept() == before
    assert sum(len(part) for part in yard.installed()) == str(files["pylock.toml"]).count("[[packages]]")
    await yard.shop.assert_nothing_is_left()


async def test_an_environment_that_was_tampered_with_is_found_and_revoked(yard: PythonShop):
    await yard.build()
    await yard.tamper("apple", f"{SITE}/apple.py", b"steal()\n")
    wrong = await yard.build(EDITED, verify=True)
    assert wrong.reuse.rung is Rung.LAYER
    yard.installed()

    await yard.shop.verify()

    assert await verified(yard) == "different"
    again = await yard.build(EDITED)
    assert again.reuse.rung is Rung.NONE
    assert again.images[0].digest == await yard.shop.clean(EDITED) != wrong.images[0].digest
    await yard.shop.assert_nothing_is_left()


async def test_packages_that_do_not_install_the_same_twice_prove_nothing(yard: PythonShop):
    await yard.build()
    numbers = iter(range(100))

    await yard.build(EDITED, verify=True)
    yard.uv.besides = lambda step: step.write(f"{SITE}/apple.py", f"{next(numbers)}\n".encode())
    await yard.shop.verify()

    assert await verified(yard) == "unstable"
    assert (await yard.build({**EDITED, "more.py": ""})).reuse.rung is Rung.LAYER


async def test_what_runs_while_something_is_revoked_leaves_nothing_and_fails_where_it_reused(yard: PythonShop):
    await yard.build()
    kept = await yard.kept()
    begun = asyncio.Event()

    async def slow(step: Step) -> int | Exit:
        begun.set()
        await asyncio.sleep(0.05)
        return await yard.uv(step)

    yard.shop.engine.script(slow)
    building = asyncio.create_task(yard.build(MORE))
    await begun.wait()
    with yard.shop.attempts.revoking("default"), pytest.raises(GroundRevoked):
        await building

    assert await yard.kept() == kept


# --- what is kept


async def test_packages_count_in_the_cache_and_go_with_it(yard: PythonShop):
    await yard.build()

    before = await yard.shop.maintenance.contents()

    counted = {str(tally.kind): tally for tally in before.kinds if tally.records}
    packages, files, lists, layers = 2, 2, 2, 2
    assert {kind: tally.records for kind, tally in counted.items()} == {
        "result": 1,
        "fetched": packages + files + lists + layers,
        "tree": 1,
    }
    named = {file.digest: file.size for one in (await yard.kept()).values() for file in one.fetched.files}
    assert counted["fetched"].size > sum(named.values())

    yard.shop.later = 3600.0
    gone = await yard.shop.maintenance.prune(0, Trial.REAL)

    assert gone == before
    assert await yard.kept() == {}
    assert not any(yard.shop.store.blobs.has(Digest.parse(digest)) for digest in named)
    yard.ran()
    assert (await yard.build(EDITED)).reuse.rung is Rung.NONE
    assert yard.ran() == ALL_STEPS


async def test_explain_says_what_a_build_then_does(yard: PythonShop):
    for files in (SIMPLE, SIMPLE, EDITED, MORE, project(APPLE)):
        told = await yard.shop.explain(files)
        done = await yard.build(files)

        assert (told.rung, told.refusals) == (done.reuse.rung, done.reuse.refusals)
        assert told.dependencies == done.reuse.dependencies


async def test_explain_knows_a_lock_that_was_made_before(yard: PythonShop):
    assert (await yard.shop.explain(PINNED)).rung is Rung.NONE
    assert yard.ran() == []
    await yard.build(PINNED)

    assert (await yard.shop.explain(PINNED)).rung is Rung.RESULT
    assert (await yard.shop.explain({**PINNED, "app.py": "pass\n"})).rung is Rung.LAYER
    assert (await yard.shop.explain({**PINNED, "requirements.txt": "apple\n"})).rung is Rung.NONE
