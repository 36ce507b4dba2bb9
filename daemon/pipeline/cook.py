"""The cook stage: dependencies alone, from stub sources, before any first-party code has run; then the layer.

The layer is an image that the engine commits from the cook's own sandbox, after a second run there has taken out all
but the units of dependencies. Only this stage makes layers (laws 2, 4, 6).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cache.digest import Digest
from daemon.builds import StageName
from daemon.ecosystems.ecosystem import Fetched, Project
from daemon.engine.engine import EngineImage, Sandboxes
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.sandboxes import INSTANCE_LABEL

LAYER_LABEL = "bloomery.layer"
"""On a layer's image: the digest of its exact key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CookedLayer:
    """A dependency layer as the engine has it."""

    image_id: str
    reference: str
    packages: tuple[str, ...]


Keep = Callable[[CookedLayer], Awaitable[None]]
"""Puts a layer on record, or removes its image; nothing comes between the commit and this."""


class CookStage:
    """Makes dependency layers."""

    def __init__(self, engine: Sandboxes) -> None:
        self._engine = engine

    async def cook(self, project: Project, fetched: Fetched, attempt: Attempt, keep: Keep) -> CookedLayer:
        """Cook, settle, commit, keep."""
        step = project.cook(fetched)
        key = project.plan.exact.digest
        sandboxes, progress = attempt.sandboxes, attempt.progress
        reader = project.reader(progress)
        async with sandboxes.sandbox("cook", project.plan.toolchain.facts.image_id, step.environment) as sandbox:
            async with progress.stage(StageName.COOK):
                await sandboxes.run(sandbox, step, reader)
                await sandboxes.run(sandbox, project.settle(reader), project.reader(progress))
            async with progress.stage(StageName.COMMIT):
                reference = f"bloomery/layer:{key.hex[:32]}"
                image_id = await self._engine.commit(sandbox, reference, _labels(sandboxes.labels, key.hex))
                layer = CookedLayer(
                    image_id=image_id,
                    reference=reference,
                    packages=reader.compiled(),
                )
                await keep(layer)
        return layer


def is_layer(image: EngineImage, key: Digest) -> bool:
    """Whether an image is the layer of this exact key, and not another that a damaged record names."""
    return image.labels.get(LAYER_LABEL) == key.hex


def _labels(labels: Mapping[str, str], key: str) -> Mapping[str, str]:
    """Of an attempt's labels only whose image it is: the others vary."""
    return {INSTANCE_LABEL: labels[INSTANCE_LABEL], LAYER_LABEL: key}
