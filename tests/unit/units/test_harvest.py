"""What of a target directory is stored, and why the rest is not: the files of a cook are hostile."""

import tarfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from cache.digest import Digest
from cache.store import Store
from cache.units import UnitKind, UnitOrigin
from daemon.ecosystems.rust.messages import Artifact
from daemon.ecosystems.rust.package_id import PackageId
from daemon.units.cook import Cook, CookNotes, GivenUnit, LiveUnit, live_units
from daemon.units.harvest import Harvest, Harvester
from daemon.units.layout import Unfit, UnitId
from daemon.units.layout_v1 import LayoutV1
from daemon.units.placing import Placing
from daemon.units.target_directory import TargetLimits
from tests.fakes.rust_projects import REGISTRY
from tests.fakes.target_directories import (
    DIRECTORY,
    MadeUnit,
    Special,
    archive,
    build_script,
    library,
    link,
    script_run,
    second_name,
    streamed,
)

KEY = Digest.of(b"key")
SCRIPT = build_script("soil")
OUT = {"depth.rs": b"7", "link.rs": link("depth.rs"), "void": DIRECTORY, "deep/down": link("../depth.rs")}
RUN = script_run(SCRIPT, OUT)
SOIL = library("soil", RUN)
TREE = library("tree-tall", SOIL)
ALL = (SCRIPT, RUN, SOIL, TREE)
SAID = b'{"features": "%b", "profile": 1, "deps": [%b], "local": []}'


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "state")
    yield opened
    await opened.close()


def cook(units: Iterable[MadeUnit], **notes: object) -> Cook:
    """A cook whose messages named all of these, each of a registry's package that the lock proves."""
    live = [unit.live for unit in units]
    origins = {UnitOrigin(name=one.package.name, version="1.0.0", source=REGISTRY, proof="ab") for one in live}
    made = CookNotes(id=str(notes.pop("id", "one")), live=tuple(live), **notes)
    return Cook(scope="default", unit_key=KEY, origins=tuple(sorted(origins)), notes=made)


async def harvest(store: Store, tmp_path: Path, *units: MadeUnit, of: Cook | None = None, **limits: int) -> Harvest:
    harvester = Harvester(
        blobs=store.blobs,
        records=store,
        layout=LayoutV1(),
        scratch=tmp_path,
        limits=TargetLimits(**limits),
        clock=lambda: 5.0,
    )
    return await harvester.harvest(streamed(archive(*units)), of or cook(units))


async def why(store: Store, tmp_path: Path, asked: MadeUnit, *others: MadeUnit, **limits: int) -> Unfit:
    """Why this unit was refused."""
    came = await harvest(store, tmp_path, asked, *others, **limits)
    (refused,) = [one for one in came.refused if one.unit == asked.id]
    assert asked.id.unit_hash not in {one.unit_hash for one in came.stored}
    return refused.why


async def test_all_units_of_a_cook_are_stored_with_what_cargo_says_of_them(store: Store, tmp_path: Path):
    came = await harvest(store, tmp_path, *ALL)

    assert (came.refused, came.known, came.changed, came.unreadable) == ((), (), (), "")
    script, run, soil, tree = came.stored
    assert [one.kind for one in came.stored] == [
        UnitKind.BUILD_SCRIPT,
        UnitKind.RUN,
        UnitKind.LIBRARY,
        UnitKind.LIBRARY,
    ]
    assert (script.dependencies, run.dependencies) == ((), (script.digest,))
    assert (soil.dependencies, tree.dependencies) == ((run.digest,), (soil.digest,))
    assert tree == replace(
        tree,
        scope="default",
        unit_key=KEY,
        home="release",
        unit_hash=TREE.id.unit_hash,
        fingerprint=TREE.fingerprint,
        origin=UnitOrigin(name="tree-tall", version="1.0.0", source=REGISTRY, proof="ab"),
        features=("default", "std"),
        profile="2040997289075261528",
        platform="host",
        cook="one",
        created_at=5.0,
    )
    assert store.blobs.size(tree.blob) == tree.size
    assert set(await store.units("default", KEY, ["soil", "tree-tall"])) == set(came.stored)


