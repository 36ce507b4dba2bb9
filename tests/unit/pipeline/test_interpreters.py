"""Interpreters of toolchain images are looked up once, also by several builds at a time, and ahead of all of them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.behind import Behind
from daemon.errors import EngineUnavailable
from daemon.image.architecture import AMD64
from daemon.image.elf import ElfReader
from daemon.image.layer import Blob
from daemon.image.library_source import LibrarySource
from daemon.pipeline.interpreters import Interpreter, Interpreters
from daemon.pipeline.kept_layers import KeptLayers
from daemon.toolchains.toolchain import Toolchain
from tests.fakes.engine import FakeEngine, file
from tests.fakes.images import MemoryIndex
from tests.fakes.python_projects import PYTHON, python_toolchain
from tests.unit.pipeline.test_kept_layers import Listings

OS = b"import sys\n"


class Looking:
    """Interpreters over a fake engine."""

    def __init__(self, state: Path) -> None:
        self.blobs = BlobStore(state)
        self.engine = FakeEngine()
        self.behind = Behind(1)
        self.source = LibrarySource(self.engine.sandboxes, self.blobs, MemoryIndex())
        self.kept = KeptLayers(Listings(), self.blobs)
        self.interpreters = Interpreters(
            blobs=self.blobs,
            source=self.source,
            reader=ElfReader(),
            architecture=AMD64,
            kept=self.kept,
            behind=self.behind,
        )

    def toolchain(self, name: str = "stable") -> Toolchain:
        files = {PYTHON.executable: file(b"program", 0o755), f"{PYTHON.library}/os.py": file(OS)}
        return python_toolchain(self.engine.add_image(f"bloomery/toolchain:{name}", files).id, name=name)

    async def of(self, toolchain: Toolchain) -> Interpreter:
        async with self.source.open(toolchain.facts.image_id) as files:
            return await self.interpreters.of(toolchain, files)

    def sandboxes(self) -> int:
        """How many were made."""
        return sum(method == "sandboxes.create" for method, _ in self.engine.calls)

    async def idle(self) -> None:
        """All that waits is done."""
        async with asyncio.timeout(10):
            await self.behind.idle()


@pytest.fixture
def looking(tmp_path: Path) -> Looking:
    return Looking(tmp_path / "state")


@pytest.fixture
async def working(looking: Looking) -> AsyncIterator[Looking]:
    """One that does what waits."""
    task = asyncio.create_task(looking.behind.run())
    yield looking
    task.cancel()
    await asyncio.wait({task})


async def test_an_interpreters_layer_is_whole_and_sorted(looking: Looking):
    found = await looking.of(looking.toolchain())

    assert [file.path for file in found.files] == [
        *("/usr/bin/python3.11", "/usr/bin/python3", "/usr/lib/python3.11/os.py")
    ]
    paths = [file.path for file in found.layer]
    assert paths == sorted(paths)
    assert {"/usr", "/usr/lib", *(file.path for file in found.files)} <= set(paths)
    assert found.libraries == ()


async def test_it_is_looked_up_once_for_each_image(looking: Looking):
    stable, newer = looking.toolchain(), looking.toolchain("newer")

    first, second = await asyncio.gather(looking.of(stable), looking.of(stable))
    again = await looking.of(stable)

    assert first is second is again
    assert looking.sandboxes() == 1
    assert (await looking.of(newer)).layer == first.layer
    assert looking.sandboxes() == 2
    assert looking.engine.containers == {}


async def test_one_whose_file_is_lost_is_looked_up_again(looking: Looking):
    stable = looking.toolchain()
    first = await looking.of(stable)
    looking.blobs.remove(Digest.of(OS))

    again = await looking.of(stable)

    assert again == first
    assert looking.blobs.has(Digest.of(OS))


async def test_what_is_not_used_for_long_is_forgotten(looking: Looking, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("daemon.pipeline.interpreters._MOST", 1)
    stable, newer = looking.toolchain(), looking.toolchain("newer")
    first = await looking.of(stable)
    await looking.of(newer)

    assert await looking.of(stable) is not first


async def test_it_is_made_ready_behind_the_answers_and_a_build_finds_it(working: Looking):
    stable = working.toolchain()
    working.interpreters.put(stable)
    working.interpreters.put(stable)
    await working.idle()
    assert working.sandboxes() == 1

    found = await working.of(stable)

    assert working.sandboxes() == 1
    assert working.engine.containers == {}
    layer = await working.kept.known(found.layer)
    assert isinstance(layer, Blob)
    assert Digest.of(working.blobs.read(layer.digest)) == layer.digest


async def test_a_toolchain_without_python_has_nothing_to_be_made_ready(working: Looking):
    bare = working.toolchain()
    working.interpreters.put(replace(bare, facts=replace(bare.facts, python=None)))
    await working.idle()

    assert working.sandboxes() == 0


async def test_one_that_could_not_be_made_ready_is_tried_again(working: Looking):
    stable = working.toolchain()
    working.engine.fail("create", EngineUnavailable("no"))
    working.interpreters.put(stable)
    await working.idle()
    assert working.sandboxes() == 1

    working.interpreters.put(stable)
    await working.idle()

    assert working.sandboxes() == 2
    await working.of(stable)
    assert working.sandboxes() == 2


async def test_one_for_which_there_was_no_room_is_asked_for_again(looking: Looking):
    stable, nightly = looking.toolchain(), looking.toolchain("nightly")
    looking.interpreters.put(stable)
    looking.interpreters.put(nightly)
    task = asyncio.create_task(looking.behind.run())
    await looking.idle()
    assert looking.sandboxes() == 1

    looking.interpreters.put(nightly)
    await looking.idle()

    assert looking.sandboxes() == 2
    task.cancel()
    await asyncio.wait({task})
