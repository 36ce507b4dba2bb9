"""A workspace that survives a change of dependencies, on the real engine with the real cargo.

Every case begins where the first lock was compiled. The oracle is the clean build of the same tree: the image is the
same, digest for digest; the rung is the workspace; and exactly the packages are compiled that are said.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from cache.reuse import Rung
from tests.caching.test_units_rung import (
    BUMPED,
    BUMPED_IDENT,
    CFG_IF,
    FIRST,
    ITOA,
    MACRO,
    OWN,
    PASTE,
    QUOTE,
    A,
    B,
    blobs,
    grove,
)
from tests.caching.workshop import Built, Workshop, both, workshop
from tests.conftest import Leftovers
from tests.fakes.crates import Files

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

FEATURED: Files = A | {
    "Cargo.toml": A["Cargo.toml"].replace('quote = "1"', 'quote = { version = "1", default-features = false }')
}
ADDED = grove(*FIRST, CFG_IF)
GONE = grove(ITOA)
OTHER = grove(PASTE, name="bloomery-e2e-hedge")


@dataclass(slots=True)
class Lane:
    """One lineage of the grove."""

    shop: Workshop
    cold: Built

    async def build(self, files: Files) -> Built:
        await self.shop.forget_results()
        return await self.shop.build(files, lineage="lane")

    async def at_first(self) -> None:
        """Where the first lock was compiled, with nothing stored but what that has left."""
        record = await self.shop.workspace(self.cold.outcome.project, "lane")
        if record.tree != await self.shop.tree(A):
            assert (await self.build(A)).rung is Rung.WORKSPACE

    async def size(self) -> int:
        return (await self.shop.workspace(self.cold.outcome.project, "lane")).size


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lane(
    tmp_path_factory: pytest.TempPathFactory, toolchain_facts: tuple[str, bytes], leftovers: Leftovers
) -> AsyncIterator[Lane]:
    async with workshop(tmp_path_factory.mktemp("lane"), toolchain_facts, leftovers.images) as shop:
        leftovers.instances.add(shop.store.instance)
        cold = await shop.build(A, lineage="lane")
        await shop.idle()
        yield Lane(shop, cold)


async def test_one_added_is_compiled_alone_and_removed_again_leaves_nothing_to_compile(lane: Lane):
    built, clean = await both(lane.build(B), lane.shop.clean(B))
    assert (built.rung, built.compiled) == (Rung.WORKSPACE, {PASTE, OWN})
    assert built.report.reused == len(FIRST)
    assert built.digest == clean.digest
    assert await lane.shop.stored("paste") == {}

    back = await lane.build(A)
    assert (back.rung, back.compiled, back.digest) == (Rung.WORKSPACE, {OWN}, lane.cold.digest)
    await lane.shop.idle()
    assert await lane.shop.stored("paste"), "a cook followed behind the answer"


async def test_one_that_another_project_has_compiled_is_put_in(lane: Lane):
    await lane.at_first()
    await lane.shop.build(OTHER)
    await lane.shop.idle()
    built, clean = await both(lane.build(B), lane.shop.clean(B))
    assert (built.rung, built.compiled, built.digest) == (Rung.WORKSPACE, {OWN}, clean.digest)


async def test_one_updated_deep_in_the_graph_compiles_exactly_its_dependents_and_back_nothing(lane: Lane):
    await lane.at_first()
    built, clean = await both(lane.build(BUMPED), lane.shop.clean(BUMPED))
    assert (built.rung, built.compiled) == (Rung.WORKSPACE, {BUMPED_IDENT, MACRO, QUOTE, OWN})
    assert built.digest == clean.digest
    back = await lane.build(A)
    assert (back.rung, back.compiled, back.digest) == (Rung.WORKSPACE, {OWN}, lane.cold.digest)


async def test_a_feature_compiles_what_it_forces(lane: Lane):
    await lane.at_first()
    built, clean = await both(lane.build(FEATURED), lane.shop.clean(FEATURED))
    assert (built.rung, built.compiled) == (Rung.WORKSPACE, {MACRO, QUOTE, OWN})
    assert built.digest == clean.digest


async def test_law_10_its_size_stays_bounded_over_many_bumps(lane: Lane):
    await lane.at_first()
    sizes = []
    for _ in range(4):
        for files in (GONE, BUMPED, A):
            assert (await lane.build(files)).rung is Rung.WORKSPACE
        sizes.append(await lane.size())
    assert max(sizes) <= 1.02 * sizes[0]


async def test_law_9_a_damaged_unit_is_compiled(lane: Lane):
    await lane.at_first()
    await lane.shop.build(ADDED, lineage="beside")
    await lane.shop.idle()
    for blob in await blobs(lane.shop, "cfg-if"):
        blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    built, clean = await both(lane.build(ADDED), lane.shop.clean(ADDED))
    assert (built.rung, built.compiled) == (Rung.WORKSPACE, {CFG_IF, OWN})
    assert built.digest == clean.digest


async def test_with_the_store_emptied_what_is_there_is_still_of_use(lane: Lane):
    """The last test."""
    await lane.at_first()
    await lane.shop.store.evict_units(0)
    built = await lane.build(ADDED)
    assert (built.rung, built.compiled) == (Rung.WORKSPACE, {CFG_IF, OWN})
    back = await lane.build(A)
    assert (back.rung, back.compiled, back.digest) == (Rung.WORKSPACE, {OWN}, lane.cold.digest)
