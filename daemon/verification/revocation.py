"""Takes back what a build has reused that proved wrong, and all that may stand on the same.

A wrong layer, workspace or unit may be in every image, workspace and layer of its project; a wrong unit also in those
of other projects of the scope whose layers were given anything of the same cook. All of that goes; the next build
makes it anew. What runs meanwhile leaves nothing, and begins again where it had reused anything.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.gc import EntryKind, EntryName
from cache.units import RemovedUnits, UnitRecord
from daemon.ecosystems.planned import Plan
from daemon.units.cook import CookNotes

Revoking = Callable[[str], AbstractContextManager[None]]
"""For a scope: as long as the block lasts, builds of it that run or begin leave nothing."""


class Records(Protocol):
    """What is on record."""

    async def units(self, scope: str, unit_key: Digest, names: Collection[str]) -> tuple[UnitRecord, ...]:
        """The stored units of packages with these names."""
        ...

    async def revoke_cook(self, scope: str, cook: str) -> RemovedUnits:
        """Drop all units of a cook, and of every cook that had any of them in it."""
        ...

    async def cooks_of_layers(self, scope: str) -> tuple[tuple[str, bytes], ...]:
        """The project of each layer, and the JSON of the notes on its cook."""
        ...

    async def reusable_of(self, scope: str, projects: Collection[str]) -> frozenset[EntryName]:
        """The results, workspaces and layers of these projects."""
        ...


class Keeper(Protocol):
    """Who takes things off the record, out of the engine and off the disk."""

    async def revoke(self, names: Collection[EntryName]) -> int:
        """Remove these, whoever uses them; returns how many were there."""
        ...


class Revocation:
    """Revokes."""

    def __init__(self, *, records: Records, keeper: Keeper, revoking: Revoking, blobs: BlobStore) -> None:
        self._records = records
        self._keeper = keeper
        self._revoking = revoking
        self._blobs = blobs

    async def revoke(self, plan: Plan, scope: str, differing: Collection[UnitRecord] | None) -> int:
        """Revoke what a build of this plan has reused; returns how many entries of the cache went.

        `differing` are the stored units that a clean build makes otherwise; None: any of this lock's may be wrong.
        """
        with self._revoking(scope):
            suspects = await self._of_lock(plan, scope) if differing is None else differing
            units, cooks = await self._revoke_units(scope, {unit.cook for unit in suspects})
            given = {name for name, notes in await self._records.cooks_of_layers(scope) if cooks & _cooks(notes)}
            names = await self._records.reusable_of(scope, {plan.project, *given}) | frozenset(_installed(plan))
            return units + await self._keeper.revoke(names)

    async def _of_lock(self, plan: Plan, scope: str) -> Collection[UnitRecord]:
        if plan.units is None:
            return ()
        return await self._records.units(scope, plan.units.key, {origin.name for origin in plan.units.origins})

    async def _revoke_units(self, scope: str, cooks: Iterable[str]) -> tuple[int, set[str]]:
        """How many units went, and the cooks that they came from."""
        count, gone = 0, set[str]()
        for cook in sorted(cooks):
            removed = await self._records.revoke_cook(scope, cook)
            count += len(removed.units)
            gone |= {cook, *removed.cooks}
            for blob in removed.blobs:
                self._blobs.remove(blob)
        return count, gone


def _installed(plan: Plan) -> Iterator[EntryName]:
    """All that is kept of an environment: one of its packages is wrong, and nobody can tell which."""
    if plan.packages is not None:
        yield EntryName(EntryKind.FETCHED, ("listing", str(plan.exact.digest)))
        for name in plan.packages.names:
            yield EntryName(EntryKind.FETCHED, ("package", str(plan.packages.key), name))


def _cooks(notes: bytes) -> set[str]:
    """The cooks of a layer: its own, and those whose units it was given."""
    try:
        read = msgspec.json.decode(notes, type=CookNotes)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return set()
    return {read.id, *(given.cook for given in read.given)}
