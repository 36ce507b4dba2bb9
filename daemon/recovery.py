"""What a crash left in the engine: found by its labels when the daemon starts, and removed.

The builds that it belonged to run again from the queue (`daemon.scheduler`). What stays is a workspace: a stopped
container that is on record and that nobody has run since. One that was in use is not on record, so a container whose
compile was cut off is removed. An image of ours that no record names was committed just before the crash, or replaced
since: it is removed, too. This runs before the first build does; afterwards a container of a running build would look
the same.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from cache.errors import Failure
from cache.workspaces import WorkspaceRecord
from daemon.engine.engine import Images, Sandboxes, SandboxState, Survey
from daemon.errors import EngineUnavailable
from daemon.pipeline.cook import LAYER_LABEL
from daemon.pipeline.sandboxes import INSTANCE_LABEL

PENDING_LABEL = "bloomery.pending"
"""On an image that is not whole yet, and never will be when it is found at start."""
_STOPPED = "exited"


class Records(Protocol):
    """Which images and containers of the engine are on record."""

    async def layer_images(self) -> frozenset[str]:
        """The ids of the images that are dependency layers."""
        ...

    async def workspaces(self) -> tuple[WorkspaceRecord, ...]:
        """The containers that are workspaces, and are not in use."""
        ...

    async def forget_workspace(self, sandbox: str) -> None:
        """Drop the record of this container."""
        ...


@dataclass(frozen=True, slots=True)
class Reaped:
    """What was removed: ids; `kept` could not be, `forgotten` are containers that were on record."""

    sandboxes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()


class Recovery:
    """Removes what an earlier daemon of this state directory left in the engine."""

    def __init__(self, survey: Survey, sandboxes: Sandboxes, images: Images, records: Records, instance: str) -> None:
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
        present = [sandbox.id for sandbox in await self._survey.sandboxes(mine)]
        usable, forgotten = await self._workspaces(present)
        for sandbox in present:
            if sandbox not in usable:
                done = await self._attempted(self._sandboxes, sandbox)
                (removed if done else kept).append(sandbox)
        # A layer that only a workspace stands on stays with it: the engine would not remove it.
        on_record = {*await self._records.layer_images(), *usable.values()}
        for image in await self._survey.images(mine):
            if half_made(image.id, image.labels, on_record):
                done = await self._attempted(self._images, image.id)
                (deleted if done else kept).append(image.id)
        reaped = Reaped(tuple(removed), tuple(deleted), tuple(kept), forgotten)
        if reaped != Reaped():
            self._log.info("recovery.reaped", sandboxes=removed, images=deleted, kept=kept)
        return reaped

    async def _workspaces(self, present: Collection[str]) -> tuple[dict[str, str], tuple[str, ...]]:
        """Of the workspaces on record, those that can be used, each with its image; and those forgotten just now."""
        usable: dict[str, str] = {}
        forgotten: list[str] = []
        for workspace in await self._records.workspaces():
            found = await self._look(workspace.sandbox) if workspace.sandbox in present else None
            if found and found.state == _STOPPED and found.generation == workspace.generation:
                usable[workspace.sandbox] = found.image_id
                continue
            # Before the container goes: what is on record is never on its way out.
            await self._records.forget_workspace(workspace.sandbox)
            forgotten.append(workspace.sandbox)
            self._log.warning(
                "recovery.workspace_forgotten",
                scope=workspace.scope,
                project=workspace.project,
                lineage=workspace.lineage,
                sandbox=workspace.sandbox,
                state=found.state if found else None,
                generation=found.generation if found else None,
            )
        return usable, tuple(forgotten)

    async def _look(self, sandbox: str) -> SandboxState | None:
        try:
            return await self._survey.sandbox(sandbox)
        except EngineUnavailable:
            raise
        except Failure as failure:
            self._log.warning("recovery.not_told", id=sandbox, kind=failure.kind, detail=failure.detail)
            return None

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
