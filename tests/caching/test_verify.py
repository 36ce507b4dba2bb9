"""The proof of reuse, on a real engine with the real cargo: what is right is equal on each rung, what is wrong is not.

The clean builds of a verification are the subject here: what is reused is made wrong in ways that nothing else finds.
"""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import pytest_asyncio

from cache.reuse import Rung
from daemon.builds import Verification, Verified
from daemon.ecosystems.rust.compiling import RustCompiling
from daemon.ecosystems.rust.marks_v1 import MarksV1
from tests.caching.workshop import NOBODY, Built, Workshop
from tests.fakes.crates import FEATURED, Files, lock, manifest
from tests.fakes.docker import docker

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

NAME = "bloomery-e2e-verify"
SCOPE = "verify"
SOURCES: Files = {
    "Cargo.toml": manifest(NAME, '[dependencies]\nitoa = "1"\n'),
    "Cargo.lock": lock({NAME: ["itoa"]}, "itoa 1.0.18"),
    "src/main.rs": 'mod word;\nfn main() { println!("{} {}", word::WORD, itoa::Buffer::new().format(1)); }\n',
    "src/word.rs": 'pub const WORD: &str = "before";\n',
    "README.md": "words\n",
}
README: Files = SOURCES | {"README.md": "other words\n"}
OTHER: Files = SOURCES | {
    "Cargo.toml": manifest(f"{NAME}-other", '[dependencies]\nitoa = "1"\n' + FEATURED),
    "Cargo.lock": lock({f"{NAME}-other": ["itoa"]}, "itoa 1.0.18"),
}
TIMED: Files = {
    "Cargo.toml": manifest(f"{NAME}-timed"),
    "Cargo.lock": lock({f"{NAME}-timed": []}),
    "build.rs": "fn main() {\n"
    "    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();\n"
    '    println!("cargo:rustc-env=BUILT={}", now.as_nanos());\n'
    "}\n",
    "src/main.rs": 'fn main() { println!("{}", env!("BUILT")); }\n',
}

SPOIL = """\
set -e
cd /target/release/deps
library=$(ls libitoa-*.rlib)
hash=${library#libitoa-}
touch -r "$library" /tmp/time
cat > /tmp/itoa.rs << 'END'
pub struct Buffer;
impl Buffer {
    pub fn new() -> Self { Buffer }
    pub fn format(&mut self, _: i32) -> &'static str { "spoilt" }
}
END
rustc --crate-name itoa --edition 2021 --crate-type lib -C opt-level=3 -C metadata=spoilt \\
    -C extra-filename=-${hash%.rlib} --emit=metadata,link --out-dir . /tmp/itoa.rs
touch -r /tmp/time libitoa-* .
"""
"""In a layer: another crate takes the place of one, with its time."""


def saying(word: str) -> Files:
    return SOURCES | {"src/word.rs": f'pub const WORD: &str = "{word}";\n'}


async def told(shop: Workshop, *built: Built) -> list[Verification]:
    """What their records say, once all are verified."""
    await shop.verified()
    found = [(await shop.ended(one.build.id)).build.verification for one in built]
    assert all(one is not None for one in found)
    return [one for one in found if one is not None]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cold(shop: Workshop) -> Built:
    built = await shop.build(SOURCES, scope=SCOPE)
    await shop.idle()
    return built


def ours(shop: Workshop) -> Mapping[str, set[str]]:
    label = f"label=bloomery.instance={shop.store.instance}"
    return {
        "containers": set(docker("ps", "--all", "--quiet", "--filter", label).split()),
        "images": set(docker("images", "--quiet", "--no-trunc", "--filter", label).split()),
    }


async def test_what_is_right_is_equal_on_every_rung_and_nothing_of_the_clean_builds_stays(shop: Workshop, cold: Built):
    asked = {"scope": SCOPE, "verify": True}
    built = [
        await shop.build(SOURCES, **asked),
        await shop.build(README, **asked),
        await shop.build(saying("edited"), **asked),
        await shop.build(saying("layered"), lineage="layered", parent=NOBODY, **asked),
        await shop.build(OTHER, **asked),
    ]
    assert [one.rung for one in built] == [Rung.RESULT, Rung.OBSERVED, Rung.WORKSPACE, Rung.LAYER, Rung.UNITS]
    await shop.idle()
    before = ours(shop)

    verified = await told(shop, *built)

    assert [(one.result, one.images, one.units) for one in verified] == [(Verified.EQUAL, (), ())] * 5
    assert ours(shop) == before


async def test_a_wrong_compile_in_a_workspace_is_found_and_revoked_and_the_next_build_is_right(
    shop: Workshop, cold: Built, monkeypatch: pytest.MonkeyPatch
):
    """Law 5, broken on purpose: nothing is marked dirty, and nobody asks cargo."""
    asked = {"scope": SCOPE, "lineage": "stale"}
    await shop.build(saying("stale"), **asked)
    with monkeypatch.context() as broken:
        broken.setattr(MarksV1, "dirty", lambda *_given: [])
        broken.setattr(RustCompiling, "_refuse_fresh", lambda *_given: None)
        wrong = await shop.build(saying("true"), verify=True, **asked)
    assert (wrong.rung, wrong.prints()) == (Rung.WORKSPACE, "stale 1")

    (found,) = await told(shop, wrong)

    (image,) = found.images
    assert (found.result, image.digest) == (Verified.DIFFERENT, wrong.digest)
    assert [file.path for file in image.files.files] == [f"/app/{NAME}"]
    assert found.units == ()
    again = await shop.build(saying("true"), **asked)
    assert (again.rung, again.prints(), again.digest) == (Rung.UNITS, "true 1", image.clean)


async def test_a_wrong_layer_is_found_and_revoked_and_the_next_build_is_right(shop: Workshop):
    """A dependency in it is compiled from other sources, which neither its label nor cargo can tell."""
    scope = f"{SCOPE}-layer"
    layer = await shop.layer(await shop.build(SOURCES, scope=scope), scope)
    await shop.replace_layer(layer, shop.damaged(layer, SPOIL))
    wrong = await shop.build(saying("layered"), scope=scope, lineage="layered", parent=NOBODY, verify=True)
    assert (wrong.rung, wrong.prints()) == (Rung.LAYER, "layered spoilt")

    (found,) = await told(shop, wrong)

    assert found.result is Verified.DIFFERENT
    assert await shop.store.latest_layer(scope, NAME) is None
    again = await shop.build(saying("layered"), scope=scope, lineage="layered", parent=NOBODY)
    assert again.rung in {Rung.UNITS, Rung.NONE}
    assert (again.prints(), again.digest) == ("layered 1", found.images[0].clean)


async def test_a_source_that_is_not_reproducible_is_told_so_and_nothing_is_revoked(shop: Workshop):
    await shop.build(TIMED, scope=SCOPE)
    edited = TIMED | {"src/main.rs": 'fn main() { println!("{}!", env!("BUILT")); }\n'}
    built = await shop.build(edited, scope=SCOPE, verify=True)

    (found,) = await told(shop, built)

    assert (built.rung, found.result, found.revoked) == (Rung.WORKSPACE, Verified.UNSTABLE, 0)
    assert (await shop.build(edited, scope=SCOPE)).rung is Rung.RESULT
    assert replace(found, images=()).units == ()
