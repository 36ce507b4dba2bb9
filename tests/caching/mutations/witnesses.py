"""What a mutation has to be caught by: small scenarios in which each assertion names the law that it speaks for.

The whole suites say the same of more scenarios; these are short, because each mutation builds from nothing.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from cache.reuse import Rung
from daemon.ecosystems.rust.canary import Canary
from daemon.ecosystems.rust.layouts import KNOWN
from daemon.toolchains import record
from daemon.toolchains.toolchain import NO_LAYOUT
from tests.caching import test_damage
from tests.caching.test_vendored import CRATE, LIBRARY, VENDOR, WORKSPACE
from tests.caching.workshop import NOBODY, Workshop
from tests.conftest import TOOLCHAIN
from tests.contract.test_canary import TellsNothing
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


async def compiled_in_the_layer(shop: Workshop, scope: str) -> None:
    """What a naive cache would hold: the layer of an edited crate has the crate itself, as it was before."""
    await shop.forget_results()
    first = await shop.build(TREE, scope=scope, lineage="in-the-layer")
    layer = await shop.layer(first, scope)
    await shop.replace_layer(layer, await shop.committed_compile(first, layer))
    edited = await shop.build(EDITED, scope=scope, lineage="over-it", parent=NOBODY)
    assert edited.prints() == "edited", "law 4: a member's artefact came from a layer"


MOVING = "bloomery-e2e-moving"


def wanting(*crates: str) -> Files:
    """A program that depends on these crates."""
    names = [crate.partition(" ")[0] for crate in crates]
    wanted = "".join(f'{name} = "1"\n' for name in names)
    return {
        "Cargo.toml": manifest(MOVING, f"[dependencies]\n{wanted}"),
        "Cargo.lock": lock({MOVING: names}, *crates),
        "src/main.rs": printing("moving"),
    }


async def moving(shop: Workshop, scope: str) -> None:
    """A workspace goes from one lock to another, and on to a third."""
    await shop.forget_results()
    for files in (wanting("itoa 1.0.18"), wanting("cfg-if 1.0.5"), wanting()):
        moved = await shop.build(files, scope=scope, lineage="moving", parent=NOBODY)
    assert moved.rung is Rung.WORKSPACE, "law 9: a workspace that is whole was not used"
    left = await shop.artefacts(await shop.workspace(MOVING, "moving", scope))
    assert not any("itoa" in name for name in left), "law 10: what two locks have not wanted is still there"


PROOF = "ab" * 32
VENDORED: Files = {path: text for path, text in TREE.items() if not path.endswith("build.rs")} | {
    "Cargo.lock": TREE["Cargo.lock"].replace('crates.io-index"\n', f'crates.io-index"\nchecksum = "{PROOF}"\n'),
    f"{VENDOR}/.cargo-checksum.json": f'{{"files":{{}},"package":"{PROOF}"}}',
}
OTHERS: Files = VENDORED | {f"{VENDOR}/src/lib.rs": LIBRARY.replace("quiet", "patched")}


async def vendored_twice(shop: Workshop, scope: str) -> None:
    """Two projects have one crate in their trees, by its name and checksum; one of them has edited it."""
    await shop.forget_results()
    await shop.build(VENDORED, scope=scope, project="vendored")
    await shop.idle()
    other = await shop.build(OTHERS, scope=scope, project="vendored and edited")
    assert other.prints() == "patched", "law 11: a crate of another project's tree was shared"


async def unknown_layout(shop: Workshop, scope: str) -> None:
    """The canary has found every layout wanting."""
    image = docker("image", "inspect", "--format", "{{.Id}}", TOOLCHAIN)
    kept = await shop.store.toolchain_facts(image)
    assert kept is not None
    facts = record.read(kept, image)
    assert facts is not None
    await shop.store.record_toolchain_facts(image, record.write(replace(facts, layout=NO_LAYOUT)))
    await shop.daemon.toolchains.refresh()
    try:
        await shop.forget_results()
        await shop.build(TREE, scope=scope, lineage="coarse", parent=NOBODY)
        edited = await shop.build(EDITED, scope=scope, lineage="coarse", parent=NOBODY)
        assert edited.prints() == "edited", "law 5: a changed source was not compiled"
        assert edited.rung is Rung.LAYER, "law 12: a layout was used that the canary found wanting"
    finally:
        await shop.store.record_toolchain_facts(image, kept)
        await shop.daemon.toolchains.refresh()


async def forgetful(shop: Workshop, scope: str) -> None:
    """A layout is tried that does not find what a member has read."""
    image = docker("image", "inspect", "--format", "{{.Id}}", TOOLCHAIN)
    kept = await shop.store.toolchain_facts(image)
    assert kept is not None
    facts = record.read(kept, image)
    assert facts is not None
    layouts = (replace(KNOWN[0], marks=TellsNothing()),)
    with TemporaryDirectory() as scratch:
        found = await Canary(shop.engine.sandboxes, scratch=Path(scratch), layouts=layouts).find(facts)
    assert found.layout is None, "law 12: a layout that tells nothing of what was read was found to hold"
