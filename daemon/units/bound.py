"""What goes from the unit store: what is beyond its bound, unused longest first, and what is not to be trusted.

Dependents go before what they stand on.
"""

import asyncio
from typing import Protocol

import structlog

from cache.blobs import BlobStore
from cache.units import RemovedUnits


class Evictable(Protocol):
    """The units on record."""

    async def evict_units(self, keep: int) -> RemovedUnits:
        """Drop units until the blobs of the others are no more than `keep` bytes."""
        ...

    async def revoke_cook(self, scope: str, cook: str) -> RemovedUnits:
        """Drop all units of a cook, and of every cook that had any of them in it."""
        ...


class UnitBound:
    """`size` is in bytes, of all units' blobs together."""

    def __init__(self, *, records: Evictable, blobs: BlobStore, size: int) -> None:
        self._records = records
        self._blobs = blobs
        self._size = size

    async def hold(self) -> None:
        """Drop what is beyond: the rows first, so that no row names a blob that is gone."""
        await self._gone("units.evicted", await self._records.evict_units(self._size))

    async def revoke(self, scope: str, cook: str) -> None:
        """Drop what a cook has made, and what was made of that."""
        await self._gone("units.revoked", await self._records.revoke_cook(scope, cook))

    async def _gone(self, event: str, removed: RemovedUnits) -> None:
        for blob in removed.blobs:
            await asyncio.to_thread(self._blobs.remove, blob)
        if removed.units:
            structlog.get_logger().info(event, units=len(removed.units), blobs=len(removed.blobs))