async def test_what_is_put_back_is_what_cargo_wrote_without_what_only_time_counts_of(store: Store, tmp_path: Path):
    came = await harvest(store, tmp_path, *ALL)
    placing = Placing(blobs=store.blobs, layout=LayoutV1(), artefact_time=77)

    members = list(placing.members(came.stored))

    paths = [member.path.removeprefix("/target/") for member in members]
    wanted = {path for unit in ALL for path, content in unit.files.items() if content != DIRECTORY}
    assert set(paths) >= {path for path in wanted if not path.endswith(("/stderr", "/build-script-build"))}
    assert not [path for path in paths if path.endswith(("/stderr", "/build-script-build"))]
    assert len(set(paths)) == len(paths)
    assert {(member.mtime, member.uid, member.gid) for member in members} == {(77, 10001, 10001)}
    assert f"{RUN.place('build')}/out/void" in paths
    for unit in ALL:
        mine = [path for path in paths if unit.id.unit_hash in path]
        assert unit.files[mine[-1]] == unit.fingerprint.encode(), "the fingerprint comes last"
    above = set[str]()
    for path in paths:
        assert path.rpartition("/")[0] in above | {"", "/target"}, f"{path} comes before its directory"
        above.add(path)


async def test_a_unit_for_another_target_says_so(store: Store, tmp_path: Path):
    came = await harvest(store, tmp_path, library("soil", home="x86_64-unknown-linux-gnu/release"))

    assert [(one.platform, one.home) for one in came.stored] == [
        ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-gnu/release")
    ]


async def test_what_cargo_did_not_name_and_what_is_no_unit_is_passed_over(store: Store, tmp_path: Path):
    stray = library("stray")
    content = archive(*ALL, stray, more={"release/app": b"a binary", ".rustc_info.json": b"{}", "CACHEDIR.TAG": b""})
    harvester = Harvester(blobs=store.blobs, records=store, layout=LayoutV1(), scratch=tmp_path)

    came = await harvester.harvest(streamed(content), cook(ALL))

    assert {one.unit_hash for one in came.stored} == {unit.id.unit_hash for unit in ALL}
    assert await store.units("default", KEY, ["stray"]) == ()


# --- law 11: packages


async def test_law_11_a_package_that_the_lock_does_not_prove_is_not_stored_nor_what_stands_on_it(
    store: Store, tmp_path: Path
):
    whole = cook(ALL)
    unproved = replace(whole, origins=tuple(one for one in whole.origins if one.name != "soil"))

    came = await harvest(store, tmp_path, *ALL, of=unproved)

    assert {(one.words, one.why) for one in came.refused} == {
        ("soil 1.0.0", Unfit.NOT_FROM_OUTSIDE),
        ("tree-tall 1.0.0", Unfit.DEPENDENCY),
    }
    assert came.stored == ()


@pytest.mark.parametrize(
    "package",
    [
        PackageId(REGISTRY, "soil", "1.0.1"),
        PackageId("registry+elsewhere", "soil", "1.0.0"),
        PackageId("path+file:///work/soil", "soil", "1.0.0"),
    ],
    ids=["another version", "another registry", "a path"],
)
async def test_law_11_a_proof_is_of_one_package_alone(store: Store, tmp_path: Path, package: PackageId):
    whole = cook([SOIL])
    notes = CookNotes(id="one", live=(LiveUnit(unit=SOIL.id, package=package),))

    came = await harvest(store, tmp_path, library("soil"), of=replace(whole, notes=notes))

    assert [one.why for one in came.refused] == [Unfit.NOT_FROM_OUTSIDE]


async def test_a_unit_in_the_directories_of_another_package_is_refused(store: Store, tmp_path: Path):
    live = LiveUnit(unit=SOIL.id, package=PackageId(REGISTRY, "tree-tall", "1.0.0"))
    whole = cook([TREE])

    came = await harvest(store, tmp_path, library("soil"), of=replace(whole, notes=CookNotes(id="one", live=(live,))))

    assert [one.why for one in came.refused] == [Unfit.UNREADABLE]


# --- law 11: what is stored already


async def test_units_that_are_stored_already_are_known_and_not_stored_again(store: Store, tmp_path: Path):
    first = await harvest(store, tmp_path, SCRIPT, RUN, SOIL)

    again = await harvest(store, tmp_path, *ALL, of=cook(ALL, id="two"))

    assert again.known == tuple(one.digest for one in first.stored)
    assert [(one.origin.name, one.cook) for one in again.stored] == [("tree-tall", "two")]


