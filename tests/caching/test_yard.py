"""A workspace in which every binary learns its words from another place, and one modification for each place.

Two clean builds are the oracle: of the tree as it was, and of the tree with all modifications at once. The modified
tree is then built over the layer of the first: each image has to be the second oracle's. Every build on these rungs
compiles every member, so the modifications need not be applied one by one; one is, to show that it concerns its image
alone. What is to stand on the layer is built on a lineage of its own, which has no workspace.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from cache.reuse import Rung
from daemon.builds import BuildState
from tests.caching.workshop import NOBODY, Built, Workshop, both
from tests.fakes.crates import Files, lock, manifest

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

P = "bloomery-e2e"
OWN = {"project": "yard", "scope": "yard"}
"""No dependency was compiled here before, whatever else a daemon has built."""


def says(expression: str, more: str = "") -> str:
    return f'{more}fn main() {{ println!("{{}}", {expression}); }}\n'


def scripted(read: str, more: str = "") -> str:
    """A build script that hands on what it reads."""
    return f'fn main() {{ {more} println!("cargo:rustc-env=WORD={{}}", {read}); }}\n'


def member(name: str, more: str = "", *, version: str = "0.1.0", package: str = "") -> str:
    return manifest(f"{P}-{name}", more, version=version, package=package)


BINARIES = ("edited", "module", "inside", "outside", "dependent", "declared", "undeclared", "walker", "derived", "own")
LOCK = {
    f"{P}-plain": [f"{P}-shared", "itoa"],
    f"{P}-shared": [],
    f"{P}-declared": [],
    f"{P}-undeclared": [],
    f"{P}-walker": [],
    f"{P}-macros": [],
    f"{P}-derived": [f"{P}-macros"],
    f"{P}-own": [],
}


def bins(name: str) -> str:
    return f'[[bin]]\nname = "{name}"\npath = "src/main.rs"\n'


YARD: Files = {
    "Cargo.toml": '[workspace]\nresolver = "2"\nmembers = ["plain", "shared", "declared", "undeclared", "walker", '
    '"macros", "derived", "own"]\n[profile.release]\nopt-level = 0\n',
    "Cargo.lock": lock(LOCK, "itoa 1.0.18"),
    "plain/Cargo.toml": member("plain", f'[dependencies]\nitoa = "1"\n{P}-shared = {{ path = "../shared" }}\n'),
    "plain/src/bin/edited.rs": says("itoa::Buffer::new().format(1)"),
    "plain/src/bin/module/main.rs": says("words::WORD", "mod words;\n"),
    "plain/src/bin/module/words.rs": 'pub const WORD: &str = "from a module";\n',
    "plain/src/bin/inside.rs": says('include_str!("../words.txt").trim()'),
    "plain/src/words.txt": "inside the package\n",
    "plain/src/bin/outside.rs": says('include_str!("../../../notes/words.txt").trim()'),
    "notes/words.txt": "outside of every package\n",
    "plain/src/bin/dependent.rs": says("bloomery_e2e_shared::word()"),
    "shared/Cargo.toml": member("shared"),
    "shared/src/lib.rs": 'pub fn word() -> &\'static str { "from a path dependency" }\n',
    "declared/Cargo.toml": member("declared", bins("declared")),
    "declared/build.rs": scripted(
        'std::fs::read_to_string("words.txt").unwrap().trim()', 'println!("cargo:rerun-if-changed=words.txt");'
    ),
    "declared/words.txt": "declared\n",
    "declared/src/main.rs": says('env!("WORD")'),
    "undeclared/Cargo.toml": member("undeclared", bins("undeclared")),
    "undeclared/build.rs": scripted('std::fs::read_to_string("../notes/read.txt").unwrap().trim()'),
    "notes/read.txt": "not declared\n",
    "undeclared/src/main.rs": says('env!("WORD")'),
    "walker/Cargo.toml": member("walker", bins("walker")),
    "walker/build.rs": scripted('std::fs::read_dir("src").unwrap().count()'),
    "walker/src/main.rs": says('env!("WORD")'),
    "macros/Cargo.toml": member("macros", "[lib]\nproc-macro = true\n"),
    "macros/src/lib.rs": (
        "use proc_macro::TokenStream;\n#[proc_macro]\npub fn word(_: TokenStream) -> TokenStream {\n"
        '    let text = std::fs::read_to_string("notes/macro.txt").unwrap();\n'
        '    format!("{:?}", text.trim()).parse().unwrap()\n}\n'
    ),
    "notes/macro.txt": "read by a macro\n",
    "derived/Cargo.toml": member(
        "derived", bins("derived") + f'[dependencies]\n{P}-macros = {{ path = "../macros" }}\n'
    ),
    "derived/src/main.rs": says("bloomery_e2e_macros::word!()"),
    "own/Cargo.toml": member("own", bins("own")),
    "own/src/main.rs": says('env!("CARGO_PKG_VERSION")'),
}


@dataclass(frozen=True)
class Modification:
    """Files that change (None: go), the one binary that shall differ, and what it prints then."""

    binary: str
    files: Mapping[str, str | None]
    prints: str


MODIFICATIONS = {
    "a source is edited": Modification(
        "edited", {"plain/src/bin/edited.rs": says("itoa::Buffer::new().format(2)")}, "2"
    ),
    "a module is deleted": Modification(
        "module",
        {"plain/src/bin/module/main.rs": says('"without it"'), "plain/src/bin/module/words.rs": None},
        "without it",
    ),
    "an included file inside the package is edited": Modification(
        "inside", {"plain/src/words.txt": "inside, edited\n"}, "inside, edited"
    ),
    "an included file outside of every package is edited": Modification(
        "outside", {"notes/words.txt": "outside, edited\n"}, "outside, edited"
    ),
    "a path dependency is edited": Modification(
        "dependent", {"shared/src/lib.rs": 'pub fn word() -> &\'static str { "edited there" }\n'}, "edited there"
    ),
    "a file that a build script declares is edited": Modification(
        "declared", {"declared/words.txt": "declared, edited\n"}, "declared, edited"
    ),
    "a file that a build script reads and does not declare is edited": Modification(
        "undeclared", {"notes/read.txt": "not declared, edited\n"}, "not declared, edited"
    ),
    "a file is added where a build script walks": Modification("walker", {"walker/src/more.rs": ""}, "2"),
    "a file that a procedural macro reads is edited": Modification(
        "derived", {"notes/macro.txt": "read by a macro, edited\n"}, "read by a macro, edited"
    ),
    "a member's own version is bumped": Modification(
        "own",
        {
            "own/Cargo.toml": member("own", bins("own"), version="0.2.0", package='description = "words"\n'),
            "Cargo.lock": lock(LOCK, "itoa 1.0.18", versions={f"{P}-own": "0.2.0"}),
        },
        "0.2.0",
    ),
}


def modified(files: Files, *modifications: Modification) -> Files:
    changed: dict[str, str | None] = {**files}
    for modification in modifications:
        changed |= modification.files
    return {path: text for path, text in changed.items() if text is not None}


def members(changed: Mapping[str, str]) -> set[str]:
    return {f"{name} {changed.get(name, '0.1.0')}" for name in LOCK}


@dataclass(frozen=True)
class Yard:
    """The clean builds before any modification and after all of them, and the modified tree over the first's layer."""

    before: Built
    after: Built
    modified: Built


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def yard(shop: Workshop) -> Yard:
    """The first is the cold build whose layer the others stand on."""
    everything = modified(YARD, *MODIFICATIONS.values())
    before, after = await both(shop.build(YARD, *BINARIES, **OWN), shop.clean(everything, *BINARIES, project="yard"))
    return Yard(before, after, await shop.build(everything, *BINARIES, **OWN, lineage="modified", parent=NOBODY))


