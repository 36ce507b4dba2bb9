"""The whole cache under one ceiling: what goes leaves the record, the engine and the disk, and only costs time."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import replace

import pytest

from cache.digest import Digest
from cache.gc import EntryKind, EntryName, surplus
from cache.reuse import Rung
from daemon.builds import Build, BuildRequest, BuildState
from daemon.maintenance import Contents, Trial
from tests.fakes.engine import Exit, Step
from tests.fakes.rust_projects import BYTES_CRATE, SIMPLE, Files
from tests.fakes.workshop import Workshop

EDITED: Files = {**SIMPLE, "src/main.rs": 'fn main() { println!("edited") }\n'}
LATER = 3600.0


def records(contents: Contents) -> dict[str, int]:
    return {str(tally.kind): tally.records for tally in contents.kinds if tally.records}


def blobs_on_disk(shop: Workshop) -> set[str]:
    return {path.name for path in (shop.scratch.parent / "state/blobs/sha256").rglob("*") if path.is_file()}


def layer_images(shop: Workshop) -> set[str]:
    """In the engine, on record or not."""
    return {image.id for image in shop.engine.stored.values() if "bloomery.layer" in image.labels}


async def filled(shop: Workshop, files: Files = SIMPLE, **request: object) -> None:
    """A build, its harvest, and an hour in which nothing happens."""
    await shop.build(files, **request)
    await shop.harvest()
    shop.later = LATER


async def test_the_contents_are_told_by_kind(yard: Workshop):
    await filled(yard)

    found = await yard.maintenance.contents()

    assert records(found) == {"result": 1, "workspace": 1, "layer": 1, "unit": 1, "fetched": 2, "tree": 1}
    assert found.size == sum(tally.size for tally in found.kinds)


async def test_after_a_prune_of_everything_nothing_is_left_and_a_build_is_right(yard: Workshop):
    await filled(yard)
    before = await yard.maintenance.contents()
    named = {blob.hex for entry in await yard.maintenance._entries() for blob in entry.blobs}
    assert named <= blobs_on_disk(yard)

    gone = await yard.maintenance.prune(0, Trial.REAL)

    assert gone == before
    assert records(await yard.maintenance.contents()) == {}
    assert blobs_on_disk(yard).isdisjoint(named)
    assert await yard.layers() == set()
    assert yard.engine.containers == {}
    yard.ran()
    outcome = await yard.build()
    assert outcome.reuse.rung is Rung.NONE
    assert yard.ran() == ["fetch", "cook", "settle", "compile"]
    assert yard.cargo.downloaded == ["bytes-1.0.0"] * 2
    await yard.assert_nothing_is_left()


async def test_a_dry_run_removes_nothing(yard: Workshop):
    await filled(yard)
    before = await yard.maintenance.contents()

    would = await yard.maintenance.prune(0, Trial.DRY)

    assert would == before == await yard.maintenance.contents()


async def test_a_prune_keeps_what_it_is_told_to(yard: Workshop):
    await filled(yard)
    size = (await yard.maintenance.contents()).size

    await yard.maintenance.prune(size - 1, Trial.REAL)

    left = await yard.maintenance.contents()
    assert 0 < left.size <= size - 1
    assert (await yard.build(EDITED)).images


async def test_the_ceiling_is_held_after_builds_and_counted(yard: Workshop):
    yard.ceiling = 1
    yard.compose()
    await filled(yard)
    holding = asyncio.create_task(yard.maintenance.run(interval=1000.0, pause=0.0))

    def counted() -> float | None:
        return yard.registry.get_sample_value("bloomery_evictions_total", {"reason": "ceiling"})

    async with asyncio.timeout(10):
        while not counted():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)

    holding.cancel()
    assert counted() == 7
    assert records(await yard.maintenance.contents()) == {}


async def test_below_the_ceiling_nothing_goes(yard: Workshop):
    await filled(yard)

    assert records(await yard.maintenance.hold()) == {}


async def test_what_a_running_build_uses_stays_though_it_is_worth_nothing(shop: Workshop):
    await filled(shop)
    during: list[dict[str, int]] = []

    async def pruned_meanwhile(step: Step) -> int | Exit:
        if step.spec.labels.get("bloomery.step") == "compile":
            await shop.maintenance.prune(0, Trial.REAL)
            during.append(records(await shop.maintenance.contents()))
        return await shop.cargo(step)

    shop.engine.script(pruned_meanwhile)

    outcome = await shop.build(EDITED)

    assert outcome.reuse.rung is Rung.LAYER
    assert during == [{"layer": 1, "unit": 1, "fetched": 1, "tree": 1}]
    await shop.assert_nothing_is_left()


async def test_the_sources_of_a_build_that_waits_stay_and_those_that_were_just_sent(yard: Workshop):
    request = await yard.request(SIMPLE)
    yard.queued.append(Build(id="w", sequence=9, request=request, state=BuildState.QUEUED, created_at=0.0))
    await yard.request(EDITED)
    assert records(await yard.maintenance.prune(0, Trial.REAL)) == {}
    yard.later = LATER

    assert records(await yard.maintenance.prune(0, Trial.REAL)) == {"tree": 1}

    assert await yard.store.tree(Digest.parse(request.tree)) is not None
    assert (await yard.run(request)).images


async def test_a_scope_prunes_what_is_its_own(yard: Workshop):
    """Law 7: and it is told of nothing else."""
    await filled(yard)
    await filled(yard, scope="theirs")
    everything = await yard.maintenance.contents()

    assert records(await yard.maintenance.contents("theirs")) == {"result": 1, "workspace": 1, "layer": 1, "unit": 1}
    gone = await yard.maintenance.prune(0, Trial.REAL, "theirs")

    assert records(gone) == {"result": 1, "workspace": 1, "layer": 1, "unit": 1}
    left = await yard.maintenance.contents()
    assert records(left) == {kind: number - records(gone).get(kind, 0) for kind, number in records(everything).items()}
    assert (await yard.build(EDITED)).reuse.rung is Rung.WORKSPACE, "the blobs that both named are still here"


async def test_a_layer_goes_before_the_units_that_it_can_be_made_of(shop: Workshop):
    await filled(shop)
    entries = await shop.maintenance._entries()

    order = [entry.name.kind for entry in surplus(entries, 0, time.time() + LATER)]

    assert order.index(EntryKind.LAYER) < order.index(EntryKind.UNIT)


async def test_a_record_that_names_an_image_that_is_no_layer_costs_that_image_nothing(shop: Workshop):
    await filled(shop)
    record = await shop.store.latest_layer("default", "app")
    assert record is not None
    await shop.store.record_layer(replace(record, image_id=shop.toolchain.facts.image_id))

    await shop.maintenance.prune(0, Trial.REAL)

    assert shop.toolchain.facts.image_id in shop.engine.stored


async def test_an_engine_that_does_not_answer_leaves_the_record_right(shop: Workshop):
    await filled(shop)
    shop.engine.down = True

    await shop.maintenance.prune(0, Trial.REAL)

    assert records(await shop.maintenance.contents()) == {}
    shop.engine.down = False
    assert len(layer_images(shop)) == 1
    await shop.maintenance.hold()
    assert layer_images(shop) == set(), "asked for again"
    assert (await shop.build()).reuse.rung is Rung.NONE


async def test_what_is_used_is_remembered_for_the_next_daemon(yard: Workshop):
    await filled(yard)
    await yard.maintenance.contents()
    name = EntryName(EntryKind.TREE, ((await yard.request(SIMPLE)).tree,))
    await yard.store._database.write(lambda tables: tables.execute("UPDATE trees SET created_at = 5"))

    held = {one.name: one for one in await yard.store.holdings()}

    assert held[name].at > 5


async def test_a_blob_that_came_on_record_meanwhile_stays(yard: Workshop, monkeypatch: pytest.MonkeyPatch):
    await filled(yard)
    take_off, sent = yard.store.take_off, list[BuildRequest]()

    async def races(names: Collection[EntryName]) -> frozenset[EntryName]:
        gone = await take_off(names)
        sent.append(await yard.request(SIMPLE))
        return gone

    monkeypatch.setattr(yard.store, "take_off", races)
    await yard.maintenance.prune(0, Trial.REAL)

    assert (await yard.run(sent[0])).images


async def test_fetched_archives_go_with_their_record(shop: Workshop):
    await filled(shop)
    assert shop.store.blobs.has(Digest.of(BYTES_CRATE))

    await shop.maintenance.prune(0, Trial.REAL)

    assert not shop.store.blobs.has(Digest.of(BYTES_CRATE))
