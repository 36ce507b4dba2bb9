"""Keeps the unit store within its bound: what was unused longest goes first, dependents before what they stand on."""

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


class UnitBound:
    """`size` is in bytes, of all units' blobs together."""

    def __init__(self, *, records: Evictable, blobs: BlobStore, size: int) -> None:
        self._records = records
        self._blobs = blobs
        self._size = size

    async def hold(self) -> None:
        """Drop what is beyond: the rows first, so that no row names a blob that is gone."""
        removed = await self._records.evict_units(self._size)
        for blob in removed.blobs:
            await asyncio.to_thread(self._blobs.remove, blob)
        if removed.units:
            structlog.get_logger().info("units.evicted", units=len(removed.units), blobs=len(removed.blobs))
