"""Images as blobs: of one layer as of several, all at once or not at all."""

import io
import json
import tarfile
from collections.abc import Sequence

import msgspec
import pytest

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch
from cache.tree import EntryKind
from daemon.builds import ContentEntry, ImageSettings
from daemon.image import manifest
from daemon.image.architecture import AMD64
from daemon.image.layer import Blob, write_layer
from daemon.image.rootfs import Origin, RootFile, complete, stored
from daemon.image.written import Part, WrittenImage, write_image


def entry(path: str, content: bytes) -> RootFile:
    return RootFile(
        path=path,
        kind=EntryKind.FILE,
        mode=0o644,
        origin=Origin.APPLICATION,
        reason="a test",
        size=len(content),
        digest=Digest.of(content),
        content=content,
    )


LOWER = complete([entry("/usr/bin/python3.11", b"the interpreter")])
UPPER = complete([entry("/app/app.py", b"import os\n")])


def written(blobs: BlobStore, parts: Sequence[Part], *, user: str | None = None) -> WrittenImage:
    rootfs = [one for part in parts if not isinstance(part, Blob) for one in part]
    plan = manifest.plan("app", ImageSettings(user=user, entrypoint=("python", "app.py")))
    return write_image(parts, rootfs, plan, {"A": "1"}, architecture=AMD64, blobs=blobs)


def all_blobs(blobs: BlobStore) -> set[str]:
    folder = blobs.path(Digest.of(b"")).parents[1]
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_an_image_of_one_layer_is_what_its_entries_alone_decide(blobs: BlobStore):
    made = written(blobs, (UPPER,))

    with blobs.staging() as staging:
        (layer,) = made.layers
        assert layer == write_layer(UPPER, staging / "layer")
        assert blobs.read(layer.digest) == (staging / "layer").read_bytes()
    assert written(blobs, (UPPER,)) == made
    assert str(made.manifest) == str(
        Digest.of(manifest.manifest(Blob(made.config, blobs.size(made.config)), made.layers))
    )


def test_layers_are_named_lowest_first_in_manifest_and_configuration(blobs: BlobStore):
    made = written(blobs, (LOWER, UPPER))

    content = json.loads(blobs.read(made.manifest))
    config = json.loads(blobs.read(made.config))
    names = [str(layer.digest) for layer in made.layers]
    assert [layer["digest"] for layer in content["layers"]] == names == config["rootfs"]["diff_ids"]
    assert [layer["size"] for layer in content["layers"]] == [layer.size for layer in made.layers]
    assert content["config"]["digest"] == str(made.config)
    with tarfile.open(fileobj=io.BytesIO(blobs.read(made.layers[0].digest))) as lowest:
        assert lowest.getnames() == ["usr", "usr/bin", "usr/bin/python3.11"]


def test_another_upper_layer_leaves_the_lower_one(blobs: BlobStore):
    before, after = (written(blobs, (LOWER, complete([entry("/app/app.py", text)]))) for text in (b"a", b"b"))

    assert before.layers[0] == after.layers[0]
    assert before.layers[1] != after.layers[1]
    assert before.manifest != after.manifest


def test_another_setting_leaves_all_layers(blobs: BlobStore):
    before, after = written(blobs, (LOWER, UPPER)), written(blobs, (LOWER, UPPER), user="root")

    assert before.layers == after.layers
    assert before.config != after.config


def test_a_layer_that_was_written_before_is_named_and_not_written_again(blobs: BlobStore):
    first = written(blobs, (LOWER, UPPER))
    blobs.remove(first.layers[0].digest)

    again = written(blobs, (first.layers[0], UPPER))

    assert (again.layers, again.manifest, again.config) == (first.layers, first.manifest, first.config)
    assert not blobs.has(first.layers[0].digest)


def test_the_listing_has_every_entry_of_the_image(blobs: BlobStore):
    made = written(blobs, (LOWER, UPPER))

    listed = msgspec.json.decode(blobs.read(made.listing), type=tuple[ContentEntry, ...])
    assert [one.path for one in listed] == ["/usr", "/usr/bin", "/usr/bin/python3.11", "/app", "/app/app.py"]


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_where_a_file_is_not_what_it_was_nothing_is_written(blobs: BlobStore, how: str):
    digest = blobs.put(b"content")
    path = blobs.path(digest)
    lost = stored("/app/lost", Origin.APPLICATION, "a test", digest=digest, size=7, source=path)
    path.write_bytes(b"another") if how == "damaged" else path.unlink()
    before = all_blobs(blobs)

    with pytest.raises((DigestMismatch, FileNotFoundError)):
        written(blobs, (LOWER, complete([lost])))

    assert all_blobs(blobs) == before