async def test_law_11_other_bytes_of_a_stored_unit_are_reported_with_what_stands_on_them(store: Store, tmp_path: Path):
    first = await harvest(store, tmp_path, SCRIPT, RUN, SOIL)

    again = await harvest(store, tmp_path, SCRIPT, RUN, library("soil", RUN, content=b" at noon"), TREE)

    assert [(one.words, one.why) for one in again.refused] == [
        ("soil 1.0.0", Unfit.DIFFERS),
        ("tree-tall 1.0.0", Unfit.DEPENDENCY),
    ]
    assert set(await store.units("default", KEY, ["soil", "tree-tall"])) == set(first.stored)


async def test_law_11_two_cooks_that_race_for_one_unit_leave_one_of_them(store: Store, tmp_path: Path):
    class Racing:
        """Another cook stores its unit after this one has looked."""

        units = staticmethod(store.units)

        async def record_units(self, units: object, given: object) -> object:
            await harvest(store, tmp_path, library("soil", content=b" first"))
            return await store.record_units(units, given)

    harvester = Harvester(blobs=store.blobs, records=Racing(), layout=LayoutV1(), scratch=tmp_path)
    soil = library("soil")
    tree = library("tree-tall", soil)
    came = await harvester.harvest(streamed(archive(soil, tree)), cook([soil, tree]))

    assert came.stored == ()
    assert [(one.words, one.why) for one in came.refused] == [
        ("soil 1.0.0", Unfit.DIFFERS),
        ("tree-tall 1.0.0", Unfit.DEPENDENCY),
    ]


@pytest.mark.parametrize(
    "left",
    [
        library("soil", RUN, content=b" changed"),
        SOIL.having("/lib-soil.json", b"no json"),
        SOIL.having(".rlib", link("/etc/passwd")),
    ],
    ids=["other bytes", "unreadable", "a link"],
)
async def test_law_11_a_given_unit_that_is_not_what_was_given_spoils_the_cook(
    store: Store, tmp_path: Path, left: MadeUnit
):
    first = await harvest(store, tmp_path, SCRIPT, RUN, SOIL)
    given = tuple(
        GivenUnit(unit=UnitId(one.home, one.unit_hash), digest=one.digest, cook=one.cook) for one in first.stored
    )
    after = (SCRIPT, RUN, left, library("other"))

    came = await harvest(store, tmp_path, *after, of=cook(after, given=given, id="two"))

    assert (came.stored, came.changed) == ((), (SOIL.id,))
    assert await store.units("default", KEY, ["other"]) == ()


async def test_law_7_what_a_cook_was_given_is_remembered_for_its_revocation(store: Store, tmp_path: Path):
    (first,) = (await harvest(store, tmp_path, library("soil"))).stored
    given = (GivenUnit(unit=UnitId(first.home, first.unit_hash), digest=first.digest, cook=first.cook),)
    after = (library("soil"), library("other"))
    await harvest(store, tmp_path, *after, of=cook(after, given=given, id="two"))

    assert set((await store.revoke_cook("default", "one")).cooks) == {"one", "two"}


