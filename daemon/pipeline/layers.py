"""Comes by a dependency layer: the one that is held, the one that another build is cooking right now, or a new one."""

import time
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from cache.digest import Digest
from cache.errors import Failure
from cache.index import LayerRecord
from cache.reuse import Refusal, Rung
from daemon.builds import BuildRequest, Reuse
from daemon.ecosystems.ecosystem import Project
from daemon.engine.engine import Images
from daemon.engine.settled import to_the_end
from daemon.keyed_locks import KeyedLocks
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.cook import CookedLayer, CookStage, is_layer
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.plan import Reusable


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a compile stands on. `seconds` is what it cost to make, whenever that was."""

    image_id: str
    rung: Rung
    seconds: float
    refusals: tuple[Refusal, ...]
    compiled: tuple[str, ...] = ()


class Layers:
    """Finds, makes and forgets layers, one cook per key at a time."""

    def __init__(self, *, fetch: FetchStage, cook: CookStage, records: LayerRecords, images: Images) -> None:
        self._fetch = fetch
        self._cook = cook
        self._records = records
        self._images = images
        self._cooking = KeyedLocks()

    async def obtain(self, project: Project, reusable: Reusable, attempt: Attempt) -> Layer:
        """The layer for this project."""
        if reusable.choice.rung is Rung.LAYER and reusable.layer is not None:
            return _held(reusable.layer, reusable)
        async with self._cooking.hold(_name(project, attempt.request)):
            if attempt.request.reuse is Reuse.ALL:
                record = await self._record(project, attempt.request)
                image = await self._images.inspect(record.image_id) if record else None
                if record and image and is_layer(image, record.key.digest):
                    attempt.progress.note("Another build cooked the same dependencies meanwhile.")
                    return _held(record, reusable)
            return await self._make(project, reusable, attempt)

    async def forget(self, project: Project, request: BuildRequest, image_id: str) -> None:
        """The layer that is this image is not to be used any more; one that was made since stays."""
        async with self._cooking.hold(_name(project, request)):
            record = await self._record(project, request)
            if record and record.image_id == image_id:
                await self._records.forget_layer(record.key.digest, request.scope, project.plan.project)
            await self._discard(image_id, project.plan.exact.digest)

    async def _make(self, project: Project, reusable: Reusable, attempt: Attempt) -> Layer:
        started = time.monotonic()
        fetched = await self._fetch.fetch(project, attempt)

        async def keep(cooked: CookedLayer) -> None:
            await to_the_end(self._keep(project, attempt.request, cooked, time.monotonic() - started))

        cooked = await self._cook.cook(project, fetched, attempt, keep)
        return Layer(
            image_id=cooked.image_id,
            rung=Rung.NONE,
            seconds=time.monotonic() - started,
            refusals=reusable.against(Rung.RESULT, Rung.LAYER),
            compiled=cooked.packages,
        )

    async def _keep(self, project: Project, request: BuildRequest, cooked: CookedLayer, seconds: float) -> None:
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
                    cook=msgspec.json.encode({"packages": cooked.packages}),
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

    async def _record(self, project: Project, request: BuildRequest) -> LayerRecord | None:
        return await self._records.layer(project.plan.exact.digest, request.scope, project.plan.project)

    async def _discard(self, image_id: str, key: Digest) -> None:
        """Remove a layer's image; one that a damaged record names is another's, and stays."""
        try:
            image = await self._images.inspect(image_id)
            if image and is_layer(image, key):
                await self._images.remove(image_id)
        except Failure as failure:
            # Another build compiles over it, or the engine is away; no record names it, so the next start reaps it.
            structlog.get_logger().warning("layer.kept", image=image_id, kind=failure.kind, detail=failure.detail)


def _name(project: Project, request: BuildRequest) -> tuple[Digest, str, str]:
    return project.plan.exact.digest, request.scope, project.plan.private


def _held(record: LayerRecord, reusable: Reusable) -> Layer:
    return Layer(
        image_id=record.image_id, rung=Rung.LAYER, seconds=record.seconds, refusals=reusable.against(Rung.RESULT)
    )
