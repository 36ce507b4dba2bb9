"""The cook stage: dependencies alone, from stub sources, before any first-party code has run; then the layer.

The layer is an image that the engine commits from the cook's own sandbox, after a second run there has taken out all
but the units of dependencies. Only this stage makes layers (laws 2, 4, 6).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain

from cache.digest import Digest
from cache.errors import Blame, Failure
from cache.units import UnitRecord
from daemon.builds import StageName
from daemon.ecosystems.ecosystem import CompiledProject
from daemon.engine.engine import EngineImage, Images
from daemon.errors import FetchFailed, StillConnected
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.fetch import Provisions
from daemon.pipeline.given import GivenUnits
from daemon.pipeline.sandboxes import INSTANCE_LABEL
from daemon.units.cook import CookNotes, GivenUnit, LiveUnit
from daemon.units.layout import UnitId

LAYER_LABEL = "bloomery.layer"
"""On a layer's image: the digest of its exact key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CookedLayer:
    """A dependency layer as the engine has it, and what the unit store has to know of its cook."""

    image_id: str
    reference: str
    spent: Mapping[str, float]
    """`name version` of each dependency that was compiled, and the seconds that it took."""
    reused: tuple[str, ...]
    notes: CookNotes
    placed: tuple[UnitRecord, ...] = ()
    """The stored units that were put in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What a cook has to work with."""

    provisions: Provisions
    units: tuple[UnitRecord, ...] = ()
    """Stored ones, each after those that it was compiled against."""
    repository: str = "bloomery/layer"
    """Of the image's reference."""

    def elsewhere(self) -> "Ingredients":
        """For a sandbox in which nothing has run yet."""
        return replace(self, provisions=replace(self.provisions, sandbox=None))


Keep = Callable[[CookedLayer], Awaitable[None]]
"""Puts a layer on record, or removes its image; nothing comes between the commit and this."""


class CookStage:
    """Makes dependency layers."""

    def __init__(self, *, images: Images, given: GivenUnits) -> None:
        self._images = images
        self._given = given

    async def cook(
        self, project: CompiledProject, ingredients: Ingredients, attempt: Attempt, keep: Keep
    ) -> CookedLayer:
        """Cook, settle, commit, keep."""
        try:
            return await self._cook(project, ingredients, attempt, keep)
        except StillConnected as failure:
            attempt.progress.note(f"The cook starts again in a sandbox of its own ({failure}).")
            return await self._cook(project, ingredients.elsewhere(), attempt, keep)
        except Failure as failure:
            if not ingredients.units or failure.blame is not Blame.SOURCE or isinstance(failure, FetchFailed):
                raise
            # Either a dependency does not compile, or what was given spoils it: a cook without tells (law 9).
            attempt.progress.note(f"The cook over stored units failed ({failure}); cooking without them.")
            return await self._cook(project, replace(ingredients.elsewhere(), units=()), attempt, keep)

    async def _cook(
        self, project: CompiledProject, ingredients: Ingredients, attempt: Attempt, keep: Keep
    ) -> CookedLayer:
        provisions, units = ingredients.provisions, project.plan.units
        step = project.cooking.step(provisions.fetched if provisions.sandbox is None else None)
        key = project.plan.exact.digest
        sandboxes, progress = attempt.sandboxes, attempt.progress
        reader = project.reader(progress)
        fetching = nullcontext(provisions.sandbox) if provisions.sandbox is not None else None
        own = sandboxes.sandbox("cook", project.plan.toolchain.facts.image_id, step.environment)
        async with fetching or own as sandbox:
            async with progress.stage(StageName.COOK):
                async with self._given.placing(units, attempt) if units else nullcontext() as placing:
                    if placing is not None:
                        step = replace(step, members=chain(step.members, placing.members(ingredients.units)))
                    await sandboxes.run(sandbox, step, reader)
                await sandboxes.run(sandbox, project.cooking.settle(reader), project.reader(progress))
            async with progress.stage(StageName.COMMIT):
                reference = f"{ingredients.repository}:{key.hex[:32]}"
                image_id = await self._images.commit(sandbox, reference, _labels(sandboxes.labels, key.hex))
                placed = tuple(placing.placed) if placing is not None else ()
                live = project.cooking.live(reader)
                layer = CookedLayer(
                    image_id=image_id,
                    reference=reference,
                    spent=reader.compiled(),
                    reused=reader.reused(),
                    notes=_notes(attempt, live, placed, reader.compiled()),
                    placed=placed,
                )
                await keep(layer)
        if units is not None and placed:
            await self._given.used(units, placed, attempt)
        return layer


def _notes(
    attempt: Attempt, live: tuple[LiveUnit, ...], placed: tuple[UnitRecord, ...], spent: Mapping[str, float]
) -> CookNotes:
    """Each unit that was compiled has an even share of its package's seconds."""
    given = {UnitId(unit.home, unit.unit_hash): unit for unit in placed}
    new = Counter(each.package.words for each in live if each.unit not in given)

    def seconds(each: LiveUnit) -> float:
        words = each.package.words
        return given[each.unit].seconds if each.unit in given else spent.get(words, 0.0) / new[words]

    return CookNotes(
        id=f"{attempt.build.id}-{attempt.build.attempt}",
        live=tuple(replace(each, seconds=seconds(each)) for each in live),
        given=tuple(GivenUnit(unit=place, digest=unit.digest, cook=unit.cook) for place, unit in given.items()),
        compiled=tuple(spent),
    )


def is_layer(image: EngineImage, key: Digest) -> bool:
    """Whether an image is the layer of this exact key, and not another that a damaged record names."""
    return image.labels.get(LAYER_LABEL) == key.hex


def _labels(labels: Mapping[str, str], key: str) -> Mapping[str, str]:
    """Of an attempt's labels only whose image it is: the others vary."""
    return {INSTANCE_LABEL: labels[INSTANCE_LABEL], LAYER_LABEL: key}
