"""Law 9: what is gone or damaged is a slower build that says why, never a failed one and never a wrong one.

All damage is done to one crate's layer; the oracle is the clean build of the edited tree, which is built on lineages
that have no workspace.
"""

from dataclasses import dataclass

import pytest
import pytest_asyncio

from cache.reuse import Rung, WhyNot
from tests.caching.workshop import NOBODY, Built, Workshop, both
from tests.fakes.crates import Files, lock, manifest
from tests.fakes.docker import docker, run

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

NAME = "bloomery-e2e-damage"
SOURCES: Files = {
    "Cargo.toml": manifest(NAME, '[dependencies]\nitoa = "1"\n'),
    "Cargo.lock": lock({NAME: ["itoa"]}, "itoa 1.0.18"),
    "src/main.rs": 'mod word;\nfn main() { println!("{} {}", word::WORD, itoa::Buffer::new().format(1)); }\n',
    "src/word.rs": 'pub const WORD: &str = "before";\n',
}
EDITED: Files = SOURCES | {"src/word.rs": 'pub const WORD: &str = "after";\n'}
ALL = {"itoa 1.0.18", f"{NAME} 0.1.0"}


@dataclass(frozen=True)
class Builds:
    cold: Built
    oracle: Built


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def builds(shop: Workshop) -> Builds:
    return Builds(*await both(shop.build(SOURCES), shop.clean(EDITED)))


async def rebuilt(shop: Workshop, builds: Builds, why: WhyNot, lineage: str) -> Built:
    """The edited tree, which must be cooked anew for this reason, and be right."""
    await shop.forget_results()
    built = await shop.build(EDITED, lineage=lineage, parent=NOBODY)
    assert (built.rung, built.compiled) == (Rung.NONE, ALL)
    assert built.why_not(Rung.LAYER) is why
    assert built.digest == builds.oracle.digest != builds.cold.digest
    return built


async def test_a_layer_that_somebody_pruned_is_cooked_again(shop: Workshop, builds: Builds):
    await shop.prune(await shop.layer(builds.cold))
    await rebuilt(shop, builds, WhyNot.PRUNED, "pruned")


async def test_a_record_that_names_another_image_is_not_believed(shop: Workshop, builds: Builds, engine: str):
    await shop.replace_layer(await shop.layer(builds.cold), engine)
    await rebuilt(shop, builds, WhyNot.DAMAGED, "another-image")


async def test_laws_3_and_4_a_layer_in_which_the_project_is_compiled_already_is_not_believed(
    shop: Workshop, builds: Builds
):
    """What a naive cache would hold: cargo calls its binary fresh, although the source has changed since."""
    layer = await shop.layer(builds.cold)
    await shop.forget_results()
    compiled = await shop.build(SOURCES, lineage="compiled", parent=NOBODY)
    await shop.replace_layer(layer, await shop.committed_compile(compiled, layer))
    await rebuilt(shop, builds, WhyNot.DAMAGED, "tampered")


async def test_an_image_that_the_engine_lost_is_loaded_again(shop: Workshop, builds: Builds):
    built = await shop.build(EDITED)
    (image,) = built.outcome.images
    docker("rmi", "--force", image.image_id)
    again = await shop.build(EDITED)
    assert (again.rung, again.digest) == (Rung.RESULT, builds.oracle.digest)
    assert run(image.image_id) == "after 1"


async def test_an_image_whose_blobs_are_gone_is_built_again(shop: Workshop, builds: Builds):
    built = await shop.build(EDITED)
    (image,) = built.outcome.images
    docker("rmi", "--force", image.image_id)
    for blob in await shop.archive_blobs(image.digest):
        blob.unlink()
    again = await shop.build(EDITED, lineage="without-blobs", parent=NOBODY)
    assert again.rung is Rung.LAYER
    assert again.digest == builds.oracle.digest
    assert run(image.image_id) == "after 1"


async def test_what_was_fetched_and_is_gone_is_fetched_again(shop: Workshop, builds: Builds):
    crate = await shop.crate("itoa-1.0.18.crate")
    crate.unlink()
    again = await shop.clean(SOURCES)
    assert again.digest == builds.cold.digest
    assert crate.exists()


async def test_a_layer_that_lost_its_crates_is_cooked_again(shop: Workshop, builds: Builds):
    layer = await shop.layer(builds.cold)
    await shop.replace_layer(layer, shop.damaged(layer, "rm -rf /cargo/registry"))
    await rebuilt(shop, builds, WhyNot.DAMAGED, "without-crates")
