"""Stored units on their way into the sandbox of a cook or a compile; those that prove damaged are forgotten (law 9)."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.units import RemovedUnits, UnitRecord
from daemon.ecosystems.planned import UnitsOf
from daemon.engine.settled import to_the_end
from daemon.pipeline.attempt import Attempt
from daemon.units.placing import Placing


class UnitRecords(Protocol):
    """Where units are remembered."""

    async def touch_units(self, scope: str, unit_key: Digest, digests: Iterable[Digest], at: float) -> None:
        """These were used."""
        ...

    async def forget_units(self, scope: str, unit_key: Digest, digests: Iterable[Digest]) -> RemovedUnits:
        """Drop units that are damaged, with all that was compiled against them."""
        ...


class GivenUnits:
    """Puts stored units into sandboxes."""

    def __init__(self, *, records: UnitRecords, blobs: BlobStore) -> None:
        self._records = records
        self._blobs = blobs

    @asynccontextmanager
    async def placing(self, units: UnitsOf, attempt: Attempt) -> AsyncIterator[Placing]:
        """For one step, that runs within the block; what was damaged is forgotten also where that fails."""
        placing = Placing(blobs=self._blobs, layout=units.layout, artefact_time=units.artefact_time)
        try:
            yield placing
        finally:
            if placing.damaged:
                await to_the_end(self._forget(units, placing, attempt))

    async def used(self, units: UnitsOf, placed: Iterable[UnitRecord], attempt: Attempt) -> None:
        """Note that these were of use."""
        digests = [unit.digest for unit in placed]
        await self._records.touch_units(attempt.request.scope, units.key, digests, time.time())

    async def _forget(self, units: UnitsOf, placing: Placing, attempt: Attempt) -> None:
        """A harvest is to store them anew."""
        count = len(placing.damaged) + len(placing.left_out)
        attempt.progress.note(f"{count} stored units were damaged or gone; they are compiled again.")
        damaged = [unit.digest for unit in placing.damaged]
        removed = await self._records.forget_units(attempt.request.scope, units.key, damaged)
        for blob in removed.blobs:
            await asyncio.to_thread(self._blobs.remove, blob)


def saved(placed: Iterable[UnitRecord], reused: Collection[str]) -> float:
    """The recorded seconds of the very units that were put in and not compiled again; `reused` are `name version`."""
    fresh = set(reused)
    return sum(unit.seconds for unit in placed if f"{unit.origin.name} {unit.origin.version}" in fresh)
