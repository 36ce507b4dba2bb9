"""The lineage's workspace, on the real engine with the real cargo: what a build finds in it makes no difference.

Every case is an edit and its revert. The oracle is the clean build of the same tree: the image is the same, digest for
digest; the rung is the workspace; and exactly the packages are compiled that the change can have reached.
"""

from dataclasses import dataclass

import pytest
import pytest_asyncio

from cache.reuse import Rung, WhyNot
from daemon.builds import ImageRequest, ImageSettings
from tests.caching.mill import (
    EVERYONE,
    MILL,
    SAYS,
    Change,
    Mill,
    app_manifest,
    locked_as,
    members,
    modified,
    replaced,
)
from tests.caching.workshop import Built, Workshop, both
from tests.fakes.docker import docker
from tests.fakes.rust_projects import Executable, Link

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]


@dataclass(frozen=True)
class Case:
    """A change and what it reaches; the way back reaches the same."""

    change: Change
    compiled: tuple[str, ...]
    changes_image: bool = True
    binary: str = "app"
    back: tuple[str, ...] | None = None
    version: str = "0.1.0"
    """The program's own, after the change."""
    back_on: Rung = Rung.WORKSPACE
    """What the way back stands on."""


GRAIN, INNER, MAIN = "grain/src/lib.rs", "grain/inner/src/lib.rs", "app/src/main.rs"
TOOL = MILL["app/src/bin/tool.rs"]
CASES = {
    "the program is edited": Case(replaced(MAIN, '"."', '","'), ("app",)),
    "a library deep below is edited": Case(replaced(INNER, '" "', '"-"'), ("inner", "grain", "app")),
    "a module is edited": Case({"grain/src/gone.rs": 'pub const WORD: &str = "back";\n'}, ("grain", "app")),
    "a procedural macro is edited": Case(replaced("macros/src/lib.rs", "unwrap())", 'unwrap() + "!")'),
                                         ("macros", "app")),
    "a member's README": Case({"grain/README.md": "more\n"}, (), changes_image=False, back_on=Rung.OBSERVED),
    "the README at the root": Case({"README.md": "more\n"}, (), changes_image=False, back_on=Rung.OBSERVED),
    "a manifest is formatted anew": Case({"app/Cargo.toml": "# anew\n\n" + app_manifest()}, EVERYONE,
                                         changes_image=False),
    "a manifest is described": Case({"app/Cargo.toml": app_manifest(package='description = "words"\n')}, EVERYONE,
                                    changes_image=False),
    "the program's version is bumped": Case({"app/Cargo.toml": app_manifest("0.2.0"), "Cargo.lock": locked_as("0.2.0")},
                                            EVERYONE, version="0.2.0"),
    "a binary is renamed": Case({"app/src/bin/tool.rs": None, "app/src/bin/saw.rs": TOOL}, EVERYONE, binary="saw"),
    "another binary is deleted": Case({"app/src/bin/tool.rs": None}, EVERYONE, changes_image=False),
    "a module is deleted": Case(
        {"grain/src/gone.rs": None,
         **replaced(GRAIN, "pub mod gone;", 'pub mod gone { pub const WORD: &str = "here"; }')}, ("grain", "app"),
        back=EVERYONE),
    "a module is added": Case(
        {"grain/src/more.rs": 'pub const WORD: &str = "more";\n',
         **replaced(GRAIN, "pub mod gone;", "pub mod gone { pub use crate::more::WORD; }\nmod more;")}, EVERYONE,
        back=("grain", "app")),
    "a module moves into a directory": Case(
        {"grain/src/gone.rs": None, "grain/src/gone/mod.rs": 'pub const WORD: &str = "moved";\n'}, EVERYONE),
    "a silent build script is edited": Case(replaced("grain/build.rs", "SIDE={}", "SIDE=<{}>"), ("grain", "app")),
    "a build script that declares is edited": Case(replaced("rows/build.rs", "API={}", "API=<{}>"), ("rows", "app")),
    "a file that a silent build script reads": Case({"grain/side.txt": "edge"}, EVERYONE),
    "a file appears that a silent build script looked for": Case({"grain/extra": ""}, EVERYONE),
    "a file that a build script declares": Case({"proto/api.txt": "v2"}, ("rows", "app")),
    "a file that its own package includes": Case({"grain/inner/src/inside.txt": "within"}, ("inner", "grain", "app")),
    "a file that another package includes, its name with a space and an umlaut": Case(
        {"grain/a täxt.txt": "wörd"}, ("grain", "app")),
    "a file of no package that one includes": Case({"shared/note.txt": "memo"}, ("inner", "grain", "app")),
    "a file that is included through a link": Case({"shared/other.txt": "else"}, ("app",)),
    "a file that a procedural macro opens": Case({"opened.txt": "closed"}, EVERYONE),
    "the executable bit": Case({"grain/tool.sh": Executable("#!/bin/sh\n")}, EVERYONE),
    "a link leads elsewhere": Case({"app/link": Link("../elsewhere"), "elsewhere/other.txt": "far"}, EVERYONE,
                                  back=("app",)),
    "a link becomes a directory": Case({"app/link": None, "app/link/other.txt": "near"}, EVERYONE),
    "a file becomes a directory": Case(
        {"grain/a täxt.txt": None, "grain/a täxt.txt/inside": "in it", **replaced(MAIN, "täxt.txt", "täxt.txt/inside")},
        EVERYONE),
    "the compile's environment": Case({"bloomery.toml": '[build]\nenvironment = { GREETING = "hello" }\n'}, EVERYONE),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mill(shop: Workshop) -> Mill:
    """The chain with its first build, which is cold; and the clean build of the same."""
    made = Mill(shop, "cases")
    made.cold["app"] = await made.build(MILL)
    return made


async def test_the_first_build_is_cold_and_leaves_a_workspace(mill: Mill):
    cold = mill.cold["app"]
    assert (cold.rung, cold.compiled) == (Rung.NONE, members(*EVERYONE))
    assert cold.why_not(Rung.WORKSPACE) is WhyNot.FIRST_BUILD
    assert cold.prints() == SAYS
    assert (await mill.workspace()).tree == await mill.shop.tree(MILL)


@pytest.mark.parametrize("name", CASES)
async def test_law_5_a_change_and_its_revert(mill: Mill, name: str):
    case, cold = CASES[name], mill.cold["app"]
    found = await mill.round(modified(MILL, case.change), case.binary, same_image=not case.changes_image)
    assert (found.there.rung, found.back.rung) == (Rung.WORKSPACE, case.back_on)
    assert found.there.compiled == members(*case.compiled, app=case.version)
    assert found.there.digest == found.clean.digest
    assert (found.there.digest != cold.digest) is case.changes_image
    assert found.back.compiled == members(*(case.back or case.compiled))
    assert found.back.digest == cold.digest


async def test_law_1_times_alone_change_nothing(mill: Mill):
    texts = {path: text for path, text in MILL.items() if isinstance(text, str)}
    for mtime in (0, 978307200, 1_700_000_000.123456789, 4_102_444_800):
        assert await mill.shop.uploaded(texts, mtime=mtime) == await mill.shop.tree(texts)
    await mill.at(MILL)
    again = await mill.build(MILL)
    assert (again.rung, again.compiled, again.digest) == (Rung.WORKSPACE, set(), mill.cold["app"].digest)
    assert (await mill.build(MILL)).rung is Rung.RESULT


async def test_law_1_every_artefact_has_one_time(mill: Mill):
    await mill.at(MILL)
    workspace = await mill.workspace()
    assert len(set((await mill.shop.artefacts(workspace)).values())) == 1


async def test_a_b_a_leaves_the_workspace_where_b_was_and_other_settings_compile_nothing(mill: Mill):
    edited = modified(MILL, CASES["the program is edited"].change)
    labelled = ImageRequest(binary="app", settings=ImageSettings(labels={"colour": "red"}))
    await mill.at(MILL)
    await mill.build(MILL)
    await mill.build(edited)
    back = await mill.build(MILL)
    assert (back.rung, back.compiled, back.digest) == (Rung.RESULT, set(), mill.cold["app"].digest)
    assert (await mill.workspace()).tree == await mill.shop.tree(edited)

    await mill.at(MILL)
    other = await mill.build(MILL, labelled)
    assert (other.rung, other.compiled) == (Rung.WORKSPACE, set())
    assert other.digest != mill.cold["app"].digest
    assert other.prints() == SAYS


BROKEN = replaced("grain/src/gone.rs", '"gone"', "nowhere")
MORE_BROKEN = replaced("grain/src/gone.rs", '"gone"', "nowhere::at_all")
MENDED = replaced("grain/src/gone.rs", '"gone"', '"mended"')


async def test_what_does_not_compile_twice_is_mended_where_it_was(mill: Mill):
    await mill.at(MILL)
    mended = modified(MILL, MENDED)

    async def chain() -> Built:
        for broken in (BROKEN, MORE_BROKEN):
            assert await mill.fails(modified(MILL, broken)) == "compile_failed"
        return await mill.build(mended)

    built, clean = await both(chain(), mill.oracle(mended))
    assert (built.rung, built.compiled) == (Rung.WORKSPACE, members("grain", "app"))
    assert built.digest == clean.digest


async def test_what_a_failed_build_has_compiled_is_not_compiled_again_and_what_it_has_not_is(mill: Mill):
    await mill.at(MILL)
    edited = modified(MILL, CASES["a library deep below is edited"].change)
    broken = modified(edited, replaced(MAIN, "fn main() {", "fn main() { nothing();"))

    async def chain() -> tuple[Built, Built]:
        assert await mill.fails(broken) == "compile_failed"
        return await mill.build(edited), await mill.build(MILL)

    (built, back), clean = await both(chain(), mill.oracle(edited))
    assert (built.rung, built.compiled) == (Rung.WORKSPACE, members("app"))
    assert built.digest == clean.digest
    assert (back.rung, back.digest) == (Rung.WORKSPACE, mill.cold["app"].digest)


async def test_a_deleted_binary_is_refused_and_the_workspace_stays(mill: Mill):
    await mill.at(MILL)
    before = await mill.workspace()
    assert await mill.fails(modified(MILL, {"app/src/bin/tool.rs": None}), "tool") == "unknown_binary"
    assert (await mill.workspace()).sandbox == before.sandbox


def grain_script(*lines: str) -> Change:
    """A build script of grain whose word is `word`, which these lines make."""
    ends = ('println!("cargo:rustc-env=SIDE={word}");', 'println!("cargo:rustc-env=TOOL=0");')
    body = "\n    ".join((*lines, *ends, 'println!("cargo:rustc-env=EXTRA=0");'))
    return {"grain/build.rs": f"use std::{{env, fs, path::Path}};\nfn main() {{\n    {body}\n}}\n"}


HAD = 'let had = fs::read_to_string(&out).unwrap_or_default(); fs::write(&out, had.clone() + "x").unwrap();'
OUT_FILE = 'let out = Path::new(&env::var("OUT_DIR").unwrap()).join("word.txt");'
HABITS = {
    "writes into its sources": (
        grain_script('let out = Path::new("made.txt");', HAD, 'fs::write("side.txt", had.clone() + "side").unwrap();',
                     'let _ = fs::create_dir("new"); let word = format!("<{had}>");'),
        CASES["the program is edited"].change, EVERYONE),
    "deletes one of its sources": (
        grain_script('let word = Path::new("side.txt").exists(); fs::remove_file("side.txt").unwrap();'),
        CASES["the program is edited"].change, EVERYONE),
    "replaces a source by a directory": (
        grain_script('let word = fs::read_to_string("side.txt").unwrap(); fs::remove_file("side.txt").unwrap();',
                     'fs::create_dir("side.txt").unwrap(); fs::write("side.txt/in", "it").unwrap();'),
        CASES["the program is edited"].change, EVERYONE),
    "makes nothing that it has made before": (
        grain_script(OUT_FILE, 'if !out.exists() { fs::copy("side.txt", &out).unwrap(); }',
                     "let word = fs::read_to_string(&out).unwrap();"),
        {"grain/side.txt": "edge"}, EVERYONE),
    "declares what is absent, and counts its runs": (
        grain_script('println!("cargo:rerun-if-changed=../absent");', OUT_FILE, HAD, "let word = had;"),
        CASES["the program is edited"].change, ("grain", "app")),
}  # fmt: skip


@pytest.mark.parametrize("habit", HABITS)
async def test_what_a_build_script_does_to_files_is_gone_for_the_next_build(mill: Mill, habit: str):
    script, change, compiled = HABITS[habit]
    base = modified(MILL, script)
    found = await mill.round(modified(base, change), base=base)
    assert (found.there.rung, found.back.rung) == (Rung.WORKSPACE, Rung.WORKSPACE)
    assert found.there.compiled == found.back.compiled == members(*compiled)
    assert found.there.digest == found.clean.digest


async def test_law_5_a_unit_of_an_older_version_vouches_for_nothing(mill: Mill):
    """Its sources named the file; now only a silent build script reads it."""
    script = grain_script('let word = fs::read_to_string("../opened.txt").unwrap();')
    named = modified(MILL, {**script, **replaced(MAIN, "macros::opened!()", 'include_str!("../../opened.txt")')})
    unnamed = modified(named, {**replaced(MAIN, "macros::opened!()", '"nothing"'),
                               "app/Cargo.toml": app_manifest("0.2.0"), "Cargo.lock": locked_as("0.2.0")})  # fmt: skip
    changed = modified(unnamed, {"opened.txt": "closed"})
    await mill.at(named)
    await mill.build(unnamed)
    built, clean = await both(mill.build(changed), mill.oracle(changed))
    assert (built.rung, built.compiled) == (Rung.WORKSPACE, members(*EVERYONE, app="0.2.0"))
    assert built.digest == clean.digest


SCRIPT_ADDED: Change = {
    "grain/inner/build.rs": 'fn main() { println!("cargo:rustc-env=GROWN=tall"); }\n',
    INNER: 'pub fn words() -> &\'static str { env!("GROWN") }\n',
}


async def test_what_asks_for_another_layer_is_compiled_in_the_workspace_and_so_is_the_way_back(mill: Mill):
    added = modified(MILL, SCRIPT_ADDED)
    await mill.at(MILL)
    grown, clean = await both(mill.build(added), mill.oracle(added))
    assert (grown.rung, grown.compiled) == (Rung.WORKSPACE, members(*EVERYONE))
    assert grown.digest == clean.digest
    again = await mill.build(modified(added, CASES["the program is edited"].change))
    assert (again.rung, again.compiled) == (Rung.WORKSPACE, members("app"))
    shrunk = await mill.build(MILL)
    assert (shrunk.rung, shrunk.digest) == (Rung.WORKSPACE, mill.cold["app"].digest)


async def test_features_flipped_compile_what_has_them_and_flipped_back_nothing(mill: Mill):
    await mill.at(MILL)
    loud = await mill.build(MILL, features=("loud",))
    assert (loud.rung, loud.compiled) == (Rung.WORKSPACE, members("app"))
    assert loud.prints() == SAYS[:-1] + "!"
    quiet = await mill.build(MILL)
    assert (quiet.rung, quiet.compiled, quiet.digest) == (Rung.WORKSPACE, set(), mill.cold["app"].digest)


async def test_law_9_a_workspace_that_is_gone_is_a_slower_build(mill: Mill):
    await mill.at(MILL)
    docker("rm", "--force", (await mill.workspace()).sandbox)
    built = await mill.build(MILL)
    assert (built.rung, built.digest) == (Rung.LAYER, mill.cold["app"].digest)


async def test_law_9_a_workspace_that_somebody_has_run_is_discarded(mill: Mill):
    await mill.at(MILL)
    workspace = await mill.workspace()
    await mill.shop.run_behind_our_back(workspace, f"echo spoilt > /work/{GRAIN}")
    built = await mill.build(MILL)
    assert (built.rung, built.digest) == (Rung.LAYER, mill.cold["app"].digest)
    gone = docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"id={workspace.sandbox}")
    assert gone == ""


async def test_a_branch_has_a_workspace_of_its_own(mill: Mill):
    await mill.at(MILL)
    edited = modified(MILL, CASES["the program is edited"].change)
    await mill.build(edited, lineage="branch")
    assert (await mill.workspace()).tree == await mill.shop.tree(MILL)
    assert (await mill.workspace("branch")).tree == await mill.shop.tree(edited)
