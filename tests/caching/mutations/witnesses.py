"""What a mutation has to be caught by: small scenarios in which each assertion names the law that it speaks for.

The whole suites say the same of more scenarios; these are short, because each mutation builds from nothing.
"""

from cache.reuse import Rung
from tests.caching import test_damage
from tests.caching.test_vendored import CRATE, VENDOR, WORKSPACE
from tests.caching.workshop import NOBODY, Workshop
from tests.fakes.crates import Files, lock, manifest, printing
from tests.fakes.docker import docker

NAME = "bloomery-e2e-witness"
TREE: Files = {path: text for path, text in WORKSPACE.items() if path.startswith((".cargo", VENDOR))} | {
    "Cargo.toml": manifest(NAME, f'[dependencies]\n{CRATE} = "1.0.0"\n'),
    "Cargo.lock": WORKSPACE["Cargo.lock"].partition(f'\n[[package]]\nname = "{CRATE[:-5]}loud"')[0]
    + f'\n[[package]]\nname = "{NAME}"\nversion = "0.1.0"\ndependencies = [\n "{CRATE}",\n]\n',
    "src/main.rs": 'fn main() { println!("{}", bloomery_e2e_crate::word()); }\n',
}
EDITED: Files = TREE | {"src/main.rs": printing("edited")}


async def cycle(shop: Workshop, scope: str) -> None:
    """A crate is built, edited and built again; then somebody else asks for it."""
    await shop.forget_results()
    first = await shop.build(TREE, scope=scope)
    assert first.prints() == "quiet", "law 3: a stub was shipped"
    assert await shop.units(await shop.layer(first, scope)) == {CRATE}, "law 2: a member is in the layer"
    edited = await shop.build(EDITED, scope=scope, lineage="edited", parent=NOBODY)
    assert edited.prints() == "edited", "law 5: a changed source was not compiled"
    assert edited.compiled == {f"{NAME} 0.1.0"}, "law 1: time made a dependency dirty"
    assert await shop.explained(EDITED, scope=f"{scope}-stranger") is Rung.NONE, "law 7: another scope reads it"


async def going_on(shop: Workshop, scope: str) -> None:
    """A crate is built, edited, and built again where its last compile was."""
    await shop.forget_results()
    await shop.build(TREE, scope=scope, lineage="going-on")
    edited = await shop.build(EDITED, scope=scope, lineage="going-on")
    assert edited.rung is Rung.WORKSPACE, "law 9: a workspace that is whole was not used"
    assert edited.prints() == "edited", "law 5: a changed source was not compiled in the workspace"


SPOILING = "bloomery-e2e-spoiling"
"""A project of its own: a witness that asks for the last layer of the other gets that one's."""
SPOILER = """\
use std::{fs, io::Write};
fn main() {
    for entry in fs::read_dir("/target/release/deps").unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("libcfg_if-") {
            fs::File::options().append(true).open(path).unwrap().write_all(b"spoilt").unwrap();
        }
    }
}
"""
SPOILT: Files = {
    "Cargo.toml": manifest(
        SPOILING, '[dependencies]\nitoa = "1"\n[target."cfg(unix)".build-dependencies]\ncfg-if = "1"\n'
    ),
    "Cargo.lock": lock({SPOILING: ["cfg-if", "itoa"]}, "cfg-if 1.0.5", "itoa 1.0.18"),
    "build.rs": SPOILER,
    "src/main.rs": printing("spoilt"),
}
HONEST: Files = {
    "Cargo.toml": manifest(SPOILING, '[dependencies]\nitoa = "1"\n'),
    "Cargo.lock": lock({SPOILING: ["itoa"]}, "itoa 1.0.18"),
    "src/main.rs": printing("honest"),
}


async def spoiling(shop: Workshop, scope: str) -> None:
    """A build script changes what was compiled beside it, where nothing had seemed to be missing."""
    await shop.forget_results()
    await shop.build(HONEST, scope=scope, lineage="honest")
    await shop.idle()
    spoilt = await shop.build(SPOILT, scope=scope, lineage="spoilt")
    assert spoilt.compiled == {"cfg-if 1.0.5", f"{SPOILING} 0.1.0"}, "law 6: it was not compiled over units"
    await shop.idle()
    stored = await shop.stored("cfg-if", scope)
    assert stored, "law 6: the cook behind the answer was not harvested"
    assert not any(b"spoilt" in content for content in stored.values()), "law 6: what a build script wrote is stored"


async def damage(shop: Workshop, scope: str) -> None:
    """A layer without its crates gives way to a new one."""
    await shop.forget_results()
    layer = await shop.layer(await shop.build(test_damage.SOURCES, scope=scope), scope)
    damaged = shop.damaged(layer, "rm -rf /cargo/registry")
    await shop.replace_layer(layer, damaged)
    try:
        ended = await shop.attempt(test_damage.EDITED, scope=scope, lineage="edited", parent=NOBODY)
    finally:
        await shop.replace_layer(layer, layer.image_id)
        docker("rmi", "--force", damaged)
    assert ended.build.outcome is not None, "law 9: a damaged layer was a failed build"


async def mismatch(shop: Workshop, scope: str) -> None:
    """A lock that does not fit its manifest is refused."""
    files = {
        "Cargo.toml": manifest(NAME, '[dependencies]\nitoa = "=1.0.17"\n'),
        "Cargo.lock": lock({NAME: ["itoa"]}, "itoa 1.0.18"),
        "src/main.rs": printing("never"),
    }
    ended = await shop.attempt(files, scope=scope)
    assert ended.build.failure is not None, "law 8: a lock that does not fit was replaced in silence"
    assert ended.build.failure.kind == "lock_mismatch", "law 8: the lock was not held to"
