"""The ladder over a cargo that has layout v2: the toolchain image is the stable one, but for variables that turn it on.

Units, macro and build scripts among them, go from one lock to the next; an edit is compiled in the workspace; and each
image is that of a clean build.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cache.reuse import Rung
from tests.caching.test_units_rung import CFG_IF, OWN, PASTE, A, C
from tests.caching.workshop import NOBODY, Built, Workshop, workshop
from tests.conftest import Leftovers

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

EDITED = {**C, "src/main.rs": C["src/main.rs"].replace('"grove"', '"edited"')}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(
    tmp_path_factory: pytest.TempPathFactory, new_layout: tuple[str, tuple[str, bytes]], leftovers: Leftovers
) -> AsyncIterator[Workshop]:
    reference, facts = new_layout
    async with workshop(tmp_path_factory.mktemp("v2"), facts, leftovers.images, toolchain=reference) as made:
        leftovers.instances.add(made.store.instance)
        yield made


async def test_units_and_workspace_of_layout_v2_make_the_clean_images(shop: Workshop):
    await shop.build(A)
    await shop.idle()

    grown = await shop.build(C, lineage="grown", parent=NOBODY)
    edited = await shop.build(EDITED, lineage="grown")
    clean = await asyncio.gather(shop.clean(C), shop.clean(EDITED))

    assert seen(grown) == (Rung.UNITS, {PASTE, CFG_IF, OWN})
    assert seen(edited) == (Rung.WORKSPACE, {OWN})
    assert edited.prints().startswith("edited")
    assert [grown.digest, edited.digest] == [one.digest for one in clean]


def seen(built: Built) -> tuple[Rung, set[str]]:
    return built.rung, built.compiled
