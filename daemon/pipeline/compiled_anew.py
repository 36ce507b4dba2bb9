"""Cooks and compiles with nothing reused, and compares what the cook made with the units that are stored.

The layer's image goes when its containers have gone; no record, no workspace and no unit comes of it.
"""

from collections.abc import Callable
from typing import Protocol

import structlog

from cache.errors import Failure
from cache.units import UnitRecord
from daemon.ecosystems.ecosystem import CompiledProject
from daemon.engine.engine import Archive, Images, Sandboxes
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.clean import MadeAnew
from daemon.pipeline.compilation import Planned
from daemon.pipeline.compile import CompileStage, Left
from daemon.pipeline.cook import CookedLayer, CookStage, Ingredients
from daemon.pipeline.fetch import FetchStage, Provisions
from daemon.units.background import TARGET
from daemon.units.cook import Cook
from daemon.units.layout import UnitLayout


class StoredUnits(Protocol):
    """What is stored of units, beside what a cook has made."""

    async def differing(self, archive: Archive, cook: Cook) -> tuple[UnitRecord, ...] | None:
        """The stored units in whose place this cook has made other bytes; None where that cannot be told."""
        ...


StoredUnitsOf = Callable[[UnitLayout], StoredUnits]


class CompiledAnew:
    """An `Anew` for languages that compile."""

    def __init__(
        self,
        *,
        fetch: FetchStage,
        cook: CookStage,
        compile: CompileStage,  # noqa: A002 - the stage's name
        engine: Sandboxes,
        images: Images,
        units: StoredUnitsOf,
    ) -> None:
        self._fetch = fetch
        self._cook = cook
        self._compile = compile
        self._engine = engine
        self._images = images
        self._units = units
        self._left: set[str] = set()
        """Images of layers that the engine has not removed yet."""

    async def made(self, planned: Planned, attempt: Attempt) -> MadeAnew:
        """Binaries, over a layer that was cooked for them alone."""
        project = planned.compiled

        async def keep(cooked: CookedLayer) -> None:
            self._left.add(cooked.image_id)

        async def cook(provisions: Provisions) -> CookedLayer:
            ingredients = Ingredients(provisions=provisions, repository="bloomery/clean")
            return await self._cook.cook(project, ingredients, attempt, keep)

        cooked = await self._fetch.supplied(project, attempt, cook)
        result = await self._compile.compile(project, cooked.image_id, attempt, _not_kept)
        return MadeAnew(made=result, units=await self._differing(project, attempt, cooked))

    async def ended(self) -> None:
        """What the engine does not remove now it is asked for again, the next time or when the daemon starts."""
        for image_id in tuple(self._left):
            try:
                if await self._images.inspect(image_id) is not None:
                    await self._images.remove(image_id)
                self._left.discard(image_id)
            except Failure as failure:
                log = structlog.get_logger()
                log.warning("clean.layer_kept", image=image_id, kind=failure.kind, detail=failure.detail)

    async def _differing(
        self, project: CompiledProject, attempt: Attempt, cooked: CookedLayer
    ) -> tuple[UnitRecord, ...] | None:
        units = project.plan.units
        if units is None:
            return ()
        cook = Cook(scope=attempt.request.scope, unit_key=units.key, origins=units.origins, notes=cooked.notes)
        async with attempt.sandboxes.sandbox("units", cooked.image_id, {}) as sandbox:  # which is never started
            return await self._units(units.layout).differing(self._engine.get(sandbox, TARGET), cook)


async def _not_kept(_left: Left) -> None:
    """No workspace comes of it."""
