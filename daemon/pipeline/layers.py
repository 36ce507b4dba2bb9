"""Comes by a dependency layer: the one that is held, the one that another build is cooking right now, or a new one."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog

from cache.digest import Digest
from cache.errors import Failure
from cache.index import LayerRecord
from cache.reuse import Refusal, Rung, WhyNot
from daemon.builds import BuildRequest, Reuse
from daemon.ecosystems.ecosystem import CompiledProject
from daemon.engine.engine import Images
from daemon.engine.settled import to_the_end
from daemon.keyed_locks import KeyedLocks
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.cook import CookedLayer, CookStage, Ingredients, is_layer
from daemon.pipeline.fetch import FetchStage, Provisions
from daemon.pipeline.given import saved
from daemon.pipeline.reusable import Reusable
from daemon.units.background import Crop
from daemon.units.cook import Cook, CookNotes, LiveUnit


class LayerRecords(Protocol):
    """Where layers are remembered."""

    async def layer(self, key: Digest, scope: str, project: str = "") -> LayerRecord | None:
        """The layer of this exact key."""
        ...

    async def record_layer(self, layer: LayerRecord) -> None:
        """Keep a layer."""
        ...

    async def forget_layer(self, key: Digest, scope: str, project: str = "") -> None:
        """Drop a layer whose image is gone or damaged."""
        ...


class Ended(Protocol):
    """Who wants to know that a build's cooks are over, and what may be harvested of them."""

    def cooked(self, build: str, crop: Crop) -> None:
        """A cook is over, and its layer is on record; the build goes on."""
        ...

    async def withdrawn(self, crop: Crop) -> None:
        """A layer has proved unfit."""
        ...

    def ended(self, build: str, crops: Iterable[Crop]) -> None:
        """The build has ended, however."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a compile stands on. `seconds` is what it cost to make, whenever that was."""

    image_id: str
    rung: Rung
    seconds: float
    refusals: tuple[Refusal, ...]
    saved: float = 0.0
    """What was reused of it had cost."""
    spent: Mapping[str, float] = field(default_factory=dict)
    """`name version` of each dependency that was compiled for it just now, and the seconds that it took."""
    live: tuple[LiveUnit, ...] = ()
    """The units of a cook just now."""
    notes: CookNotes | None = None
    """On its cook; None where they cannot be read."""


