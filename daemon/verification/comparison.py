"""What a build's images and a clean build's differ in: digests, and the files that are others."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest

import msgspec

from cache.blobs import BlobStore
from cache.comparing import files_changed
from cache.digest import Digest, DigestMismatch
from daemon.builds import BuiltImage, ContentEntry, ImageDifference
from daemon.pipeline.clean import Clean

LABEL = "image files"
_contents = msgspec.json.Decoder(tuple[ContentEntry, ...]).decode


def differences(images: Sequence[BuiltImage], clean: Clean, blobs: BlobStore) -> tuple[ImageDifference, ...]:
    """Each image whose clean one has another digest, or is none. Blocks: lists of contents are read."""
    found: list[ImageDifference] = []
    for image, again in zip_longest(images, clean.images):
        if again is None or image.digest != again.digest:
            before = _files(_listed(image, blobs)) if again else {}
            files = files_changed(LABEL, before, _files(again.contents) if again and before else {})
            found.append(
                ImageDifference(
                    binary=image.binary, digest=image.digest, clean=again.digest if again else None, files=files
                )
            )
    return tuple(found)


def _listed(image: BuiltImage, blobs: BlobStore) -> tuple[ContentEntry, ...]:
    """What is in an image; nothing where that is not known any more."""
    with suppress(FileNotFoundError, DigestMismatch, msgspec.MsgspecError):
        return _contents(blobs.read(Digest.parse(image.contents)))
    return ()


def _files(contents: Iterable[ContentEntry]) -> Mapping[str, object]:
    return {entry.path: (entry.kind, entry.mode, entry.digest, entry.target, entry.size) for entry in contents}
