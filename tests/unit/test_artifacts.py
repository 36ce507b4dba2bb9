import io
import tarfile
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.artifacts import StoredArtifacts
from daemon.builds import BuiltImage
from daemon.errors import NotReady
from daemon.image import manifest
from daemon.image.layer import Blob


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.fixture
def image(blobs: BlobStore) -> BuiltImage:
    config, layer = (Blob(blobs.put(content), len(content)) for content in (b"{}", b"layer"))
    return BuiltImage(
        binary="users",
        reference="users",
        tags=("users", "host:5000/users:2"),
        digest=str(blobs.put(manifest.manifest(config, (layer,)))),
        image_id=str(config.digest),
        size=5,
        files=1,
        contents=str(blobs.put(b"[]")),
    )


async def test_an_archive_has_whole_references_and_every_blob(blobs: BlobStore, image: BuiltImage):
    content = b"".join([piece async for piece in StoredArtifacts(blobs).archive(image)])
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        listed = archive.extractfile("manifest.json")
        assert listed is not None
        assert b'"RepoTags":["users:latest","host:5000/users:2"]' in listed.read()
        assert f"blobs/sha256/{image.digest.removeprefix('sha256:')}" in archive.getnames()


@pytest.mark.parametrize("gone", ["manifest", "config"])
async def test_an_archive_of_which_a_part_is_gone_is_refused_before_it_begins(
    blobs: BlobStore, image: BuiltImage, gone: str
):
    blobs.remove(Digest.parse(image.digest if gone == "manifest" else image.image_id))
    with pytest.raises(NotReady, match="build it again"):
        await anext(StoredArtifacts(blobs).archive(image))


async def test_a_blob_is_a_file_while_it_is_kept(blobs: BlobStore, image: BuiltImage):
    artifacts = StoredArtifacts(blobs)
    assert (await artifacts.blob(image.contents)).read_bytes() == b"[]"
    blobs.remove(Digest.parse(image.contents))
    with pytest.raises(NotReady):
        await artifacts.blob(image.contents)
