"""The plan stage: what kind of project this is, its keys, and the rung of the reuse ladder that it can stand on."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cache.blobs import BlobStore
from cache.differences import FilesChanged, files_changed
from cache.digest import Digest, NotADigest
from cache.index import LayerRecord, ResultRecord
from cache.keys import Key
from cache.manifests.rust.errors import NoManifest
from cache.manifests.source import TreeFiles
from cache.reuse import Candidate, Refusal, ReusePlan, Rung, Standing, WhyNot, choose
from cache.tree import SourceTree
from cache.units import UnitRecord
from cache.workspaces import WorkspaceRecord
from daemon.builds import BuildRequest, Reuse
from daemon.ecosystems.ecosystem import Ecosystem, Project
from daemon.ecosystems.planned import SOURCE_TREE, Grain, Plan, Source, UnitsOf
from daemon.engine.engine import Images
from daemon.errors import StoredFileDamaged, UnknownToolchain, UnknownTree
from daemon.pipeline.cook import is_layer
from daemon.pipeline.observed import Observation, Observed
from daemon.pipeline.results import is_kept
from daemon.pipeline.workspaces import Lineage, Parent, lineage_of
from daemon.toolchains.toolchain import Toolchain
from daemon.units.expectation import nothing_missing
from daemon.units.selection import choose as choose_units


class Toolchains(Protocol):
    """What is offered."""

    async def offered(self) -> Sequence[Toolchain]:
        """All offered toolchains; the list may be some seconds old."""
        ...

    async def refresh(self) -> None:
        """Make the list anew."""
        ...

    @property
    def default(self) -> str:
        """The one that is meant where none is asked for."""
        ...


class ReuseIndex(Protocol):
    """What can be reused, as the store knows it."""

    async def tree(self, digest: Digest) -> SourceTree | None:
        """A tree that was uploaded."""
        ...

    async def layer(self, key: Digest, scope: str, project: str = "") -> LayerRecord | None:
        """The layer of this exact key."""
        ...

    async def latest_layer(self, scope: str, project: str) -> LayerRecord | None:
        """The layer that the project cooked last."""
        ...

    async def result(self, key: Digest, scope: str) -> ResultRecord | None:
        """The outcome of this result key."""
        ...

    async def forget_tree(self, digest: Digest) -> None:
        """Drop a tree that cannot be built any more."""
        ...

    async def units(self, scope: str, unit_key: Digest, names: Collection[str]) -> tuple[UnitRecord, ...]:
        """The stored units of packages with these names."""
        ...

    async def latest_result(self, scope: str, project: str, lineage: str) -> ResultRecord | None:
        """The last outcome of a lineage."""
        ...


class KnownWorkspaces(Protocol):
    """The stopped containers of lineages."""

    async def find(self, lineage: Lineage) -> tuple[Standing, WorkspaceRecord | None]:
        """Whether the lineage has one."""
        ...

    async def parent_of(self, lineage: Lineage, named: str | None, key: Key) -> Parent | None:
        """Whose a lineage that has none would fork."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reusable:
    """The choice, and the entries that it rests on."""

    choice: ReusePlan
    result: ResultRecord | None = None
    """Also one whose blobs are not all there; another rung was chosen then."""
    observed: Observation | None = None
    """Likewise."""
    workspace: WorkspaceRecord | None = None
    forked_from: str | None = None
    """The lineage whose the workspace is, where it is another's."""
    layer: LayerRecord | None = None
    units: tuple[UnitRecord, ...] = ()
    """For a cook or a compile, each after those that it was compiled against."""
    nothing_missing: bool = False
    """Whether a compile over these is expected to find every dependency."""

    @property
    def image(self) -> ResultRecord | None:
        """The outcome whose images fit."""
        match self.choice.rung:
            case Rung.RESULT:
                return self.result
            case Rung.OBSERVED:
                return self.observed.result if self.observed else None
            case _:
                return None

    @property
    def seconds(self) -> float:
        """What making anew what is reused would take, as far as that is on record."""
        match self.choice.rung:
            case Rung.RESULT | Rung.OBSERVED:
                return self.image.seconds if self.image else 0.0
            case Rung.WORKSPACE:
                return self.workspace.seconds if self.workspace else 0.0
            case Rung.LAYER:
                return self.layer.seconds if self.layer else 0.0
            case _:
                return sum(unit.seconds for unit in self.units)

    def against(self, *rungs: Rung) -> tuple[Refusal, ...]:
        """The refusals of these rungs."""
        return tuple(refusal for refusal in self.choice.refusals if refusal.rung in rungs)

    def without_units(self) -> "Reusable":
        """The same where the units are not to be trusted."""
        refusals = (*self.choice.refusals, Refusal(Rung.UNITS, WhyNot.DAMAGED))
        return replace(self, choice=ReusePlan(Rung.NONE, refusals), units=(), nothing_missing=False)


