from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.caching.workshop import Workshop, workshop
from tests.conftest import Leftovers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(
    tmp_path_factory: pytest.TempPathFactory, toolchain_facts: tuple[str, bytes], leftovers: Leftovers
) -> AsyncIterator[Workshop]:
    """One daemon for all tests of the cache."""
    async with workshop(tmp_path_factory.mktemp("workshop"), toolchain_facts, leftovers.images) as made:
        leftovers.instances.add(made.store.instance)
        yield made
