"""Harvests layers behind the answers (`daemon.behind`), each from a container of its layer that is never started.

A harvest that fails, or that a stop of the daemon cuts off, costs compiling those units again some day.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from cache.digest import DigestMismatch
from cache.errors import Failure
from daemon.behind import Behind
from daemon.engine.engine import Archive, Limits, SandboxSpec
from daemon.engine.settled import settled, to_the_end
from daemon.units.cook import Cook
from daemon.units.harvest import Harvest
from daemon.units.layout import UnitLayout

TARGET = "/target"
"""Where the artefacts of a layer are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A layer that may be harvested."""

    image_id: str
    cook: Cook
    layout: UnitLayout

    @property
    def name(self) -> tuple[str, str]:
        """What it is known by: its layer, and the cook that made that."""
        return self.image_id, self.cook.notes.id


class Containers(Protocol):
    """The engine, as far as a harvest needs it."""

    async def create(self, spec: SandboxSpec) -> str:
        """Create, not start."""
        ...

    def get(self, sandbox: str, path: str) -> Archive:
        """The tar stream of a path."""
        ...

    async def remove(self, sandbox: str) -> None:
        """Remove it."""
        ...


class Harvester(Protocol):
    """What stores units."""

    async def harvest(self, archive: Archive, cook: Cook) -> Harvest:
        """Store what may be stored of a target directory."""
        ...


class Bound(Protocol):
    """What keeps the unit store from growing without end."""

    async def hold(self) -> None:
        """Drop what is beyond the bound."""
        ...

    async def revoke(self, scope: str, cook: str) -> None:
        """Drop what a cook has made, and what was made of that."""
        ...


HarvesterOf = Callable[[UnitLayout], Harvester]


class Harvests:
    """Brings in crops."""

    def __init__(
        self,
        *,
        containers: Containers,
        harvester: HarvesterOf,
        bound: Bound,
        behind: Behind,
        labels: Mapping[str, str],
    ) -> None:
        self._bound = bound
        self._behind = behind
        self._containers = containers
        self._harvester = harvester
        self._labels = labels
        self._number = 0
        self._log = structlog.get_logger()
        self._ripe: dict[tuple[str, str], asyncio.Lock] = {}
        """What is still to be harvested."""

    def put(self, crop: Crop) -> None:
        """To be harvested when there is time; returns at once."""
        if self._behind.put("harvest", crop.image_id, partial(self._turn, crop)):
            self.ripen(crop)
        else:
            self._ripe.pop(crop.name, None)

    def ripen(self, crop: Crop) -> None:
        """May be harvested by who hurries; it has no turn of its own yet."""
        self._ripe.setdefault(crop.name, asyncio.Lock())

    def waits(self, crop: Crop) -> bool:
        """It is still to be harvested."""
        return crop.name in self._ripe

    async def hurry(self, crop: Crop) -> None:
        """Harvest out of turn what somebody waits for; one that fails is compiled again by who waited."""
        try:
            await self._turn(crop)
        except (Failure, DigestMismatch, OSError) as failure:
            self._log.warning("harvest.failed", about=crop.image_id, error=str(failure))
        except Exception:  # noqa: BLE001 - hostile bytes are read here, and a build waits
            self._log.exception("harvest.failed", about=crop.image_id)

    async def withdraw(self, crop: Crop) -> None:
        """Is not to be harvested; one that is just being harvested is waited for, and what came of it goes."""
        async with self._ripe.pop(crop.name, asyncio.Lock()):
            await self._bound.revoke(crop.cook.scope, crop.cook.notes.id)

    async def _turn(self, crop: Crop) -> None:
        ripe = self._ripe.get(crop.name)
        if ripe is None:
            return
        async with ripe:
            if self._ripe.get(crop.name) is not ripe:
                return
            try:
                await self.harvest(crop)
            except asyncio.CancelledError:
                raise  # its turn is still to come
            except BaseException:
                self._ripe.pop(crop.name, None)
                raise
            self._ripe.pop(crop.name, None)

    async def harvest(self, crop: Crop) -> Harvest:
        """Harvest one layer now; no container is left, however it ends."""
        self._number += 1
        spec = SandboxSpec(
            name=f"bloomery-{crop.cook.notes.id}-{self._number}-harvest",
            image=crop.image_id,
            command=("/bin/false",),
            labels={**self._labels, "bloomery.step": "harvest"},
            limits=Limits(),
        )
        sandbox = await settled(self._containers.create(spec), undo=self._containers.remove)
        try:
            found = await self._harvester(crop.layout).harvest(self._containers.get(sandbox, TARGET), crop.cook)
        finally:
            await to_the_end(self._containers.remove(sandbox))
        self._log.info(
            "harvested",
            layer=crop.image_id,
            stored=len(found.stored),
            known=len(found.known),
            refused=len(found.refused),
            changed=len(found.changed),
            unreadable=found.unreadable,
        )
        await self._bound.hold()
        return found