async def test_a_cold_build_compiles_everything_and_every_image_runs(yard: Yard):
    assert yard.before.rung is Rung.NONE
    assert yard.before.compiled == {"itoa 1.0.18", *members({})}
    assert yard.before.prints("outside") == "outside of every package"
    assert yard.before.prints("walker") == "1"


async def test_the_modified_tree_stands_on_the_layer_and_compiles_the_members_alone(yard: Yard):
    assert yard.modified.rung is Rung.LAYER
    assert yard.modified.compiled == members({f"{P}-own": "0.2.0"})


@pytest.mark.parametrize("scenario", MODIFICATIONS)
async def test_law_5_a_modification_reaches_its_image(yard: Yard, scenario: str):
    modification = MODIFICATIONS[scenario]
    binary = modification.binary
    assert yard.modified.digests[binary] == yard.after.digests[binary] != yard.before.digests[binary]
    assert yard.modified.prints(binary) == modification.prints


async def test_law_5_a_modification_reaches_no_other_image(shop: Workshop, yard: Yard):
    one = MODIFICATIONS["a path dependency is edited"]
    built = await shop.build(modified(YARD, one), *BINARIES, **OWN, lineage="one", parent=NOBODY)
    assert built.rung is Rung.LAYER
    assert built.digests == yard.before.digests | {one.binary: yard.after.digests[one.binary]}


async def test_law_3_a_renamed_binary_is_the_new_one(shop: Workshop, yard: Yard):
    files = dict(YARD)
    files["plain/src/bin/renamed.rs"] = files.pop("plain/src/bin/edited.rs").replace("format(1)", "format(3)")
    binaries = tuple("renamed" if name == "edited" else name for name in BINARIES)
    built = await shop.build(files, *binaries, **OWN, lineage="renamed", parent=NOBODY)
    assert built.rung is Rung.LAYER
    assert built.prints("renamed") == "3"
    kept = {name: digest for name, digest in built.digests.items() if name != "renamed"}
    assert kept == {name: digest for name, digest in yard.before.digests.items() if name != "edited"}


async def test_law_3_a_deleted_binary_is_gone(shop: Workshop, yard: Yard):
    files = {path: text for path, text in YARD.items() if path != "plain/src/bin/edited.rs"}
    ended = await shop.attempt(files, *BINARIES, **OWN)
    assert ended.build.state is BuildState.FAILED
    assert ended.build.failure is not None
    assert ended.build.failure.kind == "unknown_binary"


async def test_all_of_it_reverted_and_compiled_again_are_the_cold_images(shop: Workshop, yard: Yard):
    await shop.forget_results()
    again = await shop.build(YARD, *BINARIES, **OWN, lineage="again", parent=NOBODY)
    assert (again.rung, again.digests) == (Rung.LAYER, yard.before.digests)
