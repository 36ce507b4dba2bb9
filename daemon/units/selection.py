"""Chooses the stored units that are put before a cook; a pure function.

Cargo judges what is fresh, so one unit too many costs only the time to put it in. What is chosen is closed: cargo finds
a unit dirty when one that it was compiled against is missing, and recompiling that one would make all of them dirty.
"""

from collections import Counter
from collections.abc import Iterable

from cache.digest import Digest
from cache.units import UnitOrigin, UnitRecord
from daemon.units.layout import UnitId

MOST_PER_PACKAGE = 24
"""Units: features, profiles, host and target, each with a build script and its run."""


def choose(
    stored: Iterable[UnitRecord], origins: Iterable[UnitOrigin], most: int = MOST_PER_PACKAGE
) -> tuple[UnitRecord, ...]:
    """Of the units of one scope and unit key those of the lock's packages, each after those it was compiled against.

    `most` bounds the units of one package: the newest are chosen, with all that they need. Of two units for one place
    the newer one is chosen.
    """
    wanted = set(origins)
    newest = sorted(stored, key=lambda unit: (-unit.created_at, unit.digest))
    units = {unit.digest: unit for unit in newest if unit.origin in wanted}
    closures = _Closures(units)
    chosen: dict[Digest, UnitRecord] = {}
    places: set[UnitId] = set()
    counts: Counter[UnitOrigin] = Counter()
    for unit in units.values():
        closure = closures.of(unit)
        if closure is None:
            continue
        more = [each for each in closure if each.digest not in chosen]
        added = [UnitId(each.home, each.unit_hash) for each in more]
        grown = counts + Counter(each.origin for each in more)
        if any(grown[each.origin] > most for each in more) or places & set(added) or len(set(added)) < len(added):
            continue
        chosen |= {each.digest: each for each in more}
        places |= set(added)
        counts = grown
    return tuple(chosen.values())


class _Closures:
    """All that a unit stands on, in order, if all of it is there."""

    def __init__(self, units: dict[Digest, UnitRecord]) -> None:
        self._units = units

    def of(self, unit: UnitRecord) -> tuple[UnitRecord, ...] | None:
        """The unit's dependencies, each after its own, and the unit itself; None where one is missing."""
        found: dict[Digest, UnitRecord] = {}
        begun: set[Digest] = set()
        ahead: list[tuple[UnitRecord, bool]] = [(unit, False)]
        while ahead:
            here, complete = ahead.pop()
            if complete:
                found[here.digest] = here
                continue
            if here.digest in begun:
                continue
            begun.add(here.digest)
            ahead.append((here, True))
            for digest in here.dependencies:
                dependency = self._units.get(digest)
                if dependency is None:
                    return None
                ahead.append((dependency, False))
        return tuple(found.values())
