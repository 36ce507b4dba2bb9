"""Comes by a dependency layer: the one that is held, the one that another build is cooking right now, or a new one."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

import msgspec

from cache.digest import Digest
from cache.index import LayerRecord
from cache.reuse import Refusal, Rung
from daemon.builds import BuildRequest, Reuse, StageName
from daemon.ecosystems.ecosystem import Ecosystem, Project
from daemon.engine.engine import Images
from daemon.keyed_locks import KeyedLocks
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.cook import CookedLayer, CookStage
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
    """Finds or makes layers, one cook per key at a time."""

    def __init__(self, *, fetch: FetchStage, cook: CookStage, records: LayerRecords, images: Images) -> None:
        self._fetch = fetch
        self._cook = cook
        self._records = records
        self._images = images
        self._cooking = KeyedLocks()

    async def obtain(self, ecosystem: Ecosystem, project: Project, reusable: Reusable, attempt: Attempt) -> Layer:
        """The layer for this project."""
        request = attempt.request
        if reusable.choice.rung is Rung.LAYER and reusable.layer is not None:
            return _held(reusable.layer, reusable)
        key = project.plan.exact.digest
        async with self._cooking.hold((key, request.scope, project.plan.private)):
            if request.reuse is Reuse.ALL:
                record = await self._records.layer(key, request.scope, project.plan.project)
                if record and await self._images.inspect(record.image_id):
                    attempt.progress.note("Another build cooked the same dependencies meanwhile.")
                    return _held(record, reusable)
            return await self._make(ecosystem, project, reusable, attempt)

    async def forget(self, project: Project, request: BuildRequest) -> None:
        """The layer of this project is not to be trusted any more."""
        await self._records.forget_layer(project.plan.exact.digest, request.scope, project.plan.project)

    async def _make(self, ecosystem: Ecosystem, project: Project, reusable: Reusable, attempt: Attempt) -> Layer:
        started = time.monotonic()
        fetched = await self._fetch.held(project.fetching)
        if fetched is None:
            async with attempt.progress.stage(StageName.FETCH):
                image = project.plan.toolchain.facts.image_id
                reader = ecosystem.reader(attempt.progress)
                fetched = await self._fetch.fetch(project.fetching, attempt.sandboxes, image, reader)
        cooked = await self._cook.cook(ecosystem, project, fetched, attempt)
        # A shielded record: the image exists, and a cancelled requester must not make it an orphan.
        record = await self._record(project, attempt.request, cooked, time.monotonic() - started)
        await asyncio.shield(self._records.record_layer(record))
        return Layer(
            image_id=cooked.image_id,
            rung=Rung.NONE,
            seconds=record.seconds,
            refusals=reusable.against(Rung.RESULT, Rung.LAYER),
            compiled=cooked.packages,
        )

    async def _record(
        self, project: Project, request: BuildRequest, cooked: CookedLayer, seconds: float
    ) -> LayerRecord:
        image = await self._images.inspect(cooked.image_id)
        return LayerRecord(
            key=project.plan.exact,
            scope=request.scope,
            project=project.plan.project,
            image_id=cooked.image_id,
            reference=cooked.reference,
            seconds=seconds,
            size=image.size if image else 0,
            created_at=time.time(),
            private=project.plan.private,
            cook=msgspec.json.encode({"packages": cooked.packages}),
        )


def _held(record: LayerRecord, reusable: Reusable) -> Layer:
    return Layer(
        image_id=record.image_id, rung=Rung.LAYER, seconds=record.seconds, refusals=reusable.against(Rung.RESULT)
    )
