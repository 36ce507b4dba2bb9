"""The one layer of a runtime image: a reproducible, uncompressed tar.

Sorted, one constant mtime, numeric owners: the same files give the same bytes (https://reproducible-builds.org/docs/archives/).
It is not compressed, so its digest is its diff ID too (OCI image specification, "Image Layer Filesystem Changeset").
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cache.digest import Digest
from daemon import tarball
from daemon.image.rootfs import RootFile
from daemon.tarball import Member

MTIME = 978307200
"""2001-01-01T00:00:00Z in Unix seconds: when everything in an image was made, SOURCE_DATE_EPOCH."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Something in the store of blobs, as OCI's descriptors name it."""

    digest: Digest
    size: int


def member(file: RootFile) -> Member:
    """An image's entry as a tar's."""
    return Member(
        path=file.path,
        mode=file.mode,
        mtime=MTIME,
        uid=file.uid,
        gid=file.gid,
        content=file.content,
        source=file.source,
        digest=file.digest,
        size=file.size,
        target=file.target,
    )


def write_layer(files: Iterable[RootFile], path: Path) -> Blob:
    """Write the layer to a new file and name it; `files` are complete and sorted. Blocks: call it in a thread.

    `DigestMismatch` for a file that was damaged on disk.
    """
    name, size = hashlib.sha256(), 0
    with path.open("xb") as stream:
        for piece in tarball.pieces(member(file) for file in files):
            name.update(piece)
            size += stream.write(piece)
    return Blob(Digest(name.hexdigest()), size)
