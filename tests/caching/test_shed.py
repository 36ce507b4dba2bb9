"""One package with one dependency: what changes its layer and what does not, and what happens when a layer is bad.

The oracle is the clean build of the same tree: the image has to be the same, digest for digest. What is to stand on the
layer is built on a lineage of its own, which has no workspace.
"""

from dataclasses import dataclass

import pytest
import pytest_asyncio

from cache.reuse import Rung, WhyNot
from tests.caching.workshop import NOBODY, Built, Workshop, both
from tests.fakes.crates import Files, lock, manifest

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

NAME = "bloomery-e2e-shed"
DEPENDENCIES = '[dependencies]\nitoa = "1"\n[features]\nloud = []\n'
MAIN = """
fn main() {
    let mut digits = itoa::Buffer::new();
    let mark = if cfg!(feature = "loud") { "!" } else { "." };
    println!("shed {}{}", digits.format(1), mark);
}
"""
SHED: Files = {
    "Cargo.toml": manifest(NAME, DEPENDENCIES),
    "Cargo.lock": lock({NAME: ["itoa"]}, "itoa 1.0.18"),
    "src/main.rs": MAIN,
}
EDITED: Files = SHED | {"src/main.rs": MAIN.replace("shed", "edited")}
OWN = f"{NAME} 0.1.0"
ITOA = "itoa 1.0.18"


def versioned(version: str, package: str = "") -> Files:
    """Another version in a manifest that is formatted anew; the program prints it."""
    return SHED | {
        "Cargo.toml": "# formatted anew\n" + manifest(NAME, "\n" + DEPENDENCIES, version=version, package=package),
        "Cargo.lock": lock({NAME: ["itoa"]}, "itoa 1.0.18", versions={NAME: version}),
        "src/main.rs": 'fn main() { println!("{}", env!("CARGO_PKG_VERSION")); }\n',
    }


@dataclass(frozen=True)
class Shed:
    """The first build of the tree, which was cold, and the clean build of the edited one."""

    cold: Built
    edited: Built


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shed(shop: Workshop) -> Shed:
    """Two clean builds at once."""
    return Shed(*await both(shop.build(SHED), shop.clean(EDITED)))


@pytest.fixture(autouse=True)
def _built(shed: Shed) -> None:
    """Every test begins with the layer cooked."""


async def test_a_cold_build_says_that_it_is_the_first_and_compiles_everything(shed: Shed):
    assert shed.cold.rung is Rung.NONE
    assert shed.cold.compiled == {ITOA, OWN}
    assert shed.cold.why_not(Rung.LAYER) is WhyNot.FIRST_BUILD
    assert shed.cold.prints() == "shed 1."


async def test_the_same_sources_again_are_the_same_image_and_nothing_is_compiled(shop: Workshop, shed: Shed):
    again = await shop.build(SHED)
    assert (again.rung, again.digest, again.compiled) == (Rung.RESULT, shed.cold.digest, set())
    assert again.report.seconds_saved > 1


async def test_an_edited_source_is_compiled_over_the_layer(shop: Workshop, shed: Shed):
    await shop.forget_results()
    edited = await shop.build(EDITED, lineage="edited", parent=NOBODY)
    assert (edited.rung, edited.compiled) == (Rung.LAYER, {OWN})
    assert edited.digest == shed.edited.digest != shed.cold.digest
    assert edited.prints() == "edited 1."


async def test_reverted_sources_compiled_over_the_layer_are_the_cold_image_again(shop: Workshop, shed: Shed):
    await shop.forget_results()
    reverted = await shop.build(SHED, lineage="reverted", parent=NOBODY)
    assert (reverted.rung, reverted.compiled, reverted.digest) == (Rung.LAYER, {OWN}, shed.cold.digest)


@pytest.mark.parametrize(
    "mtime",
    [0, 978307200, 1_700_000_000.123456789, 4_102_444_800],
    ids=["1970", "the constant itself", "with a fraction", "2100"],
)
async def test_law_1_the_times_of_a_client_s_files_are_no_part_of_the_tree(shop: Workshop, mtime: float):
    assert await shop.uploaded(SHED, mtime=mtime) == await shop.tree(SHED)


async def test_law_2_a_layer_holds_what_was_compiled_of_dependencies_and_nothing_of_members(shop: Workshop, shed: Shed):
    assert await shop.units(await shop.layer(shed.cold)) == {"itoa"}


