"""A compile over a dependency layer: the one that is held, or a new one; one that cannot be used is made once more."""

import time
from dataclasses import dataclass

from cache.errors import Failure
from cache.reuse import Refusal, Rung, WhyNot
from daemon.ecosystems.ecosystem import CompiledProject, UntrustworthyLayer
from daemon.errors import FetchFailed, ImageGone
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.compile import CompileResult, CompileStage, Left
from daemon.pipeline.ladder import Ladder
from daemon.pipeline.layers import Layer, Layers
from daemon.pipeline.moves import Moves
from daemon.pipeline.over_units import KeepFor
from daemon.pipeline.reusable import Reusable


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledOverLayer:
    """What came of it, and the layer that it stands on."""

    result: CompileResult
    layer: Layer


class OverLayer:
    """Compiles over a layer."""

    def __init__(self, *, ladder: Ladder, layers: Layers, compile: CompileStage, moves: Moves) -> None:  # noqa: A002 - the stage
        self._ladder = ladder
        self._layers = layers
        self._compile = compile
        self._moves = moves

    async def compile(
        self, project: CompiledProject, reusable: Reusable, attempt: Attempt, keep: KeepFor
    ) -> CompiledOverLayer:
        """Compile over the layer that is reusable, or over one that is made of what else is."""
        layer = await self._layers.obtain(project, reusable, attempt)
        try:
            result = await self._over(project, layer, attempt, keep)
        except (ImageGone, UntrustworthyLayer, FetchFailed) as error:
            # Nothing is fetched here: cargo misses in the layer what the cook had put there.
            if isinstance(error, FetchFailed) and layer.rung is not Rung.LAYER:
                raise
            layer = await self._instead(layer, error, project, attempt)
            result = await self._over_at_last(project, layer, attempt, keep)
        return CompiledOverLayer(result=result, layer=layer)

    async def _over(self, project: CompiledProject, layer: Layer, attempt: Attempt, keep: KeepFor) -> CompileResult:
        started = time.monotonic()

        async def keep_left(left: Left) -> None:
            holdings = await self._moves.of_layer(project, layer)
            await keep(left, layer.seconds + time.monotonic() - started, holdings)

        return await self._compile.compile(project, layer.image_id, attempt, keep_left)

    async def _instead(self, layer: Layer, error: Failure, project: CompiledProject, attempt: Attempt) -> Layer:
        """A new layer in place of one that is gone or not to be trusted; raises `error` where that was just made."""
        await self._forget(project, layer, attempt)
        if layer.rung is not Rung.LAYER:
            raise error
        attempt.progress.note(f"The dependency layer cannot be used ({error}); cooking it again.")
        why = WhyNot.PRUNED if isinstance(error, ImageGone) else WhyNot.DAMAGED
        refused = (*layer.refusals, Refusal(Rung.LAYER, why))
        below = await self._ladder.below_layer(project.plan, attempt.request, refused)
        return await self._layers.obtain(project, below, attempt)

    async def _over_at_last(
        self, project: CompiledProject, layer: Layer, attempt: Attempt, keep: KeepFor
    ) -> CompileResult:
        try:
            return await self._over(project, layer, attempt, keep)
        except (ImageGone, UntrustworthyLayer):
            await self._forget(project, layer, attempt)
            raise

    async def _forget(self, project: CompiledProject, layer: Layer, attempt: Attempt) -> None:
        await attempt.sandboxes.removed()
        await self._layers.forget(project, attempt.request, layer.image_id)
