"""The rung `observed` with real cargo: documentation costs nothing, and what anything has read is none (law 13)."""

import pytest
import pytest_asyncio

from cache.reuse import Rung
from daemon.builds import ImageRequest
from tests.caching.mill import MILL, PROJECT, Change, Mill, modified, replaced
from tests.caching.workshop import Built, Workshop, both
from tests.fakes.rust_projects import Executable, Link

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

MAIN, SCRIPT = "app/src/main.rs", "grain/build.rs"
READS_SILENTLY = """\
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    println!("cargo:rustc-env=READ={}", fs::read_to_string("../docs/read.md").unwrap().len());
    println!("cargo:rustc-env=LINKED={}", fs::read_to_string("../docs/alias.md").unwrap().len());
    fs::copy("../docs/copied.md", format!("{out}/copied.md")).unwrap();
    let mut piped = fs::File::create(format!("{out}/piped.md")).unwrap();
    io::copy(&mut fs::File::open("../docs/piped.md").unwrap(), &mut piped).unwrap();
    assert!(std::process::Command::new("cp").args(["../docs/by-cp.md", &out]).status().unwrap().success());
"""
READERS: Change = {
    SCRIPT: str(MILL[SCRIPT]).replace("use std::{fs,", "use std::{fs, io,").replace("fn main() {\n", READS_SILENTLY),
    **replaced(MAIN, '"."', 'concat!(".", include_str!("../../docs/included.md"))'),
    **{f"docs/{name}.md": f"{name}\n" for name in ("included", "read", "linked", "copied", "piped", "by-cp", "unread")},
    "docs/alias.md": Link("linked.md"),
}
BASE = modified(MILL, READERS)
UNREAD = ("README.md", "grain/README.md", "docs/unread.md")
READ = (
    "docs/included.md",
    "docs/read.md",
    "docs/linked.md",
    "docs/copied.md",
    "docs/piped.md",
    "docs/by-cp.md",
    "opened.txt",
    "grain/side.txt",
    "proto/api.txt",
    "Cargo.toml",
)
"""By the compiler, by build scripts in several ways, through a link, by a procedural macro, by cargo."""
DOCUMENTED = modified(BASE, dict.fromkeys(UNREAD, "other\n"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mill(shop: Workshop) -> Mill:
    """A lineage whose last image is of the base."""
    made = Mill(shop, "observed")
    made.cold["app"] = await made.build(BASE)
    return made


async def would_be(mill: Mill, change: Change, lineage: str = "main") -> Rung:
    files, images = modified(BASE, change), (ImageRequest(binary="app"),)
    return await mill.shop.explained(files, images=images, project=PROJECT, lineage=lineage, scope=mill.scope)


async def test_law_13_documentation_is_observed_and_the_image_a_clean_build_s(mill: Mill):
    assert [await would_be(mill, {path: "other\n"}) for path in UNREAD] == [Rung.OBSERVED] * len(UNREAD)
    built, clean = await both(mill.build(DOCUMENTED), mill.oracle(DOCUMENTED))
    assert (built.rung, built.compiled) == (Rung.OBSERVED, set())
    assert built.digest == clean.digest == mill.cold["app"].digest


@pytest.mark.parametrize("path", READ)
async def test_law_13_what_was_read_is_never_observed(mill: Mill, path: str):
    assert await would_be(mill, {path: f"{BASE[path]}\n"}) is Rung.WORKSPACE


@pytest.mark.parametrize(
    "change",
    [
        {"README.md": Executable(str(BASE["README.md"]))},
        {"NEWS.md": "new\n"},
        {"README.md": None},
        {"README.md": None, "READYOU.md": BASE["README.md"]},
        {"README.md": None, "README.md/inside": "in it"},
        {"docs/alias.md": Link("unread.md")},
    ],
    ids=["mode", "added", "removed", "renamed", "a directory", "a link"],
)
async def test_law_13_more_than_contents_is_never_observed(mill: Mill, change: Change):
    assert await would_be(mill, change) is Rung.WORKSPACE


async def test_law_13_another_lineage_does_not_observe(mill: Mill):
    assert await would_be(mill, {"README.md": "third\n"}, "branch") is not Rung.OBSERVED


async def test_documentation_after_documentation_and_after_an_edit(mill: Mill):
    again = modified(DOCUMENTED, {"README.md": "third\n"})
    assert (await mill.build(again)).rung is Rung.OBSERVED
    edited = modified(again, {"docs/included.md": "edited\n"})
    documented = modified(edited, {"docs/unread.md": "third\n"})

    async def chain() -> tuple[Built, Built]:
        return await mill.build(edited), await mill.build(documented)

    (built, last), clean = await both(chain(), mill.oracle(documented))
    assert built.rung is Rung.WORKSPACE
    assert built.prints().endswith(".edited")
    assert (last.rung, last.digest) == (Rung.OBSERVED, clean.digest)
