"""What a crash left in the engine: found by its labels when the daemon starts, and removed.

The builds that it belonged to run again from the queue (`daemon.scheduler`), so nothing here is worth adopting yet. An
image of ours that no record names was committed just before the crash, or replaced since: it is removed, too. This runs
before the first build does; afterwards a container of a running build would look the same.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from cache.errors import Failure
from daemon.engine.engine import Images, Sandboxes, Survey
from daemon.errors import EngineUnavailable
from daemon.pipeline.cook import LAYER_LABEL
from daemon.pipeline.sandboxes import INSTANCE_LABEL

PENDING_LABEL = "bloomery.pending"
"""On an image that is not whole yet, and never will be when it is found at start."""


class LayerImages(Protocol):
    """Which images of the engine are dependency layers on record."""

    async def layer_images(self) -> frozenset[str]:
        """Their ids."""
        ...


@dataclass(frozen=True, slots=True)
class Reaped:
    """What was removed: ids; `kept` could not be."""

    sandboxes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class Recovery:
    """Removes what an earlier daemon of this state directory left in the engine."""

    def __init__(
        self, survey: Survey, sandboxes: Sandboxes, images: Images, records: LayerImages, instance: str
    ) -> None:
        self._survey = survey
        self._sandboxes = sandboxes
        self._images = images
        self._records = records
        self._instance = instance
        self._log = structlog.get_logger()

    async def reap(self) -> Reaped:
        """Look once and remove; raises what the engine raises if it cannot even be asked.

        What the engine refuses to remove stays for the next start and is logged.
        """
        mine = {INSTANCE_LABEL: self._instance}
        removed: list[str] = []
        deleted: list[str] = []
        kept: list[str] = []
        for sandbox in await self._survey.sandboxes(mine):
            done = await self._attempted(self._sandboxes, sandbox.id)
            (removed if done else kept).append(sandbox.id)
        on_record = await self._records.layer_images()
        for image in await self._survey.images(mine):
            if half_made(image.id, image.labels, on_record):
                done = await self._attempted(self._images, image.id)
                (deleted if done else kept).append(image.id)
        reaped = Reaped(tuple(removed), tuple(deleted), tuple(kept))
        if reaped != Reaped():
            self._log.info("recovery.reaped", sandboxes=removed, images=deleted, kept=kept)
        return reaped

    async def _attempted(self, remover: Sandboxes | Images, name: str) -> bool:
        try:
            await remover.remove(name)
        except EngineUnavailable:
            raise
        except Failure as failure:
            self._log.warning("recovery.kept", id=name, kind=failure.kind, detail=failure.detail)
            return False
        return True


def half_made(image_id: str, labels: Mapping[str, str], on_record: Collection[str]) -> bool:
    """Whether an image of this instance is what a crash left: a layer, or a pending one, that no record names."""
    return image_id not in on_record and (PENDING_LABEL in labels or LAYER_LABEL in labels)