async def test_law_4_another_project_of_the_same_name_gets_its_own_binary(shop: Workshop, shed: Shed):
    """Same package name, version, lock and scope; only the sources differ."""
    await shop.forget_results()
    twin = await shop.build(EDITED, project="another")
    assert (twin.rung, twin.compiled, twin.digest) == (Rung.LAYER, {OWN}, shed.edited.digest)


async def test_law_7_another_scope_reuses_nothing(shop: Workshop, shed: Shed):
    stranger = await shop.build(SHED, scope="stranger")
    assert (stranger.rung, stranger.compiled) == (Rung.NONE, {ITOA, OWN})
    assert stranger.why_not(Rung.LAYER) is WhyNot.FIRST_BUILD
    assert stranger.digest == shed.cold.digest


@pytest.mark.parametrize(
    ("version", "package"),
    [("0.2.0", ""), ("0.1.0", 'description = "words"\nlicense = "MIT"\n')],
    ids=["own version bumped", "described"],
)
async def test_what_a_manifest_says_of_its_own_package_stands_on_the_layer(
    shop: Workshop, shed: Shed, version: str, package: str
):
    built = await shop.build(versioned(version, package), lineage=version, parent=NOBODY)
    assert (built.rung, built.compiled) == (Rung.LAYER, {f"{NAME} {version}"})
    assert built.prints() == version


async def test_law_3_a_real_package_with_a_stub_s_version_is_no_stub(shop: Workshop, shed: Shed):
    built = await shop.build(versioned("0.0.0-bloomery.stub"), lineage="stub", parent=NOBODY)
    assert built.rung is Rung.LAYER
    assert built.prints() == "0.0.0-bloomery.stub"


@dataclass(frozen=True)
class Change:
    """A change that no layer fits: what of the exact key differs, and what has to be compiled for it."""

    files: Files
    label: str
    compiled: set[str]
    prints: str
    request: dict[str, object]


BUILD_SCRIPT = SHED | {"build.rs": 'fn main() { println!("cargo:rustc-env=WORD=built"); }\n'}
BUILD_SCRIPT |= {
    "src/main.rs": MAIN.replace("shed {}{}", "{} {}{}").replace("digits.format", 'env!("WORD"), digits.format')
}
MORE = DEPENDENCIES.replace('itoa = "1"', 'itoa = "1"\ncfg-if = "1"')
ADDED = {
    "Cargo.toml": manifest(NAME, MORE),
    "Cargo.lock": lock({NAME: ["itoa", "cfg-if"]}, "itoa 1.0.18", "cfg-if 1.0.5"),
    "src/main.rs": MAIN.replace("fn main", "cfg_if::cfg_if! { if #[cfg(unix)] { const _: u8 = 0; } }\nfn main"),
}
CHANGES = {
    "a build script is added": Change(BUILD_SCRIPT, "manifest Cargo.toml", {ITOA, OWN}, "built 1.", {}),
    "a dependency is added": Change(ADDED, "Cargo.lock", {ITOA, "cfg-if 1.0.5", OWN}, "shed 1.", {}),
    "a feature is asked for": Change(SHED, "features", {ITOA, OWN}, "shed 1!", {"features": ("loud",)}),
    "another profile is asked for": Change(SHED, "profile", {ITOA, OWN}, "shed 1.", {"profile": "dev"}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def changed(shop: Workshop, shed: Shed) -> dict[str, Built]:
    builds = (shop.build(one.files, lineage=name, parent=NOBODY, **one.request) for name, one in CHANGES.items())
    return dict(zip(CHANGES, await both(*builds), strict=True))


@pytest.mark.parametrize("name", CHANGES)
async def test_what_can_change_a_dependency_is_cooked_anew(changed: dict[str, Built], name: str):
    change, built = CHANGES[name], changed[name]
    assert (built.rung, built.compiled) == (Rung.NONE, change.compiled)
    assert built.why_not(Rung.LAYER) is WhyNot.KEY_CHANGED
    assert change.label in {label for one in changed.values() for label in one.changed(Rung.LAYER)}
    assert built.prints() == change.prints


async def test_a_dependency_removed_again_stands_on_the_first_layer(
    shop: Workshop, shed: Shed, changed: dict[str, Built]
):
    """Lock A, B, A again: no dependency is compiled."""
    await shop.forget_results()
    again = await shop.build(SHED, lineage="again", parent=NOBODY)
    assert (again.rung, again.compiled, again.digest) == (Rung.LAYER, {OWN}, shed.cold.digest)
