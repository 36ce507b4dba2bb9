"""Image layers that were written before: a layer is known by what is in it, so the same entries are written once.

An interpreter's layer is in every image of its language, and an environment's in every image of a service until its
packages change: what differs from build to build is the application alone.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import msgspec

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch, NotADigest
from cache.keys import Key, KeyKind, KeyPart
from daemon.ecosystems.kept import Fetched, FetchedFile
from daemon.image.layer import Blob
from daemon.image.rootfs import RootFile
from daemon.image.written import Part


class LayerIndex(Protocol):
    """Where it stands which blob is which layer."""

    async def fetched(self, key: Digest) -> Digest | None:
        """The blob that lists what is kept under this key."""
        ...

    async def record_fetched(self, key: Digest, listing: Digest) -> None:
        """Remember it."""
        ...


class KeptLayers:
    """Knows layers again."""

    def __init__(self, index: LayerIndex, blobs: BlobStore) -> None:
        self._index = index
        self._blobs = blobs

    async def known(self, files: tuple[RootFile, ...]) -> Part:
        """The layer of these entries, complete and sorted, if it is kept; else the entries."""
        listing = await self._index.fetched(_name(files))
        kept = await asyncio.to_thread(self._read, listing) if listing is not None else None
        return kept or files

    async def keep(self, files: tuple[RootFile, ...], layer: Blob) -> None:
        """Know it again; its blob is there."""
        file = FetchedFile(path="layer", digest=str(layer.digest), size=layer.size)
        listing = await asyncio.to_thread(self._blobs.put, msgspec.json.encode(Fetched(files=(file,))))
        await self._index.record_fetched(_name(files), listing)

    def _read(self, listing: Digest) -> Blob | None:
        try:
            (file,) = msgspec.json.decode(self._blobs.read(listing), type=Fetched).files
            layer = Blob(Digest.parse(file.digest), file.size)
        except (FileNotFoundError, DigestMismatch, NotADigest, msgspec.MsgspecError, ValueError):
            return None
        return layer if self._blobs.has(layer.digest) else None


def _name(files: Iterable[RootFile]) -> Digest:
    entries = [[one.path, one.kind, one.mode, one.uid, one.gid, one.size, str(one.digest), one.target] for one in files]
    return Key(KeyKind.UNIT, (KeyPart("what", "layer"), KeyPart.of_json("entries", entries))).digest
