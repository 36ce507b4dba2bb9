"""One archive that is an OCI image layout and what `docker load` reads; the same image makes the same bytes."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.builds import ImageSettings
from daemon.image import manifest
from daemon.image.architecture import AMD64
from daemon.image.layer import Blob, write_layer
from daemon.image.layout import archive
from daemon.image.rootfs import NONROOT, Origin, accounts, complete, places, stored, symlink


@pytest.fixture
def image(blobs: BlobStore) -> Digest:
    """The manifest of a small image in the store."""
    with blobs.staging() as staging:
        layer = write_layer(complete([*accounts(NONROOT), *places(NONROOT, "/app")]), staging / "layer")
        blobs.adopt({layer.digest: staging / "layer"})
    content = manifest.config(manifest.plan("users", ImageSettings()), {}, (layer,), AMD64)
    config = Blob(blobs.put(content), len(content))
    return blobs.put(manifest.manifest(config, (layer,)))


async def whole(image: Digest, blobs: BlobStore, *tags: str) -> bytes:
    return b"".join([piece async for piece in archive(image, tags, blobs)])


def opened(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        found = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        return {name: stream.read() for name, stream in found.items() if stream is not None}


async def test_every_blob_is_named_by_its_content(image: Digest, blobs: BlobStore):
    files = opened(await whole(image, blobs))
    names = [name for name in files if name.startswith("blobs/sha256/")]
    assert len(names) == 3
    for name in names:
        assert hashlib.sha256(files[name]).hexdigest() == name.rpartition("/")[2]


async def test_it_is_an_oci_layout(image: Digest, blobs: BlobStore):
    files = opened(await whole(image, blobs, "users:1.2"))
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (found,) = json.loads(files["index.json"])["manifests"]
    assert found["digest"] == str(image)
    assert found["size"] == len(files[f"blobs/sha256/{image.hex}"])
    assert found["annotations"]["org.opencontainers.image.ref.name"] == "1.2"


async def test_it_is_what_docker_load_reads(image: Digest, blobs: BlobStore):
    files = opened(await whole(image, blobs, "users:1.2", "localhost:5000/users"))
    (found,) = json.loads(files["manifest.json"])
    assert found["RepoTags"] == ["users:1.2", "localhost:5000/users"]
    assert json.loads(files[found["Config"]])["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(files[layer]).hexdigest()}" for layer in found["Layers"]
    ]


async def test_an_image_without_tags(image: Digest, blobs: BlobStore):
    files = opened(await whole(image, blobs))
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == []
    assert len(json.loads(files["index.json"])["manifests"]) == 1


async def test_the_same_image_makes_the_same_archive(image: Digest, blobs: BlobStore):
    assert await whole(image, blobs, "a:1") == await whole(image, blobs, "a:1")


async def test_an_image_whose_blob_is_gone_makes_none(image: Digest, blobs: BlobStore):
    blobs.remove(image)
    with pytest.raises(FileNotFoundError):
        await whole(image, blobs)


def test_a_layer_is_sorted_has_one_time_and_belongs_to_root(tmp_path: Path):
    binary = tmp_path / "users"
    binary.write_bytes(b"binary")
    users = stored("/app/users", Origin.BINARY, "binary users", digest=Digest.of(b"binary"), size=6, source=binary)
    link = symlink("/app/latest", "users", Origin.INCLUDED, "included: latest")
    files = [*places(NONROOT, "/app"), *accounts(NONROOT), users, link]
    layer = write_layer(complete(files), tmp_path / "layer")
    with tarfile.open(tmp_path / "layer") as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {member.mtime for member in members} == {978307200}
    assert {(member.uid, member.gid) for member in members if "nonroot" not in member.name} == {(0, 0)}
    assert {member.uname for member in members} == {""}
    assert layer == Blob(Digest.of_file(tmp_path / "layer"), (tmp_path / "layer").stat().st_size)
    assert write_layer(complete(reversed(files)), tmp_path / "again") == layer
