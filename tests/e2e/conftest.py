import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.store import Store
from tests.conftest import TOOLCHAIN, Leftovers
from tests.e2e.service import Service, running

SETTINGS = f"""
[toolchains]
default = "stable"
[toolchains.images]
stable = "{TOOLCHAIN}"
nightly = "{TOOLCHAIN}"
[log]
format = "text"
[verify]
rate = 0
"""
"""One image under two names: which of them a source picks is what counts, and a second image takes minutes to make.

Which builds are verified is a test's to say.
"""


@pytest.fixture(scope="session")
def prepare(toolchain_facts: tuple[str, bytes]) -> Callable[[Path], None]:
    """Makes a state directory that knows the toolchain image, which takes each new one seconds to probe."""

    async def known(state: Path) -> None:
        store = await Store.open(state)
        await store.record_toolchain_facts(*toolchain_facts)
        await store.close()

    return lambda state: asyncio.run(known(state))


@pytest.fixture(scope="session")
def service_at(prepare: Callable[[Path], None], leftovers: Leftovers) -> Callable[[Path, str], Service]:
    """Makes services in a place, with settings beside those of all."""

    def make(place: Path, more: str) -> Service:
        service = Service(place, SETTINGS + more)
        prepare(service.state)
        leftovers.instances.add(service.instance)
        return service

    return make


@pytest.fixture(scope="session")
def service(
    tmp_path_factory: pytest.TempPathFactory, service_at: Callable[[Path, str], Service], leftovers: Leftovers
) -> Iterator[Service]:
    """One daemon for all tests that need no other."""
    with running(service_at(tmp_path_factory.mktemp("service"), "")) as started:
        yield started
        remember(started, leftovers)


def remember(service: Service, leftovers: Leftovers) -> None:
    """Note the images of all its builds."""
    for build in service.ask("GET", "/v1/builds?limit=500").json["builds"]:
        images = build["outcome"]["images"] if build["outcome"] else []
        leftovers.images.update(image["image_id"] for image in images)
        leftovers.images.update(tag for image in images for tag in image["tags"])
