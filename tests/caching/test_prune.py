"""Pruning everything on the real engine: the next build is right, and slower (law 9)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cache.reuse import Rung
from daemon.maintenance import Trial
from tests.caching.workshop import Workshop, workshop
from tests.conftest import Leftovers
from tests.fakes.crates import Files, lock, manifest
from tests.fakes.docker import docker

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="session")]

NAME = "bloomery-e2e-prune"
SOURCES: Files = {
    "Cargo.toml": manifest(NAME, '[dependencies]\nitoa = "1"\n'),
    "Cargo.lock": lock({NAME: ["itoa"]}, "itoa 1.0.18"),
    "src/main.rs": 'fn main() { println!("{}", itoa::Buffer::new().format(7)); }\n',
}
LATER = 3600.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own(
    tmp_path_factory: pytest.TempPathFactory, toolchain_facts: tuple[str, bytes], leftovers: Leftovers
) -> AsyncIterator[Workshop]:
    """A daemon of its own: what goes is the whole cache."""
    async with workshop(tmp_path_factory.mktemp("prune"), toolchain_facts, leftovers.images) as made:
        leftovers.instances.add(made.store.instance)
        yield made


async def test_after_a_prune_of_everything_a_build_is_right_and_slower(own: Workshop):
    maintenance = own.daemon.maintenance
    cold = await own.build(SOURCES)
    edited = SOURCES | {"src/main.rs": SOURCES["src/main.rs"].replace("7", "8")}
    warm = await own.build(edited)
    assert (cold.rung, warm.rung) == (Rung.NONE, Rung.WORKSPACE)
    clock, maintenance._clock = maintenance._clock, lambda: clock() + LATER

    gone = await maintenance.prune(0, Trial.REAL)

    assert {tally.kind for tally in gone.kinds if tally.records} >= {"result", "workspace", "layer", "fetched", "tree"}
    assert (await maintenance.contents()).size == 0
    label = f"label=bloomery.instance={own.store.instance}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    # A busy engine may take longer than it is waited for; then it is asked again.
    left = {name.name[3] for name in maintenance._left}
    assert set(docker("images", "--quiet", "--no-trunc", "--filter", label).split()) <= left
    again = await own.build(edited)
    assert (again.rung, again.digest) == (Rung.NONE, warm.digest)
    assert again.compiled == {"itoa 1.0.18", f"{NAME} 0.1.0"}
    assert again.prints() == "8"
