"""What making images asks of the store of blobs; `cache.blobs.BlobStore` is one."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from cache.digest import Digest


class Blobs(Protocol):
    """Files named by their content; methods block."""

    def put(self, content: bytes) -> Digest:
        """Store these bytes."""
        ...

    def path(self, digest: Digest) -> Path:
        """Where a blob is, or would be."""
        ...

    def has(self, digest: Digest) -> bool:
        """Is it here?"""
        ...

    def staging(self) -> AbstractContextManager[Path]:
        """A directory on the blobs' file system, removed at the end with what is still in it."""
        ...

    def adopt(self, staged: Mapping[Digest, Path]) -> None:
        """Move staged files, whose contents these digests name, to their places."""
        ...
