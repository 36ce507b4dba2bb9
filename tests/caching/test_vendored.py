"""Crates that lie in the tree, members that unify features, and builds that do harm: each project's image is its own.

One workspace: two members want another feature each of one vendored crate, whose build script watches a file of the
system.
"""

from dataclasses import dataclass

import pytest
import pytest_asyncio

from cache.reuse import Rung
from tests.caching.workshop import NOBODY, Built, Workshop, both
from tests.fakes.crates import Files, manifest, printing

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

QUIET, LOUD, CRATE = "bloomery-e2e-quiet", "bloomery-e2e-loud", "bloomery-e2e-crate"
_SOURCE = "registry+https://github.com/rust-lang/crates.io-index"
LIBRARY = 'pub fn word() -> &\'static str { if cfg!(feature = "loud") { "LOUD" } else { "quiet" } }\n'


def member(name: str, features: str) -> Files:
    place = name.rpartition("-")[2]
    wanted = f'[dependencies]\n{CRATE} = {{ version = "1.0.0", features = [{features}] }}\n'
    return {
        f"{place}/Cargo.toml": manifest(name, wanted),
        f"{place}/src/main.rs": 'fn main() { println!("{}", bloomery_e2e_crate::word()); }\n',
    }


VENDOR = f"vendor/{CRATE}-1.0.0"
WORKSPACE: Files = {
    "Cargo.toml": '[workspace]\nresolver = "2"\nmembers = ["quiet", "loud"]\n',
    "Cargo.lock": "version = 4\n"
    f'\n[[package]]\nname = "{CRATE}"\nversion = "1.0.0"\nsource = "{_SOURCE}"\n'
    + "".join(
        f'\n[[package]]\nname = "{name}"\nversion = "0.1.0"\ndependencies = [\n "{CRATE}",\n]\n'
        for name in (LOUD, QUIET)
    ),
    ".cargo/config.toml": '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n',
    f"{VENDOR}/Cargo.toml": manifest(CRATE, "[features]\nloud = []\n", version="1.0.0"),
    f"{VENDOR}/src/lib.rs": LIBRARY,
    f"{VENDOR}/build.rs": 'fn main() { println!("cargo:rerun-if-changed=/usr/include/stdio.h"); }\n',
    f"{VENDOR}/.cargo-checksum.json": '{"files":{}}',
    **member(QUIET, ""),
    **member(LOUD, '"loud"'),
}
EDITED: Files = WORKSPACE | {"loud/src/main.rs": printing("edited")}
PATCHED: Files = WORKSPACE | {f"{VENDOR}/src/lib.rs": LIBRARY.replace("quiet", "patched")}
OUTSIDE = f"{CRATE} 1.0.0"


@dataclass(frozen=True)
class Builds:
    together: Built
    alone: Built
    patched: Built


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def builds(shop: Workshop) -> Builds:
    """Three cold ones; the vendored crate is edited in place for the last."""
    return Builds(
        *await both(shop.build(WORKSPACE, QUIET, LOUD), shop.build(WORKSPACE, QUIET), shop.build(PATCHED, QUIET))
    )


async def test_members_that_are_built_together_share_their_features_and_alone_do_not(builds: Builds):
    assert (builds.together.prints(QUIET), builds.together.prints(LOUD)) == ("LOUD", "LOUD")
    assert builds.alone.prints() == "quiet"
    assert builds.alone.rung is Rung.NONE
    assert builds.alone.compiled == {OUTSIDE, f"{QUIET} 0.1.0"}


async def test_law_1_a_dependency_that_watches_a_file_of_the_system_stays_fresh(shop: Workshop, builds: Builds):
    edited = await shop.build(EDITED, QUIET, LOUD, lineage="edited", parent=NOBODY)
    assert (edited.rung, edited.compiled) == (Rung.LAYER, {f"{QUIET} 0.1.0", f"{LOUD} 0.1.0"})
    assert edited.digests[QUIET] == builds.together.digests[QUIET]
    assert edited.prints(LOUD) == "edited"


async def test_a_vendored_crate_edited_in_place_counts(builds: Builds):
    """It has the same name, version and lock: cargo itself would not look."""
    assert builds.patched.prints() == "patched"
    assert builds.patched.compiled == {OUTSIDE, f"{QUIET} 0.1.0"}
    assert "files by content" in builds.patched.changed(Rung.LAYER)


async def test_law_11_a_layer_of_vendored_crates_serves_its_project_alone(shop: Workshop, builds: Builds):
    other = await shop.build(WORKSPACE, QUIET, project="another")
    assert other.rung is Rung.NONE
    assert other.digest == builds.alone.digest