class Layers:
    """Finds, makes and forgets layers, one cook per key at a time."""

    def __init__(
        self, *, fetch: FetchStage, cook: CookStage, records: LayerRecords, images: Images, cooks: Ended
    ) -> None:
        self._cooks = cooks
        self._fetch = fetch
        self._cook = cook
        self._records = records
        self._images = images
        self._cooking = KeyedLocks()
        self._stale: set[tuple[str, Digest]] = set()
        self._unkept: dict[str, set[tuple[str, Digest]]] = {}
        self._ripe: dict[str, list[Crop]] = {}

    async def obtain(self, project: CompiledProject, reusable: Reusable, attempt: Attempt) -> Layer:
        """The layer for this project."""
        if reusable.choice.rung is Rung.LAYER and reusable.layer is not None:
            return _held(reusable.layer, reusable)
        began = time.monotonic()
        async with self._cooking.hold(_name(project, attempt.request)):
            attempt.waited.seconds += time.monotonic() - began
            if attempt.request.reuse is Reuse.ALL:
                record = await self._record(project, attempt.request)
                image = await self._images.inspect(record.image_id) if record else None
                if record and image and is_layer(image, record.key.digest):
                    attempt.progress.note("Another build cooked the same dependencies meanwhile.")
                    return _held(record, reusable)
            return await self._make(project, reusable, attempt)

    async def forget(self, project: CompiledProject, request: BuildRequest, image_id: str) -> None:
        """The layer that is this image is not to be used any more, nor harvested; one that was made since stays."""
        for crops in self._ripe.values():
            unfit = [crop for crop in crops if crop.image_id == image_id]
            crops[:] = [crop for crop in crops if crop.image_id != image_id]
            for crop in unfit:
                await self._cooks.withdrawn(crop)
        async with self._cooking.hold(_name(project, request)):
            record = await self._record(project, request)
            if record and record.image_id == image_id:
                await self._records.forget_layer(record.key.digest, request.scope, project.plan.project)
            await self._discard(image_id, project.plan.exact.digest)

    async def after_build(self, build: str) -> None:
        """What waits for a build's end: harvests, and layers' images to be removed that a container still stood on."""
        self._cooks.ended(build, self._ripe.pop(build, ()))
        stale, self._stale = self._stale | self._unkept.pop(build, set()), set()
        for image_id, key in stale:
            await self._discard(image_id, key)

    async def _make(self, project: CompiledProject, reusable: Reusable, attempt: Attempt) -> Layer:
        started = time.monotonic()

        async def keep(cooked: CookedLayer) -> None:
            if not attempt.trust.held:
                # For this build alone; its image goes when the build has ended.
                self._unkept.setdefault(attempt.build.id, set()).add((cooked.image_id, project.plan.exact.digest))
                return
            await to_the_end(self._keep(project, attempt.request, cooked, time.monotonic() - started))

        async def cook(provisions: Provisions) -> CookedLayer:
            ingredients = Ingredients(provisions=provisions, units=reusable.units)
            return await self._cook.cook(project, ingredients, attempt, keep)

        cooked = await self._fetch.supplied(project, attempt, cook)
        self._harvest_later(project, attempt, cooked)
        refusals = reusable.choice.refusals
        if reusable.units and not cooked.reused:
            # Those of other features or another profile are no use to cargo.
            refusals = (*refusals, Refusal(Rung.UNITS, WhyNot.NOT_STORED if cooked.placed else WhyNot.DAMAGED))
        return Layer(
            image_id=cooked.image_id,
            rung=Rung.UNITS if cooked.reused else Rung.NONE,
            seconds=time.monotonic() - started,
            refusals=refusals,
            saved=saved(cooked.placed, cooked.reused),
            spent=cooked.spent,
            live=cooked.notes.live,
            notes=cooked.notes,
        )

    def _harvest_later(self, project: CompiledProject, attempt: Attempt, cooked: CookedLayer) -> None:
        units = project.plan.units
        if units is not None and attempt.trust.held:
            cook = Cook(scope=attempt.request.scope, unit_key=units.key, origins=units.origins, notes=cooked.notes)
            crop = Crop(image_id=cooked.image_id, cook=cook, layout=units.layout)
            self._ripe.setdefault(attempt.build.id, []).append(crop)
            self._cooks.cooked(attempt.build.id, crop)

    async def _keep(self, project: CompiledProject, request: BuildRequest, cooked: CookedLayer, seconds: float) -> None:
        """Put a layer on record in place of an older one of its key; an image that is on no record is removed."""
        try:
            older = await self._record(project, request)
            size = await self._added(cooked.image_id, project.plan.toolchain.facts.image_id)
            await self._records.record_layer(
                LayerRecord(
                    key=project.plan.exact,
                    scope=request.scope,
                    project=project.plan.project,
                    image_id=cooked.image_id,
                    reference=cooked.reference,
                    seconds=seconds,
                    size=size,
                    created_at=time.time(),
                    private=project.plan.private,
                    cook=msgspec.json.encode(cooked.notes),
                )
            )
        except BaseException:
            await self._discard(cooked.image_id, project.plan.exact.digest)
            raise
        if older and older.image_id != cooked.image_id:
            await self._discard(older.image_id, older.key.digest)

    async def _added(self, image_id: str, toolchain: str) -> int:
        """Bytes that a layer's image has beyond the toolchain image that it stands on and shares."""
        image, below = await self._images.inspect(image_id), await self._images.inspect(toolchain)
        return max(0, image.size - (below.size if below else 0)) if image else 0

    async def _record(self, project: CompiledProject, request: BuildRequest) -> LayerRecord | None:
        return await self._records.layer(project.plan.exact.digest, request.scope, project.plan.project)

    async def _discard(self, image_id: str, key: Digest) -> None:
        """Remove a layer's image; one that a damaged record names is another's, and stays."""
        try:
            image = await self._images.inspect(image_id)
            if image and is_layer(image, key):
                await self._images.remove(image_id)
        except Failure as failure:
            # A build or a workspace stands on it, or the engine is away; what is left at the end the next start reaps.
            self._stale.add((image_id, key))
            structlog.get_logger().warning("layer.kept", image=image_id, kind=failure.kind, detail=failure.detail)


def _name(project: CompiledProject, request: BuildRequest) -> tuple[Digest, str, str]:
    return project.plan.exact.digest, request.scope, project.plan.private


def _held(record: LayerRecord, reusable: Reusable) -> Layer:
    return Layer(
        image_id=record.image_id,
        rung=Rung.LAYER,
        seconds=record.seconds,
        refusals=reusable.against(Rung.RESULT, Rung.OBSERVED, Rung.WORKSPACE),
        saved=record.seconds,
        notes=_read_notes(record.cook),
    )


def _read_notes(text: bytes) -> CookNotes | None:
    try:
        return msgspec.json.decode(text, type=CookNotes)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
