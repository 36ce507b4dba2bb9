"""Layers that builds did without: cooked behind the answers, so that the next lineage finds one.

A cook is a build's own only in name: it has sandboxes of its own, and it begins when those of the build are gone. What
it compiles is harvested as that of any cook is.
"""

from dataclasses import replace
from functools import partial

from daemon.behind import Behind
from daemon.builds import Build
from daemon.ecosystems.ecosystem import CompiledProject
from daemon.pipeline.attempt import Attempt, Attempts
from daemon.pipeline.ladder import Ladder
from daemon.pipeline.layers import Layers
from daemon.pipeline.unheard import Unheard


class LaterLayers:
    """Owes layers to builds that have had their answer."""

    def __init__(self, *, ladder: Ladder, layers: Layers, attempts: Attempts, behind: Behind) -> None:
        self._ladder = ladder
        self._layers = layers
        self._attempts = attempts
        self._behind = behind
        self._owed: dict[str, tuple[CompiledProject, Build]] = {}

    def owe(self, project: CompiledProject, attempt: Attempt) -> None:
        """The layer of this project is to be cooked when the build has ended."""
        self._owed[attempt.build.id] = (project, attempt.build)

    def after_build(self, build: str) -> None:
        """This build has ended, and its sandboxes are gone."""
        owed = self._owed.pop(build, None)
        if owed is not None:
            self._behind.put("layer", build, partial(self.cook, *owed))

    async def cook(self, project: CompiledProject, build: Build) -> None:
        """Cook now, unless the layer is there by then; raises what a cook raises."""
        own = replace(build, id=f"{build.id}-layer")
        try:
            async with self._attempts.begun(own, Unheard("layer", own.id)) as attempt:
                reusable = await self._ladder.below_layer(project.plan, own.request, ())
                await self._layers.obtain(project, reusable, attempt)
        finally:
            await self._layers.after_build(own.id)
