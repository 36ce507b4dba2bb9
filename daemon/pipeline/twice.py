"""What a build compiled although it was stored: told in its report, for it should be nothing."""

from collections.abc import Collection, Iterable
from typing import Protocol

from cache.digest import Digest
from cache.units import UnitRecord
from daemon.builds import BuildRequest, Reuse
from daemon.ecosystems.planned import Plan
from daemon.units.cook import LiveUnit
from daemon.units.layout import UnitId


class StoredUnits(Protocol):
    """The unit store, before it has what this build compiled."""

    async def units(self, scope: str, unit_key: Digest, names: Collection[str]) -> tuple[UnitRecord, ...]:
        """The stored units of packages with these names."""
        ...


async def compiled_twice(
    stored: StoredUnits, plan: Plan, request: BuildRequest, live: Iterable[LiveUnit]
) -> tuple[str, ...]:
    """`name version` of the packages of which cargo compiled a unit that is stored: it names it by the same hash.

    The hash has in it what the unit was compiled against, so what stands on an updated package is none of these.
    """
    compiled = {each.unit: each.package for each in live if each.compiled}
    if plan.units is None or request.reuse is Reuse.NOTHING or not compiled:
        return ()
    names = {package.name for package in compiled.values()}
    known = await stored.units(request.scope, plan.units.key, names)
    found = (compiled.get(UnitId(unit.home, unit.unit_hash)) for unit in known)
    return tuple(sorted({package.words for package in found if package is not None}))
