"""The rung of a build, where a copy of another lineage's workspace is taken only if it should cost less than it spares.

What is in doubt is copied: too little is measured, or there is no layer to compile over.
"""

import asyncio
from collections.abc import Collection
from typing import Protocol

from cache.costs import Measured
from cache.digest import Digest
from cache.forking import Weigh, Weighed
from cache.reuse import Rung, WhyNot
from cache.tree import SourceTree
from cache.workspaces import WorkspaceRecord
from daemon.builds import BuildRequest
from daemon.ecosystems.ecosystem import CompiledProject, Project
from daemon.pipeline.ladder import Ladder
from daemon.pipeline.reusable import Reusable


class Known(Protocol):
    """What is known of earlier builds."""

    async def costs(self, scope: str, project: str, dependencies: Collection[str]) -> Measured:
        """All measurements of a project, and of these packages from outside."""
        ...

    async def tree(self, digest: Digest) -> SourceTree | None:
        """A tree that was uploaded."""
        ...


class Weighing:
    """Asks the ladder, and weighs the fork that it would make."""

    def __init__(self, ladder: Ladder, known: Known, weigh: Weigh) -> None:
        self._ladder = ladder
        self._known = known
        self._weigh = weigh

    async def reusable(self, project: Project, request: BuildRequest) -> Reusable:
        """What of earlier builds fits, and is worth it."""
        return await self._worth(project, request, await self._ladder.reusable(project.plan, request))

    async def below_image(self, project: Project, request: BuildRequest, before: Reusable) -> Reusable:
        """The same below an image that proved damaged."""
        return await self._worth(project, request, await self._ladder.below_image(project.plan, request, before))

    async def _worth(self, project: Project, request: BuildRequest, found: Reusable) -> Reusable:
        if found.forked_from is None or found.workspace is None:
            return found
        weighed = await self._weighed(project, request, found.workspace)
        if weighed is None or weighed.worth:
            return found
        why = WhyNot.COPYING_COSTS_MORE
        below = await self._ladder.below_workspace(project.plan, request, found, why, weighed)
        return below if below.choice.rung is Rung.LAYER else found

    async def _weighed(self, project: Project, request: BuildRequest, parent: WorkspaceRecord) -> Weighed | None:
        if not isinstance(project, CompiledProject):
            return None
        before = await self._known.tree(parent.tree)
        fork = await asyncio.to_thread(project.compiling.forked, before, parent.ledger) if before else None
        if fork is None:
            return None
        measured = await self._known.costs(request.scope, project.plan.project, ())
        members = {package.partition(" ")[0] for package in project.plan.members}
        return self._weigh(parent.size, members - fork.again.dirty, measured)
