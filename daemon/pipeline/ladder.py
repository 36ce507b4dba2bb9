"""The reuse ladder, asked from the top: what is there for each rung, and why a higher one does not hold.

The rung itself is chosen by `cache.reuse`, from the candidates that are found here.
"""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from cache.blobs import BlobStore
from cache.comparing import files_changed
from cache.differences import FilesChanged
from cache.digest import Digest, NotADigest
from cache.forking import Weighed
from cache.index import LayerRecord, ResultRecord
from cache.keys import Key
from cache.reuse import Candidate, Refusal, ReusePlan, Rung, Standing, WhyNot, choose
from cache.tree import SourceTree
from cache.units import UnitRecord
from cache.workspaces import WorkspaceRecord
from daemon.builds import BuildRequest, Reuse
from daemon.ecosystems.planned import SOURCE_TREE, Grain, Plan, UnitsOf
from daemon.engine.engine import Images
from daemon.pipeline.cook import is_layer
from daemon.pipeline.environments import Environments
from daemon.pipeline.expectations import Expectations
from daemon.pipeline.observed import Observed
from daemon.pipeline.results import is_kept
from daemon.pipeline.reusable import Reusable
from daemon.pipeline.workspaces import Lineage, Parent, lineage_of
from daemon.units.expectation import nothing_missing
from daemon.units.selection import choose as choose_units


class ReuseIndex(Protocol):
    """What can be reused, as the store knows it."""

    async def tree(self, digest: Digest) -> SourceTree | None:
        """A tree that was uploaded."""
        ...

    async def result(self, key: Digest, scope: str) -> ResultRecord | None:
        """The outcome of this result key."""
        ...

    async def latest_result(self, scope: str, project: str, lineage: str) -> ResultRecord | None:
        """The last outcome of a lineage."""
        ...

    async def layer(self, key: Digest, scope: str, project: str = "") -> LayerRecord | None:
        """The layer of this exact key."""
        ...

    async def latest_layer(self, scope: str, project: str) -> LayerRecord | None:
        """The layer that the project cooked last."""
        ...

    async def units(self, scope: str, unit_key: Digest, names: Collection[str]) -> tuple[UnitRecord, ...]:
        """The stored units of packages with these names."""
        ...


class KnownWorkspaces(Protocol):
    """The stopped containers of lineages."""

    async def find(self, lineage: Lineage) -> tuple[Standing, WorkspaceRecord | None]:
        """Whether the lineage has one."""
        ...

    async def parent_of(self, lineage: Lineage, named: str | None, key: Key) -> Parent | None:
        """Whose a lineage that has none would fork."""
        ...