# --- hostile and broken units


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (SOIL.without(".rlib", ".rmeta"), Unfit.INCOMPLETE),
        (SOIL.without("/dep-lib-soil"), Unfit.INCOMPLETE),
        (SOIL.without("/lib-soil"), Unfit.INCOMPLETE),
        (SOIL.without("/lib-soil.json"), Unfit.UNREADABLE),
        (SOIL.having("/lib-soil.json", SAID % (b"", b'[1, "a", false, -4]')), Unfit.UNREADABLE),
        (SOIL.having("/lib-soil.json", SAID % (b"[std]", b"")), Unfit.UNREADABLE),
        (SOIL.having("/lib-soil.json", b" " * 2_000_000), Unfit.UNREADABLE),
        (SOIL.having("/lib-soil.json", b'{"local": [{"a": ' + b"[" * 100_000), Unfit.UNREADABLE),
        (SOIL.having("/lib-soil", b"0123456789ABCDEF"), Unfit.UNREADABLE),
        (SOIL.having("/lib-soil", link("lib-soil.json")), Unfit.UNSAFE),
        (SOIL.adding(f"{SOIL.place('.fingerprint')}/more", b""), Unfit.UNKNOWN_FILE),
        (SOIL.adding(f"{SOIL.place('.fingerprint')}/bin-soil.json", b"{}"), Unfit.UNREADABLE),
        (SOIL.adding(f"{SOIL.place('build')}/output", b""), Unfit.UNKNOWN_FILE),
        (SOIL.adding(f"release/.fingerprint/other-{SOIL.id.unit_hash}/lib-other", b""), Unfit.UNREADABLE),
        (SOIL.having(".rlib", link("libother.rlib")), Unfit.UNSAFE),
        (SOIL.having(".rlib", Special(tarfile.FIFOTYPE)), Unfit.UNSAFE),
        (SOIL.having(".rlib", Special(tarfile.CHRTYPE)), Unfit.UNSAFE),
        (SOIL.having(".rlib", second_name("release/app")), Unfit.UNSAFE),
        (SOIL.having(".rlib", DIRECTORY), Unfit.UNSAFE),
        (SCRIPT.without("/build-script-build"), Unfit.UNSAFE),
        (SCRIPT.without("/build-script-build", f"-{SCRIPT.id.unit_hash}"), Unfit.INCOMPLETE),
        (SCRIPT.adding(f"{SCRIPT.place('build')}/other", b""), Unfit.UNKNOWN_FILE),
        (RUN.without("/output"), Unfit.INCOMPLETE),
        (RUN.without(*(f"/out{path}" for path in ("", *(f"/{each}" for each in OUT)))), Unfit.INCOMPLETE),
        (RUN.adding(f"{RUN.place('build')}/other", b""), Unfit.UNKNOWN_FILE),
    ],
)
async def test_a_unit_that_is_not_as_cargo_leaves_it_is_refused(
    store: Store, tmp_path: Path, unit: MadeUnit, expected: Unfit
):
    others = [each for each in (SCRIPT, RUN) if each.id != unit.id]
    assert await why(store, tmp_path, unit, *others) is expected


async def test_a_name_that_no_artefact_has_is_no_unit_s(store: Store, tmp_path: Path):
    soil = library("soil").adding(f"release/deps/libsoil-{SOIL.id.unit_hash}.\u202e", b"")

    (stored,) = (await harvest(store, tmp_path, soil)).stored

    assert stored.digest == (await harvest(store, tmp_path, library("soil"))).known[0]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("up", link("../output")),
        ("up", link("../../../deps")),
        ("root", link("/etc/passwd")),
        ("round", link("round")),
        ("void/x", link("../deep/../../../x")),
        ("out\nline", b""),
        ("out\udc80", b""),
        ("e\u0301", b""),
        ("Depth.rs", b""),
        ("depth.rs/below", b""),
        ("device", Special(tarfile.BLKTYPE)),
        ("other", second_name(f"release/deps/libsoil-{SOIL.id.unit_hash}.rlib")),
        ("n" * 256, b""),
    ],
)
async def test_nothing_leads_out_of_an_out_dir(store: Store, tmp_path: Path, path: str, content: bytes | Special):
    run = script_run(SCRIPT, {**OUT, path: content})

    assert await why(store, tmp_path, run, SCRIPT, SOIL) is Unfit.UNSAFE


async def test_a_link_that_leads_out_through_another_link_is_seen(store: Store, tmp_path: Path):
    """By its text alone each of them stays inside."""
    out = {"a/b/c": link("../.."), "z": link("a/b/c/../x")}

    assert await why(store, tmp_path, script_run(SCRIPT, out), SCRIPT) is Unfit.UNSAFE


@pytest.mark.parametrize("watched", ["", "/target", "/target/release/build/x/out/y", "../../../target/y", "//target/y"])
async def test_a_run_that_watches_what_the_build_makes_is_refused(store: Store, tmp_path: Path, watched: str):
    run = script_run(SCRIPT, OUT, ["build.rs", watched])

    assert await why(store, tmp_path, run, SCRIPT) is Unfit.UNTRACKED_INPUTS


@pytest.mark.parametrize("watched", ["src/lib.rs", "/usr/include/zlib.h"])
async def test_a_run_that_watches_its_sources_or_the_system_is_stored(store: Store, tmp_path: Path, watched: str):
    assert len((await harvest(store, tmp_path, SCRIPT, script_run(SCRIPT, OUT, [watched]))).stored) == 2


