"""A clean build of what was built before: nothing is reused, and nothing of it stays.

What the lock proves need not be fetched again; everything is compiled. No tag, no record, no workspace and no unit
comes of it, and its layer's image goes with it. It has sandboxes of its own, in which builds have precedence.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from cache.digest import Digest
from cache.errors import Blame, Failure
from cache.units import UnitRecord
from daemon.builds import Build, ContentEntry, Reuse
from daemon.ecosystems.ecosystem import CompiledProject
from daemon.engine.engine import Archive, Images, Sandboxes
from daemon.engine.settled import to_the_end
from daemon.errors import FetchFailed
from daemon.image.assembled import AssembledImage
from daemon.pipeline.attempt import Attempt, Attempts
from daemon.pipeline.compilation import Planned
from daemon.pipeline.compile import CompileResult, CompileStage, Left
from daemon.pipeline.cook import CookedLayer, CookStage, Ingredients
from daemon.pipeline.fetch import FetchStage, Provisions
from daemon.pipeline.finish import FinishStage
from daemon.pipeline.sandboxes import SandboxSettings
from daemon.pipeline.unheard import Unheard
from daemon.units.background import TARGET
from daemon.units.cook import Cook
from daemon.units.layout import UnitLayout

_WEIGHT = 0.125


class StoredUnits(Protocol):
    """What is stored of units, beside what a cook has made."""

    async def differing(self, archive: Archive, cook: Cook) -> tuple[UnitRecord, ...] | None:
        """The stored units in whose place this cook has made other bytes; None where that cannot be told."""
        ...


StoredUnitsOf = Callable[[UnitLayout], StoredUnits]


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanImage:
    """An image that is in no engine."""

    binary: str
    digest: str
    """Of its manifest."""
    contents: tuple[ContentEntry, ...]
    blobs: frozenset[Digest]
    """All that was written for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """What came of it: images in the order of the request, or why there are none, which the source is to blame for."""

    images: tuple[CleanImage, ...] = ()
    failure: str = ""
    """The failure's kind, and what it says."""
    units: tuple[UnitRecord, ...] | None = ()
    """The stored units in whose place it has made other bytes; None where that cannot be told."""

    @property
    def identity(self) -> tuple[str, ...]:
        """The same for two builds that came to the same."""
        return (self.failure.partition(":")[0], *(image.digest for image in self.images))


def giving_way(settings: SandboxSettings) -> SandboxSettings:
    """The sandboxes of clean builds: where builds want the processors, too, these get an eighth of what each has."""
    return replace(settings, limits=replace(settings.limits, weight=_WEIGHT))


class CleanBuilds:
    """Makes clean builds."""

    def __init__(
        self,
        *,
        fetch: FetchStage,
        cook: CookStage,
        compile: CompileStage,  # noqa: A002 - the stage's name
        finish: FinishStage,
        attempts: Attempts,
        engine: Sandboxes,
        images: Images,
        units: StoredUnitsOf,
    ) -> None:
        self._fetch = fetch
        self._cook = cook
        self._compile = compile
        self._finish = finish
        self._attempts = attempts
        self._engine = engine
        self._images = images
        self._units = units
        self._left: set[str] = set()
        """Images of layers that the engine has not removed yet."""

    async def made(self, planned: Planned, build: Build) -> Clean:
        """Build once; `build` has an id that no other has. Raises what is no fault of the source's."""
        own = replace(build, request=replace(build.request, reuse=Reuse.ALL))
        try:
            async with self._attempts.begun(own, Unheard("clean", own.id)) as attempt:
                return await self._made(planned, attempt)
        except Failure as failure:
            if failure.blame is not Blame.SOURCE or isinstance(failure, FetchFailed):
                raise
            return Clean(failure=f"{failure.kind}: {failure.detail}", units=None)
        finally:
            await to_the_end(self._remove_layers())

    async def _made(self, planned: Planned, attempt: Attempt) -> Clean:
        project = planned.compiled

        async def keep(cooked: CookedLayer) -> None:
            self._left.add(cooked.image_id)

        async def cook(provisions: Provisions) -> CookedLayer:
            ingredients = Ingredients(provisions=provisions, repository="bloomery/clean")
            return await self._cook.cook(project, ingredients, attempt, keep)

        cooked = await self._fetch.supplied(project, attempt, cook)
        result = await self._compile.compile(project, cooked.image_id, attempt, _not_kept)
        assembled = self._finish.assembled(result, planned.source, project.plan)
        images = [_image(image, result) async for image in assembled]
        return Clean(images=tuple(images), units=await self._differing(project, attempt, cooked))

    async def _differing(
        self, project: CompiledProject, attempt: Attempt, cooked: CookedLayer
    ) -> tuple[UnitRecord, ...] | None:
        units = project.plan.units
        if units is None:
            return ()
        cook = Cook(scope=attempt.request.scope, unit_key=units.key, origins=units.origins, notes=cooked.notes)
        async with attempt.sandboxes.sandbox("units", cooked.image_id, {}) as sandbox:  # which is never started
            return await self._units(units.layout).differing(self._engine.get(sandbox, TARGET), cook)

    async def _remove_layers(self) -> None:
        """What the engine does not remove now it is asked for again, the next time or when the daemon starts."""
        for image_id in tuple(self._left):
            try:
                if await self._images.inspect(image_id) is not None:
                    await self._images.remove(image_id)
                self._left.discard(image_id)
            except Failure as failure:
                log = structlog.get_logger()
                log.warning("clean.layer_kept", image=image_id, kind=failure.kind, detail=failure.detail)


def _image(image: AssembledImage, result: CompileResult) -> CleanImage:
    binary = result.binaries[image.binary].digest
    written = {image.manifest_digest, image.image_id, *image.layers, image.listing, binary}
    symbols = {image.symbols} if image.symbols else set[Digest]()
    return CleanImage(
        binary=image.binary,
        digest=str(image.manifest_digest),
        contents=image.contents,
        blobs=frozenset(written | symbols),
    )


async def _not_kept(_left: Left) -> None:
    """No workspace comes of it."""
