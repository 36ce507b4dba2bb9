"""Whether the unit store is expected to hold all that a compile asks for; a pure function.

It is asked of the packages that the project names itself: what is chosen is closed, so each brings what it stands on.
Nothing rests on the answer but time. Features, settings of the profile and what only some targets need are not looked
at: what is missing after all, cargo compiles.
"""

from collections.abc import Iterable

from cache.units import UnitKind, UnitOrigin, UnitRecord


def nothing_missing(direct: Iterable[UnitOrigin], units: Iterable[UnitRecord], profile: str) -> bool:
    """Whether each of these packages has a library among the chosen units, in the profile's directory."""
    there = {unit.origin for unit in units if unit.kind is UnitKind.LIBRARY and unit.home.rpartition("/")[2] == profile}
    return bool(there) and there.issuperset(direct)
