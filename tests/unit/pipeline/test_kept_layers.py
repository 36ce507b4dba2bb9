"""Layers of images that were written before are known again by what is in them, and never believed beyond that."""

from dataclasses import replace
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.tree import EntryKind
from daemon.image.layer import Blob
from daemon.image.rootfs import Origin, RootFile, complete, symlink
from daemon.pipeline.kept_layers import KeptLayers


class Listings:
    """A `LayerIndex` in memory."""

    def __init__(self) -> None:
        self.rows: dict[Digest, Digest] = {}

    async def fetched(self, key: Digest) -> Digest | None:
        return self.rows.get(key)

    async def record_fetched(self, key: Digest, listing: Digest) -> None:
        self.rows[key] = listing


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def listings() -> Listings:
    return Listings()


@pytest.fixture
def kept(listings: Listings, blobs: BlobStore) -> KeptLayers:
    return KeptLayers(listings, blobs)


def entries(content: bytes = b"word = 1\n", **more: object) -> tuple[RootFile, ...]:
    one = RootFile(
        path="/env/apple.py",
        kind=EntryKind.FILE,
        mode=0o644,
        origin=Origin.PACKAGE,
        reason="package: apple 1.0",
        size=len(content),
        digest=Digest.of(content),
        content=content,
    )
    return complete([replace(one, **more), symlink("/env/bin/python", "/usr/bin/python3.11", Origin.PACKAGE, "it")])


def layer_of(blobs: BlobStore) -> Blob:
    return Blob(blobs.put(b"a layer"), 7)


async def test_what_nobody_has_written_is_to_be_written(kept: KeptLayers):
    assert await kept.known(entries()) == entries()


async def test_the_same_entries_are_the_same_layer(kept: KeptLayers, blobs: BlobStore):
    layer = layer_of(blobs)

    await kept.keep(entries(), layer)

    assert await kept.known(entries()) == layer


async def test_why_an_entry_is_there_makes_no_other_layer(kept: KeptLayers, blobs: BlobStore):
    layer = layer_of(blobs)
    await kept.keep(entries(), layer)

    assert await kept.known(entries(reason="package: apple 2.0", origin=Origin.INCLUDED)) == layer


@pytest.mark.parametrize(
    "other",
    [
        entries(b"word = 2\n"),
        entries(path="/env/berry.py"),
        entries(mode=0o755),
        entries(uid=1),
        entries(gid=1),
        entries()[1:],
        tuple(replace(one, target="/usr/bin/python3.13") if one.target else one for one in entries()),
    ],
    ids=["content", "path", "mode", "owner", "group", "fewer", "target"],
)
async def test_other_entries_are_another_layer(kept: KeptLayers, blobs: BlobStore, other: tuple[RootFile, ...]):
    await kept.keep(entries(), layer_of(blobs))

    assert await kept.known(other) == other


async def test_a_layer_whose_blob_is_gone_is_to_be_written(kept: KeptLayers, blobs: BlobStore):
    layer = layer_of(blobs)
    await kept.keep(entries(), layer)
    blobs.remove(layer.digest)

    assert await kept.known(entries()) == entries()


@pytest.mark.parametrize(
    "listing",
    [
        b"no",
        b"{}",
        b'{"files": [{"path": "layer", "digest": "sha0:1", "size": 1}]}',
        b'{"files": [{"path": "a", "digest": "a", "size": 1}, {"path": "b", "digest": "b", "size": 1}]}',
        None,
    ],
    ids=["no JSON", "nothing", "no digest", "two", "gone"],
)
async def test_a_listing_that_names_no_layer_is_none(
    kept: KeptLayers, listings: Listings, blobs: BlobStore, listing: bytes | None
):
    await kept.keep(entries(), layer_of(blobs))
    ((name, found),) = listings.rows.items()
    if listing is None:
        blobs.remove(found)
    else:
        listings.rows[name] = blobs.put(listing)

    assert await kept.known(entries()) == entries()


async def test_a_listing_that_was_damaged_is_none(kept: KeptLayers, listings: Listings, blobs: BlobStore):
    await kept.keep(entries(), layer_of(blobs))
    (found,) = listings.rows.values()
    blobs.path(found).write_bytes(b"damaged")

    assert await kept.known(entries()) == entries()
    assert not blobs.has(found)