class Ladder:
    """Says what a build can stand on, whole or below a rung that did not hold; asks the engine only for images."""

    def __init__(
        self,
        *,
        index: ReuseIndex,
        observed: Observed,
        workspaces: KnownWorkspaces,
        environments: Environments,
        images: Images,
        blobs: BlobStore,
        expectations: Expectations,
    ) -> None:
        self._expectations = expectations
        self._environments = environments
        self._index = index
        self._observed = observed
        self._workspaces = workspaces
        self._images = images
        self._blobs = blobs

    async def reusable(self, plan: Plan, request: BuildRequest) -> Reusable:
        """What of earlier builds fits."""
        if request.reuse is Reuse.NOTHING:
            return Reusable(choice=choose(()))
        kept = await self._index.result(plan.result.digest, request.scope)
        standing = await self._standing_of_result(kept)
        if kept is not None and standing is Standing.HELD:
            return Reusable(choice=ReusePlan(Rung.RESULT, ()), result=kept)
        nearest = await self._index.latest_result(request.scope, plan.project, request.lineage)
        candidate = Candidate(
            rung=Rung.RESULT,
            standing=standing,
            wanted=plan.result,
            nearest=nearest.key if nearest else None,
            sources=await self._changed(nearest, request) if nearest else None,
        )
        like_it, observed = await self._observed.find(plan, request, nearest)
        above = (candidate, like_it)
        if like_it.standing is Standing.HELD:
            return Reusable(choice=choose(above), result=kept, observed=observed)
        return replace(await self._below(plan, request, above), result=kept, observed=observed)

    async def below_image(self, plan: Plan, request: BuildRequest, before: Reusable) -> Reusable:
        """What fits below an image that proved damaged: the same sources', or those of sources that are like them."""
        damaged = (
            Candidate(rung=rung, standing=Standing.DAMAGED, wanted=plan.result)
            for rung in (Rung.RESULT, Rung.OBSERVED)
            if not before.against(rung)
        )
        below = await self._below(plan, request, tuple(damaged))
        refusals = (*before.choice.refusals, *below.choice.refusals)
        return replace(below, choice=ReusePlan(below.choice.rung, refusals))

    async def below_workspace(
        self, plan: Plan, request: BuildRequest, before: Reusable, why: WhyNot, weighed: Weighed | None = None
    ) -> Reusable:
        """What fits below a workspace that could not be had or used, or is not worth its copy."""
        below = await self._below_workspace(plan, request, ())
        refusal = Refusal(Rung.WORKSPACE, why, parent=before.forked_from, weighed=weighed)
        refused = (*before.against(Rung.RESULT, Rung.OBSERVED), refusal, *below.choice.refusals)
        choice = ReusePlan(below.choice.rung, refused)
        return replace(below, choice=choice, result=before.result, observed=before.observed)

    async def below_workspace_anew(self, plan: Plan, request: BuildRequest, before: Reusable) -> Reusable:
        """What fits by now, where something was waited for after the higher rungs had been refused."""
        below = await self._below_workspace(plan, request, ())
        refused = (*before.against(Rung.RESULT, Rung.OBSERVED, Rung.WORKSPACE), *below.choice.refusals)
        choice = ReusePlan(below.choice.rung, refused)
        return replace(below, choice=choice, result=before.result, observed=before.observed)

    async def below_layer(self, plan: Plan, request: BuildRequest, refused: tuple[Refusal, ...]) -> Reusable:
        """What fits below a layer that proved damaged; `refused` are the higher rungs."""
        if plan.units is None:
            none = _no_units(plan)
            return Reusable(choice=ReusePlan(Rung.NONE, (*refused, *(choose(none).refusals if none else ()))))
        stored, candidate = await self._units(request, plan.units, None)
        choice = choose((candidate,))
        return replace(stored, choice=ReusePlan(choice.rung, (*refused, *choice.refusals)))

    async def _below(self, plan: Plan, request: BuildRequest, above: tuple[Candidate, ...]) -> Reusable:
        if plan.grain is Grain.PACKAGES:
            return await self._environments.reusable(plan, request, above)
        if plan.grain is Grain.LAYERS:
            none = Candidate(rung=Rung.WORKSPACE, standing=Standing.IMPOSSIBLE, wanted=plan.exact)
            return await self._below_workspace(plan, request, (*above, none))
        lineage = lineage_of(request, plan.project)
        standing, workspace = await self._workspaces.find(lineage)
        nearest = workspace.key if workspace else None
        built_before = any(image.nearest is not None or image.standing is Standing.DAMAGED for image in above)
        if standing is Standing.ABSENT and built_before:
            standing = Standing.PRUNED
        moves = workspace is not None and workspace.key.digest != plan.exact.digest
        if workspace is not None and moves and workspace.comparable != str(plan.comparable or "none"):
            standing, workspace = Standing.ABSENT, None
        in_lineage = Candidate(rung=Rung.WORKSPACE, standing=standing, wanted=plan.exact, nearest=nearest)
        if standing is Standing.HELD:
            reusable = Reusable(choice=choose((*above, in_lineage)), workspace=workspace)
            if moves and plan.units is not None:
                stored, _ = await self._units(request, plan.units, None)
                return replace(reusable, units=stored.units)
            return reusable
        if nearest is None and standing is not Standing.BUSY:
            parent = await self._workspaces.parent_of(lineage, request.parent, plan.exact)
            if parent is not None and parent.standing is Standing.HELD:
                held = replace(in_lineage, standing=Standing.HELD)
                choice = choose((*above, held))
                return Reusable(choice=choice, workspace=parent.workspace, forked_from=parent.lineage)
            if parent is not None and standing is Standing.ABSENT:
                in_lineage = replace(
                    in_lineage,
                    standing=parent.standing,
                    nearest=parent.workspace.key if parent.workspace else None,
                    parent=parent.lineage,
                )
        return await self._below_workspace(plan, request, (*above, in_lineage))

    async def _below_workspace(self, plan: Plan, request: BuildRequest, above: tuple[Candidate, ...]) -> Reusable:
        layer, candidate = await self._layer(plan, request)
        if layer is not None:
            return Reusable(choice=choose((*above, candidate)), layer=layer)
        if plan.units is None:
            return Reusable(choice=choose((*above, candidate, *_no_units(plan))))
        stored, of_units = await self._units(request, plan.units, candidate.nearest)
        complete = stored.nothing_missing and self._expectations.hold(plan, request)
        return replace(stored, choice=choose((*above, candidate, of_units)), nothing_missing=complete)

    async def _units(self, request: BuildRequest, wanted: UnitsOf, nearest: Key | None) -> tuple[Reusable, Candidate]:
        names = {origin.name for origin in wanted.origins}
        known = await self._index.units(request.scope, wanted.key, names)
        stored = [unit for unit in known if unit.home.rpartition("/")[2] == wanted.profile]
        units = await asyncio.to_thread(choose_units, stored, wanted.origins)
        candidate = Candidate(
            rung=Rung.UNITS,
            standing=Standing.HELD if units else Standing.ABSENT,
            wanted=wanted.parts,
            nearest=nearest.only(wanted.parts.values().keys()) if nearest else None,
        )
        complete = wanted.direct is not None and nothing_missing(wanted.direct, units, wanted.profile)
        return Reusable(choice=choose((candidate,)), units=units, nothing_missing=complete), candidate

    async def _layer(self, plan: Plan, request: BuildRequest) -> tuple[LayerRecord | None, Candidate]:
        layer = await self._index.layer(plan.exact.digest, request.scope, plan.project)
        standing = await self._standing_of_layer(layer)
        if standing is not Standing.HELD:
            layer = None
        nearest = None if layer else await self._index.latest_layer(request.scope, plan.project)
        return layer, Candidate(
            rung=Rung.LAYER, standing=standing, wanted=plan.exact, nearest=nearest.key if nearest else None
        )

    async def _changed(self, nearest: ResultRecord, request: BuildRequest) -> FilesChanged | None:
        """Which files are others than those that an earlier image was made of; None where these are not known."""
        try:
            before = await self._index.tree(Digest.parse(nearest.key.values().get(SOURCE_TREE, "")))
        except NotADigest:
            return None
        now = await self._index.tree(Digest.parse(request.tree))
        if before is None or now is None:
            return None
        return files_changed(SOURCE_TREE, {entry.path: entry for entry in before}, {entry.path: entry for entry in now})

    async def _standing_of_result(self, result: ResultRecord | None) -> Standing:
        if result is None:
            return Standing.ABSENT
        return Standing.HELD if await asyncio.to_thread(is_kept, result, self._blobs) else Standing.PRUNED

    async def _standing_of_layer(self, layer: LayerRecord | None) -> Standing:
        if layer is None:
            return Standing.ABSENT
        image = await self._images.inspect(layer.image_id)
        if image is None:
            return Standing.PRUNED
        return Standing.HELD if is_layer(image, layer.key.digest) else Standing.DAMAGED


def _no_units(plan: Plan) -> tuple[Candidate, ...]:
    """Why there are none, where it is the toolchain's reason and not the project's."""
    if plan.grain is Grain.UNITS:
        return ()
    return (Candidate(rung=Rung.UNITS, standing=Standing.IMPOSSIBLE, wanted=plan.exact),)
