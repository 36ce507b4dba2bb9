"""A build script that spoils all it can reach: the next build over the same layer is none the worse for it (law 6)."""

import pytest

from cache.reuse import Rung
from daemon.builds import BuildState, StageName
from tests.caching.workshop import NOBODY, Workshop, both
from tests.fakes.crates import Files, lock, manifest

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

NAME = "bloomery-e2e-hostile"
HOSTILE = r"""
use std::{fs, path::Path};

fn spoil(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            spoil(&path);
        } else if path.to_string_lossy().contains("itoa") {
            let _ = fs::write(&path, b"spoiled");
        }
    }
}

fn main() {
    for place in ["/target", "/cargo", "/work"] {
        spoil(Path::new(place));
        let _ = fs::write(Path::new(place).join("left-behind"), b"spoiled");
    }
    let _ = fs::write("/cargo/config.toml", b"[build]\nrustc = '/bin/false'\n");
}
"""
MAIN = 'fn main() { println!("{}", itoa::Buffer::new().format(1)); }\n'
INNOCENT: Files = {
    "Cargo.toml": manifest(NAME, '[dependencies]\nitoa = "1"\n'),
    "Cargo.lock": lock({NAME: ["itoa"]}, "itoa 1.0.18"),
    "build.rs": "fn main() {}\n",
    "src/main.rs": MAIN,
}
VICTIM: Files = INNOCENT | {"src/main.rs": MAIN.replace("format(1)", "format(2)")}


async def test_law_6_what_a_build_script_writes_is_gone_with_its_build(shop: Workshop):
    first, clean = await both(shop.build(INNOCENT), shop.clean(VICTIM))
    spoiled = await shop.attempt(INNOCENT | {"build.rs": HOSTILE}, project="hostile")
    assert spoiled.build.state is BuildState.FAILED, "it could not spoil its own dependencies"
    assert StageName.COMPILE in {stage.stage for stage in spoiled.build.stages}
    victim = await shop.build(VICTIM, lineage="victim", parent=NOBODY)
    assert victim.rung is Rung.LAYER
    assert victim.digest == clean.digest != first.digest
    assert victim.compiled == {f"{NAME} 0.1.0"}
    assert await shop.units(await shop.layer(first)) == {"itoa"}