async def test_a_run_that_was_made_under_other_paths_is_refused(store: Store, tmp_path: Path):
    run = RUN.having("/root-output", b"/home/somebody/target/release/build/soil/out")

    assert await why(store, tmp_path, run, SCRIPT) is Unfit.OTHER_PATHS


async def test_a_run_whose_out_dir_is_empty_is_stored_with_it(store: Store, tmp_path: Path):
    came = await harvest(store, tmp_path, SCRIPT, script_run(SCRIPT, {}))
    placing = Placing(blobs=store.blobs, layout=LayoutV1(), artefact_time=1)

    assert f"/target/{RUN.place('build')}/out" in {member.path for member in placing.members(came.stored)}


async def test_units_that_stand_on_each_other_in_a_circle_are_refused(store: Store, tmp_path: Path):
    first = library("first")
    second = library("second", first)
    circle = library("first", second)

    came = await harvest(store, tmp_path, circle, second)

    assert {one.why for one in came.refused} == {Unfit.DEPENDENCY}


async def test_a_unit_that_is_larger_than_it_may_be_is_refused_and_others_are_not(store: Store, tmp_path: Path):
    large = library("large", content=bytes(5000))

    assert await why(store, tmp_path, large, SCRIPT, unit=4000) is Unfit.TOO_LARGE
    assert len(await store.units("default", KEY, ["soil"])) == 1


@pytest.mark.parametrize("limits", [{"archive": 4096}, {"entries": 3}])
async def test_a_target_directory_that_is_larger_than_it_may_be_gives_nothing(
    store: Store, tmp_path: Path, limits: dict[str, int]
):
    came = await harvest(store, tmp_path, *ALL, **limits)

    assert came.stored == ()
    assert came.unreadable


@pytest.mark.parametrize("cut", [600, 5000, -1024])
async def test_an_archive_that_is_cut_or_broken_gives_nothing(store: Store, tmp_path: Path, cut: int):
    harvester = Harvester(blobs=store.blobs, records=store, layout=LayoutV1(), scratch=tmp_path)
    whole = archive(*ALL).rstrip(b"\0")
    whole += bytes(-len(whole) % 512)
    for content in (whole[:cut], whole[: len(whole) - len(whole) % 512] + b"no header".ljust(512, b"x") + bytes(1024)):
        came = await harvester.harvest(streamed(content), cook(ALL))
        assert (came.stored, came.known) == ((), ())
        assert came.unreadable


# --- cargo's messages


def test_the_live_units_are_those_that_messages_name_of_packages_from_outside():
    soil, own = PackageId(REGISTRY, "soil", "1.0.0"), PackageId("path+file:///work", "own", "0.1.0")

    def artifact(package: PackageId, *files: str) -> Artifact:
        return Artifact(package=package, target="", kinds=("lib",), fresh=False, files=files, executable=None)

    live = live_units(
        LayoutV1(),
        [
            artifact(soil, "/target/release/deps/libsoil-0123456789abcdef.rlib", "/target/release/libsoil.rlib"),
            artifact(soil, "/target/release/build/soil-1123456789abcdef/build-script-build"),
            artifact(soil, "/target/../x/release/deps/libsoil-5123456789abcdef.rlib", "/t/deps/a-6123456789abcdef.d"),
            artifact(own, "/target/release/deps/libown-2123456789abcdef.rlib"),
            artifact(soil, "/target/release/deps/libtwo-3123456789abcdef.rlib"),
            artifact(own, "/target/release/deps/libtwo-3123456789abcdef.rlib"),
        ],
        [(soil, "/target/release/build/soil-4123456789abcdef/out")],
    )

    assert {(one.unit.unit_hash[0], one.unit.home, one.package) for one in live} == {
        (first, "release", soil) for first in "014"
    }
    assert {one.unit.unit_hash[0] for one in live if one.compiled} == {"0", "1"}, "of a run nothing is said"


def test_notes_of_a_cook_are_kept_as_json():
    given = GivenUnit(unit=SOIL.id, digest=KEY, cook="zero")
    notes = CookNotes(id="one", live=(SOIL.live, TREE.live), given=(given,))

    assert msgspec.json.decode(msgspec.json.encode(notes), type=CookNotes) == notes
