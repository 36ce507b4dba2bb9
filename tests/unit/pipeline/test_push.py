"""Images that go to a registry as well as into the engine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cache.digest import Digest
from cache.index import TagMove
from cache.reuse import Rung
from daemon.builds import StageName
from daemon.errors import PushDenied, PushFailed
from tests.fakes.oci_registry import Door, OciRegistry
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import SIMPLE
from tests.fakes.workshop import Workshop

EDITED = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}


@pytest.fixture
async def registry() -> AsyncIterator[OciRegistry]:
    made = OciRegistry()
    async with made.serving():
        yield made


async def test_a_pushed_image_is_the_one_in_the_engine(shop: Workshop, registry: OciRegistry):
    tag, heard = f"{registry.host}/team/app:1", Heard()

    outcome = await shop.build(tags=(tag, "app"), push=True, progress=heard)

    (image,) = outcome.images
    assert image.pushed == (f"{registry.host}/team/app@{image.digest}",)
    assert image.tags == (tag, "app:latest")
    assert list(registry.manifests) == [("team/app", "1")]
    assert image.image_id in registry.contents
    assert heard.stages[-2:] == [StageName.PUSH, StageName.PUBLISH]


async def test_what_is_not_to_be_pushed_stays(shop: Workshop, registry: OciRegistry):
    heard = Heard()

    outcome = await shop.build(tags=(f"{registry.host}/team/app:1",), push=False, progress=heard)

    assert outcome.images[0].pushed == ()
    assert registry.asked == []
    assert StageName.PUSH not in heard.stages


async def test_an_unchanged_build_is_pushed_to_where_it_was_not(shop: Workshop, registry: OciRegistry):
    await shop.build()

    outcome = await shop.build(tags=(f"{registry.host}/team/app:2",), push=True)

    assert outcome.reuse.rung is Rung.RESULT
    assert outcome.images[0].pushed == (f"{registry.host}/team/app@{outcome.images[0].digest}",)
    assert ("team/app", "2") in registry.manifests


async def test_an_unchanged_build_that_is_not_pushed_says_nothing_of_the_push_before(
    shop: Workshop, registry: OciRegistry
):
    await shop.build(tags=(f"{registry.host}/team/app:1",), push=True)

    outcome = await shop.build()

    assert outcome.images[0].pushed == ()


async def test_a_registry_that_refuses_fails_the_build_and_moves_no_tag(shop: Workshop, registry: OciRegistry):
    before = await shop.build(tags=("app", f"{registry.host}/team/app:1"))
    registry.door = Door.BASIC

    with pytest.raises(PushDenied):
        await shop.build(EDITED, tags=("app", f"{registry.host}/team/app:1"), push=True)

    assert shop.tagged("app:latest") == before.images[0].image_id
    assert shop.runtime_images() == {before.images[0].image_id}
    await shop.assert_nothing_is_left()


async def test_a_registry_that_is_away_fails_the_build(shop: Workshop):
    with pytest.raises(PushFailed):
        await shop.build(tags=("127.0.0.1:9/app:1",), push=True)

    assert shop.runtime_images() == set()


async def test_a_build_that_is_cancelled_while_its_tag_moves_leaves_store_and_engine_agreed(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    claimed, claim = asyncio.Event(), shop.store.move_tag

    async def slowly(tag: str, sequence: int, image_id: str) -> TagMove:
        moved = await claim(tag, sequence, image_id)
        claimed.set()
        await asyncio.sleep(0.05)
        return moved

    monkeypatch.setattr(shop.store, "move_tag", slowly)
    building = asyncio.create_task(shop.build(sequence=9))
    await claimed.wait()
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building

    image = shop.tagged("app:latest")
    assert image is not None
    assert await claim("app:latest", 8, "sha256:of an older build") is TagMove.KEEP


async def test_a_tag_of_a_newer_build_is_left_in_the_registry_too(shop: Workshop, registry: OciRegistry):
    tag = f"{registry.host}/team/app:1"
    newer = await shop.build(tags=(tag,), push=True, sequence=9)

    older = await shop.build(EDITED, tags=(tag,), push=True, sequence=8)

    assert older.images[0].pushed == ()
    assert newer.images[0].image_id.encode() in registry.manifests["team/app", "1"]


async def test_a_stored_blob_that_was_lost_is_made_again_and_pushed(shop: Workshop, registry: OciRegistry):
    first = await shop.build()
    shop.store.blobs.remove(Digest.parse(first.images[0].image_id))

    outcome = await shop.build(tags=(f"{registry.host}/team/app:1",), push=True)

    assert outcome.images[0].pushed == (f"{registry.host}/team/app@{first.images[0].digest}",)


async def test_of_several_tags_each_is_pushed_and_the_bytes_go_once(shop: Workshop, registry: OciRegistry):
    tags = tuple(f"{registry.host}/team/{name}:1" for name in ("one", "two"))

    outcome = await shop.build(tags=tags, push=True)

    digest = outcome.images[0].digest
    assert outcome.images[0].pushed == tuple(f"{registry.host}/team/{name}@{digest}" for name in ("one", "two"))
    assert registry.received == sum(map(len, registry.contents.values()))
