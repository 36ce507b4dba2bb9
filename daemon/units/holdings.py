"""What a workspace holds of the packages from outside, and what of the store may be put into it for another lock. Pure.

A stored unit may be put in only where every unit that it was compiled against is there, byte for byte: cargo compares
times and hashes of what was asked for, never contents. So it is known of each unit which stored one it is, as long as
cargo has compiled nothing of its package in the workspace. What is there stays as it is: nothing is put over it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from cache.digest import Digest
from cache.units import UnitRecord
from daemon.ecosystems.kept import Fetched
from daemon.units.cook import CookNotes, LiveUnit
from daemon.units.layout import UnitId


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldUnit:
    """One unit of a package from outside, `name version`."""

    unit: UnitId
    package: str
    digest: Digest | None = None
    """Of the stored unit that was put here; None where it came with the layer or was compiled here."""
    sound: bool = False
    """As it came: cargo has not made it anew since."""
    live: bool = False
    """The last compile named it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the messages of a compile said of packages from outside."""

    live: tuple[LiveUnit, ...]
    finished: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to a workspace's units for another lock: these are put in, those stay, and all others go."""

    put: tuple[UnitRecord, ...]
    stay: frozenset[UnitId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Kept as JSON with the workspace. `cook` is that of the layer it began with: what was harvested of it is here."""

    cook: str = ""
    units: tuple[HeldUnit, ...] = ()
    fetched: Fetched | None = None
    """What was fetched for the lock that is in it; None: nobody knows."""

    @classmethod
    def of_layer(cls, notes: CookNotes | None, fetched: Fetched | None) -> "Holdings":
        """Of a workspace that begins with a layer."""
        if notes is None:
            return cls(fetched=fetched)
        given = {each.unit: each.digest for each in notes.given}
        spoilt = set(notes.compiled) if notes.compiled is not None else {each.package.words for each in notes.live}
        units = (
            HeldUnit(
                unit=each.unit,
                package=each.package.words,
                digest=given.get(each.unit),
                sound=each.unit not in given or each.package.words not in spoilt,
            )
            for each in notes.live
        )
        return cls(cook=notes.id, units=tuple(units), fetched=fetched)

    def with_put(self, placed: Iterable[UnitRecord], stay: frozenset[UnitId] | None = None) -> "Holdings":
        """With units that were put in; `stay` are those that were left there, None: all."""
        left = {each.unit: each for each in self.units if stay is None or each.unit in stay}
        for unit in placed:
            place = UnitId(unit.home, unit.unit_hash)
            words = f"{unit.origin.name} {unit.origin.version}"
            left[place] = HeldUnit(unit=place, package=words, digest=unit.digest, sound=True)
        return replace(self, units=tuple(left[place] for place in sorted(left)))

    def after(self, told: Told) -> "Holdings":
        """After a compile; one that did not finish has said of some units nothing.

        Of a build script's run cargo does not say whether it was made anew; but then what stands on it was.
        """
        named = {each.unit: each for each in told.live}
        held = {each.unit: each for each in self.units}
        redone = {each.package.words for each in told.live if each.compiled and each.unit in held}
        if not told.finished:
            redone |= {each.package for each in self.units if each.unit not in named}
        units = []
        for place in sorted(held.keys() | named.keys()):
            before = held.get(place) or HeldUnit(unit=place, package=named[place].package.words)
            live = place in named or (not told.finished and before.live)
            units.append(replace(before, sound=before.sound and before.package not in redone, live=live))
        return replace(self, units=tuple(units))

    def change(self, chosen: Sequence[UnitRecord], members: Collection[str]) -> Change:
        """For a lock for which these stored units were chosen, each after those that it was compiled against.

        `members` are the names of the packages of the tree: what is left of those is told by name.
        """
        held = {each.unit: each for each in self.units}
        there: set[Digest] = set()
        stay = {each.unit for each in self.units if each.live}
        homes = {unit.unit_hash: unit.home for unit in stay}  # what stays is told by its hash alone
        put = []
        for unit in chosen:
            if unit.origin.name in members or not there.issuperset(unit.dependencies):
                continue
            place = UnitId(unit.home, unit.unit_hash)
            here = held.get(place)
            if here is not None and self._is(here, unit):
                stay.add(place)
            elif (here is None or not here.live) and homes.get(place.unit_hash, place.home) == place.home:
                put.append(unit)
            else:
                continue
            there.add(unit.digest)
        return Change(put=tuple(put), stay=frozenset(stay))

    def _is(self, held: HeldUnit, unit: UnitRecord) -> bool:
        """Whether what is held is this very stored unit."""
        if held.digest is None:
            return held.sound and self.cook == unit.cook != ""
        return held.sound and held.digest == unit.digest


def write_holdings(holdings: Holdings) -> bytes:
    """JSON."""
    return msgspec.json.encode(holdings)


def read_holdings(text: bytes) -> Holdings | None:
    """What was written; None where it cannot be read."""
    try:
        return msgspec.json.decode(text, type=Holdings)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
