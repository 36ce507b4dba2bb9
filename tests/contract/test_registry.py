"""What a registry must do for a push, on the fake and on Debian's: the same answers to the same calls."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.errors import PushFailed, StoredFileDamaged
from daemon.image.layer import Blob
from daemon.image.manifest import MANIFEST_TYPE, manifest
from daemon.registry.connection import Call, Patience
from daemon.registry.push import Pusher
from daemon.registry.reference import parsed
from daemon.registry.registries import Registries
from tests.fakes.debian_registry import debian_registry
from tests.fakes.oci_registry import OciRegistry

LAYER = b"layer" * 500_000


@pytest.fixture(params=["fake", "real"])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "fake":
        async with OciRegistry().serving() as address:
            yield address
    else:
        with debian_registry(tmp_path) as address:
            yield address


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
async def registries() -> AsyncIterator[Registries]:
    async with Registries(patience=Patience(pauses=())) as made:
        yield made


def stored(blobs: BlobStore, content: bytes = LAYER) -> Digest:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
    return blobs.put(manifest(Blob(blobs.put(config), len(config)), (Blob(blobs.put(content), len(content)),)))


async def test_what_was_pushed_is_there_byte_for_byte(host: str, blobs: BlobStore, registries: Registries):
    image, pusher = stored(blobs), Pusher(blobs, registries.connect)

    sent = await pusher.send(image, parsed(f"{host}/team/app:1"))
    place = await pusher.tag(image, parsed(f"{host}/team/app:1"))

    assert place == f"{host}/team/app@{image}"
    assert sent > len(LAYER)
    assert await pusher.send(image, parsed(f"{host}/team/app:2")) == 0


async def test_another_repository_mounts_it(host: str, blobs: BlobStore, registries: Registries):
    image, pusher = stored(blobs), Pusher(blobs, registries.connect)
    await pusher.send(image, parsed(f"{host}/team/app:1"))

    assert await pusher.send(image, parsed(f"{host}/other:1")) == 0

    assert await pusher.tag(image, parsed(f"{host}/other:1")) == f"{host}/other@{image}"


async def test_a_manifest_before_its_blobs_is_refused(host: str, blobs: BlobStore, registries: Registries):
    with pytest.raises(PushFailed, match="MANIFEST_BLOB_UNKNOWN"):
        await Pusher(blobs, registries.connect).tag(stored(blobs), parsed(f"{host}/team/app:1"))


async def test_other_bytes_than_the_digest_s_are_refused(host: str, blobs: BlobStore, registries: Registries):
    image, layer = stored(blobs), Digest.of(LAYER)
    blobs.path(layer).chmod(0o600)
    blobs.path(layer).write_bytes(bytes(len(LAYER)))

    with pytest.raises(StoredFileDamaged):
        await Pusher(blobs, registries.connect).send(image, parsed(f"{host}/team/app:1"))


async def test_an_upload_that_was_never_begun_is_not_known(host: str, registries: Registries):
    connection = await registries.connect(parsed(f"{host}/team/app:1"))
    call = Call(
        method="PUT",
        url="/v2/team/app/blobs/uploads/00000000-0000-0000-0000-000000000000?_state=e30=",
        accepted=frozenset({404, 400}),
        scopes=(),
        query={"digest": str(Digest.of(b""))},
        body=lambda: b"",
    )

    assert (await connection.call(call)).status in {404, 400}


@pytest.mark.parametrize("kind", ["application/json", MANIFEST_TYPE])
async def test_a_manifest_of_another_media_type_is_refused(
    host: str, blobs: BlobStore, registries: Registries, kind: str
):
    image = stored(blobs)
    await Pusher(blobs, registries.connect).send(image, parsed(f"{host}/team/app:1"))
    async with (
        aiohttp.ClientSession() as session,
        session.put(
            f"http://{host}/v2/team/app/manifests/1",
            data=blobs.path(image).read_bytes(),
            headers={"Content-Type": kind},
        ) as answer,
    ):
        assert answer.status == (201 if kind == MANIFEST_TYPE else 400)
