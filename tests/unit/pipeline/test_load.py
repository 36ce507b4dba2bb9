"""A load that begins before its image is there: what the engine is sent, and when it has the image."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from cache.digest import Digest
from cache.reuse import Rung
from daemon.errors import CheckFailed, EngineRefused, EngineUnavailable
from daemon.image.layout import BEGINNING
from daemon.pipeline.check import Checker
from daemon.pipeline.load import Load
from tests.fakes.workshop import Workshop

IMAGE = Digest.of(b"the manifest")
PIECES = [BEGINNING + b"first", b"second", b"last"]


class Reading:
    """An engine that reads as it is sent, and has the image when it was sent all of it."""

    def __init__(self) -> None:
        self.read = b""
        self.began = asyncio.Event()
        self.has_image = False

    async def load(self, archive: AsyncGenerator[bytes, None]) -> None:
        async for piece in archive:
            self.read += piece
            self.began.set()
        self.has_image = True


class Archives:
    """Archives in pieces; `all_asked` is set when somebody wants to know what comes after the last one."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.all_asked = asyncio.Event()

    async def __call__(self, manifest: Digest) -> AsyncGenerator[bytes, None]:
        assert manifest == IMAGE
        for piece in self.pieces:
            yield piece
        self.all_asked.set()


async def test_the_engine_is_sent_the_beginning_while_there_is_no_image():
    engine: Any = Reading()
    load = Load(engine, Archives(*PIECES))

    await engine.began.wait()

    assert engine.read == BEGINNING
    await load.end()
    assert not engine.has_image


async def test_the_end_is_held_back_until_the_image_has_been_checked():
    engine: Any = Reading()
    archives = Archives(*PIECES)
    load = Load(engine, archives)
    load.send(IMAGE)
    await archives.all_asked.wait()
    assert engine.read == b"".join(PIECES[:-1])
    assert not engine.has_image

    await load.finish()

    assert engine.read == b"".join(PIECES)
    assert engine.has_image


@pytest.mark.parametrize(
    "pieces", [[b"".join(PIECES)], [BEGINNING[:100], BEGINNING[100:] + b"rest"], [BEGINNING, b"rest"]]
)
async def test_the_archive_arrives_byte_for_byte_however_it_is_cut(pieces: list[bytes]):
    engine: Any = Reading()
    load = Load(engine, Archives(*pieces))
    load.send(IMAGE)

    await load.finish()

    assert engine.read == b"".join(pieces)


async def test_a_load_that_was_broken_off_leaves_nothing_to_the_engine_and_nothing_running():
    engine: Any = Reading()
    archives = Archives(*PIECES)
    load = Load(engine, archives)
    load.send(IMAGE)
    await archives.all_asked.wait()

    await load.end()

    assert not engine.has_image
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_load_that_failed_ahead_fails_when_it_is_finished():
    class Away:
        async def load(self, _archive: AsyncGenerator[bytes, None]) -> None:
            raise EngineUnavailable("The engine is restarting")

    engine: Any = Away()
    load = Load(engine, Archives(*PIECES))
    await asyncio.sleep(0)
    load.send(IMAGE)

    with pytest.raises(EngineUnavailable):
        await load.finish()


async def test_an_image_that_fails_its_check_was_never_in_the_engine(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    async def fails(*_of: object) -> None:
        await asyncio.sleep(0)
        raise CheckFailed("there is something in it")

    monkeypatch.setattr(Checker, "check", fails)

    with pytest.raises(CheckFailed):
        await shop.build()

    assert shop.calls("load")
    assert not [call for call in shop.calls("remove") if call[0] == "images.remove"], "there was nothing to remove"
    assert shop.runtime_images() == set()
    await shop.assert_nothing_is_left()


async def test_a_load_that_the_engine_refuses_fails_the_build(shop: Workshop):
    shop.engine.fail("images.load", EngineRefused("no"))

    with pytest.raises(EngineRefused):
        await shop.build()

    assert shop.runtime_images() == set()
    await shop.assert_nothing_is_left()


async def test_a_load_for_an_image_that_the_engine_has_already_is_broken_off(shop: Workshop):
    first = await shop.build()
    images = shop.runtime_images()

    again = await shop.build(scope="another")

    assert again.reuse.rung is Rung.NONE
    assert len(shop.calls("load")) == 2
    assert again.images[0].image_id == first.images[0].image_id
    assert shop.runtime_images() == images
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_compile_that_fails_loads_nothing(shop: Workshop):
    shop.cargo.failures["compile"] = (101, "error: no\n")

    with pytest.raises(Exception, match="no"):
        await shop.build()

    assert shop.calls("load") == []