class PlanStage:
    """Plans builds; asks the engine nothing but which images are there."""

    def __init__(
        self,
        *,
        ecosystems: Sequence[Ecosystem],
        toolchains: Toolchains,
        index: ReuseIndex,
        observed: Observed,
        workspaces: KnownWorkspaces,
        images: Images,
        blobs: BlobStore,
    ) -> None:
        self._observed = observed
        self._workspaces = workspaces
        self._ecosystems = ecosystems
        self._toolchains = toolchains
        self._index = index
        self._images = images
        self._blobs = blobs

    async def source(self, request: BuildRequest, lock: bytes | None = None) -> Source:
        """The sources that a request names."""
        try:
            tree = await self._index.tree(Digest.parse(request.tree))
        except NotADigest:
            tree = None
        if tree is None:
            raise UnknownTree(f"No tree {request.tree} is here: upload it with POST /v1/trees.", tree=request.tree)
        return Source(tree=tree, files=TreeFiles(tree, self._blobs), blobs=self._blobs, request=request, lock=lock)

    async def drop_damaged(self, damaged: Digest | None, request: BuildRequest) -> StoredFileDamaged:
        """Drop a kept file that is damaged (None: gone), and the tree if it is one of its files; returns the failure.

        What was fetched is fetched again by the next attempt; sources have to be sent again.
        """
        if damaged is not None:
            await asyncio.to_thread(self._blobs.remove, damaged)
        tree = await self._index.tree(Digest.parse(request.tree))
        files = [entry.digest for entry in tree.files() if entry.digest] if tree else []
        lost = await asyncio.to_thread(self._blobs.missing, files)
        if tree and lost:
            await self._index.forget_tree(tree.digest)
            return StoredFileDamaged(
                "A file of the source tree was damaged on the daemon's disk: send the sources again."
            )
        return StoredFileDamaged("Something that was fetched was damaged on the daemon's disk; it is fetched again.")

    async def plan(self, source: Source) -> Project:
        """Find the ecosystem and let it read the manifests."""
        for ecosystem in self._ecosystems:
            if await asyncio.to_thread(ecosystem.detects, source.files, source.request.directory):
                return await self._planned(ecosystem, source)
        where = source.request.directory or "the root of the tree"
        raise NoManifest(f"There is no Cargo.toml at {where}: send the project's own root, or name its directory.")

    async def _planned(self, ecosystem: Ecosystem, source: Source) -> Project:
        default = self._toolchains.default
        try:
            return await asyncio.to_thread(ecosystem.plan, source, await self._toolchains.offered(), default)
        except UnknownToolchain:
            # It may have been made since the list was.
            await self._toolchains.refresh()
            return await asyncio.to_thread(ecosystem.plan, source, await self._toolchains.offered(), default)

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

    async def below_workspace(self, plan: Plan, request: BuildRequest, before: Reusable, why: WhyNot) -> Reusable:
        """What fits below a workspace that could not be had or used."""
        below = await self._below_workspace(plan, request, ())
        refusal = Refusal(Rung.WORKSPACE, why, parent=before.forked_from)
        refused = (*before.against(Rung.RESULT, Rung.OBSERVED), refusal, *below.choice.refusals)
        return replace(below, choice=ReusePlan(below.choice.rung, refused), result=before.result)

    async def below_layer(self, plan: Plan, request: BuildRequest, refused: tuple[Refusal, ...]) -> Reusable:
        """What fits below a layer that proved damaged; `refused` are the higher rungs."""
        if plan.units is None:
            none = _no_units(plan)
            return Reusable(choice=ReusePlan(Rung.NONE, (*refused, *(choose(none).refusals if none else ()))))
        stored, candidate = await self._units(request, plan.units, None)
        choice = choose((candidate,))
        return replace(stored, choice=ReusePlan(choice.rung, (*refused, *choice.refusals)))

    async def _below(self, plan: Plan, request: BuildRequest, above: tuple[Candidate, ...]) -> Reusable:
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
        return replace(stored, choice=choose((*above, candidate, of_units)))

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
