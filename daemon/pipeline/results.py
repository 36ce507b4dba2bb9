"""Results that are kept: an outcome on record, and the blobs that its images are made of."""

import json
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch
from cache.index import ResultRecord
from daemon.builds import BuiltImage, Outcome

read_outcome = msgspec.json.Decoder(Outcome).decode


def is_kept(result: ResultRecord, blobs: BlobStore) -> bool:
    """Whether every blob of every image is there. Blocks."""
    try:
        images = read_outcome(result.outcome).images
        return not blobs.missing(digest for image in images for digest in blobs_of(image, blobs))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def remove_damaged(outcome: Outcome, blobs: BlobStore) -> None:
    """Read every blob of every image, so that what is damaged goes and the next build can write it. Blocks."""
    for image in outcome.images:
        # A manifest that was damaged is gone before it is read for what it names.
        with suppress(OSError, ValueError, KeyError, TypeError):
            for digest in blobs_of(image, blobs):
                _verify(digest, blobs)


def _verify(digest: Digest, blobs: BlobStore) -> None:
    with suppress(FileNotFoundError, DigestMismatch), blobs.open_verified(digest) as pieces:
        for _ in pieces:
            pass


def blobs_of(image: BuiltImage, blobs: BlobStore) -> Iterator[Digest]:
    """The image's manifest, what it names, and the list of contents."""
    yield Digest.parse(image.digest)
    manifest = json.loads(blobs.path(Digest.parse(image.digest)).read_bytes())
    yield Digest.parse(manifest["config"]["digest"])
    yield from (Digest.parse(layer["digest"]) for layer in manifest["layers"])
    yield Digest.parse(image.contents)
