"""Cooks that are under way: what a build is about to compile, another may just be compiling.

A build that lacks mostly what another one's cook is about to have waits for that cook and for its harvest, and then
looks again what it can stand on. So builds that come together share their work as those do that come one by one.
Nothing waits in a circle: a build waits before its own cook is announced, and only for cooks that were announced.
"""

import asyncio
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from cache.digest import Digest
from cache.reuse import Rung
from cache.units import UnitOrigin
from daemon.builds import BuildRequest, Reuse
from daemon.ecosystems.planned import Plan, UnitsOf
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.reusable import Reusable
from daemon.slots import Slots
from daemon.units.background import Crop

WORTH_WAITING = 0.5
"""The share of what a build lacks from which on it waits, however many processors there are."""
FEWEST = 8
"""Packages in common from which on it waits: fewer are compiled sooner than another's are harvested."""


def crowding(processors: float, of_each: float) -> float:
    """By how much one cook is slower beside another, where each may use so many of these processors: 1 to 2."""
    return min(2.0, max(1.0, 2 * of_each / processors))


def worth_waiting(theirs: int, mine: int, common: int, crowding: float) -> bool:
    """Whether who lacks `mine` packages waits for the cook of `theirs`: by numbers, for nobody knows how far that is.

    With much in common always; else where theirs and then the rest of mine takes less than mine beside theirs.
    """
    return common >= WORTH_WAITING * mine or theirs + mine - common < crowding * mine


class Harvests(Protocol):
    """Where what a cook compiled is taken into the unit store."""

    def ripen(self, crop: Crop) -> None:
        """May be harvested, and has no turn yet."""
        ...

    async def withdraw(self, crop: Crop) -> None:
        """Is not to be harvested; what was harvested of it goes."""
        ...

    def put(self, crop: Crop) -> None:
        """To be harvested when there is time; returns at once."""
        ...

    async def hurry(self, crop: Crop) -> None:
        """Harvested when this returns, unless it fails; nothing to do where it was."""
        ...

    def waits(self, crop: Crop) -> bool:
        """It is still to be harvested."""
        ...


class Anew(Protocol):
    """Who says what a build can stand on."""

    async def below_workspace_anew(self, plan: Plan, request: BuildRequest, before: Reusable) -> Reusable:
        """What fits by now, after something was waited for."""
        ...


@dataclass(slots=True)
class _Cook:
    """One build's, from its announcement until what it compiled is in the store; it may be over before the build is."""

    place: tuple[str, Digest, str]
    """Scope, unit key, profile."""
    packages: frozenset[UnitOrigin]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    crops: tuple[Crop, ...] = ()


class Underway:
    """Who is cooking what."""

    def __init__(self, harvests: Harvests, slots: Slots, fewest: int = FEWEST, crowding: float = 1.0) -> None:
        self._fewest = fewest
        self._crowding = crowding
        self._harvests = harvests
        self._slots = slots
        self._cooks: dict[str, _Cook] = {}
        self._early: dict[str, list[Crop]] = {}
        """What may be harvested of builds that have not ended."""

    async def with_what_others_cook(self, plan: Plan, reusable: Reusable, anew: Anew, attempt: Attempt) -> Reusable:
        """What can be stood on when others have compiled what is lacking, as far as that is worth waiting for."""
        units = plan.units
        while units is not None and _cooks(reusable, attempt):
            lacking = set(units.origins) - {unit.origin for unit in reusable.units}
            if not await self.waited(units, lacking, attempt):
                break
            reusable = await anew.below_workspace_anew(plan, attempt.request, reusable)
        return reusable

    async def waited(self, units: UnitsOf, lacking: Collection[UnitOrigin], attempt: Attempt) -> bool:
        """Whether another cook was waited for; if not, this build's own is announced from now on until it has ended."""
        place = attempt.request.scope, units.key, units.profile
        wanted = frozenset(lacking)
        found = self._best(place, wanted)
        if found is None:
            self._cooks[attempt.build.id] = _Cook(place, wanted)
            return False
        build, cook = found
        attempt.progress.note(
            f"Build {build} is compiling {len(cook.packages & wanted)} of the {len(wanted)} dependencies that this one "
            "lacks; it is waited for."
        )
        began = time.monotonic()
        async with self._slots.lent():
            await cook.over.wait()
            for crop in cook.crops:
                await self._harvests.hurry(crop)
        attempt.waited.seconds += time.monotonic() - began
        return True

    def cooked(self, build: str, crop: Crop) -> None:
        """A cook is over, and its layer is there; it is harvested now for who waits, while the build goes on."""
        self._early.setdefault(build, []).append(crop)
        self._harvests.ripen(crop)
        cook = self._cooks.get(build)
        if cook is not None:
            cook.crops = (crop,)
            cook.over.set()

    async def withdrawn(self, crop: Crop) -> None:
        """A layer has proved unfit: nobody is to be given anything of it, also where somebody was quick."""
        await self._harvests.withdraw(crop)

    def ended(self, build: str, crops: Iterable[Crop]) -> None:
        """A build has ended, however; what may be harvested of its cooks is so behind the answer, or for who waits."""
        crops, early = tuple(crops), self._early.pop(build, [])
        for crop in crops:
            if crop not in early or self._harvests.waits(crop):
                self._harvests.put(crop)
        cook = self._cooks.get(build)
        if cook is not None:
            cook.crops = crops
            cook.over.set()

    def _best(self, place: tuple[str, Digest, str], wanted: frozenset[UnitOrigin]) -> tuple[str, _Cook] | None:
        self._forget_harvested()
        common = {
            build: len(cook.packages & wanted) for build, cook in self._cooks.items() if cook.place == place and wanted
        }
        build = max(common, key=lambda each: common[each], default=None)
        if build is None or common[build] < self._fewest:
            return None
        cook = self._cooks[build]
        worth_it = worth_waiting(len(cook.packages), len(wanted), common[build], self._crowding)
        return (build, cook) if worth_it else None

    def _forget_harvested(self) -> None:
        done = [
            build
            for build, cook in self._cooks.items()
            if cook.over.is_set() and not any(self._harvests.waits(crop) for crop in cook.crops)
        ]
        for build in done:
            del self._cooks[build]


def _cooks(reusable: Reusable, attempt: Attempt) -> bool:
    """Whether the build is about to cook."""
    held = reusable.choice.rung is Rung.LAYER or reusable.nothing_missing
    return attempt.request.reuse is Reuse.ALL and not held
