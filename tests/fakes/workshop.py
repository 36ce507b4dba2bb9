"""The pipeline on a fake engine with a fake cargo; the store, the blobs and the making of images are real."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from prometheus_client import CollectorRegistry

from cache.digest import Digest
from cache.forking import Weigh, weigh
from cache.store import Store
from cache.workspaces import WorkspaceRecord
from daemon.behind import Behind
from daemon.builds import Build, BuildRequest, BuildState, ImageRequest, Outcome, Reuse
from daemon.cache_size import CacheSize
from daemon.ecosystems.planned import Grain
from daemon.ecosystems.python.ecosystem import PythonEcosystem
from daemon.ecosystems.rust.ecosystem import RustEcosystem
from daemon.ecosystems.rust.keys import Host
from daemon.ecosystems.step import Reads
from daemon.engine.engine import Limits, Network
from daemon.image import layout
from daemon.image.architecture import AMD64
from daemon.image.elf import ElfReader
from daemon.image.library_source import LibrarySource
from daemon.maintenance import Maintenance
from daemon.metrics import Metrics
from daemon.ownership import SharedSources
from daemon.pipeline.application_images import ApplicationImages
from daemon.pipeline.assemble import Assembler
from daemon.pipeline.attempt import Attempts
from daemon.pipeline.binary_images import BinaryImages
from daemon.pipeline.check import Checker
from daemon.pipeline.clean import CleanBuilds, giving_way
from daemon.pipeline.compile import CompileStage
from daemon.pipeline.compiled_anew import CompiledAnew
from daemon.pipeline.cook import CookStage
from daemon.pipeline.environments import Environments
from daemon.pipeline.expectations import Expectations
from daemon.pipeline.explain import Explainer, Explanation
from daemon.pipeline.fetch import FetchStage
from daemon.pipeline.finish import FinishStage
from daemon.pipeline.forecast import Forecaster
from daemon.pipeline.fork import Forks
from daemon.pipeline.given import GivenUnits
from daemon.pipeline.ground import Grounds
from daemon.pipeline.installed_anew import InstalledAnew
from daemon.pipeline.installed_ground import InstalledGround
from daemon.pipeline.interpreters import Interpreters
from daemon.pipeline.kept_layers import KeptLayers
from daemon.pipeline.ladder import Ladder
from daemon.pipeline.later import LaterLayers
from daemon.pipeline.layers import Layers
from daemon.pipeline.moves import Moves
from daemon.pipeline.network_access import NetworkAccess
from daemon.pipeline.observed import Observed
from daemon.pipeline.over_layer import OverLayer
from daemon.pipeline.over_units import OverUnits
from daemon.pipeline.pipeline import Pipeline
from daemon.pipeline.plan import PlanStage
from daemon.pipeline.publish import PublishStage
from daemon.pipeline.sandboxes import INSTANCE_LABEL, SandboxSettings
from daemon.pipeline.underway import FEWEST, Underway
from daemon.pipeline.weighing import Weighing
from daemon.pipeline.workspaces import WorkspaceBounds, Workspaces
from daemon.registry.connection import Patience
from daemon.registry.push import Pusher
from daemon.registry.registries import Registries
from daemon.slots import Slots
from daemon.toolchains.toolchain import Toolchain
from daemon.units.background import Harvests
from daemon.units.bound import UnitBound
from daemon.units.harvest import Harvester
from daemon.units.layout import UnitLayout
from daemon.uses import Uses
from daemon.verification.revocation import Revocation
from daemon.verification.verifier import Verifier
from tests.fakes.access_times import KnownAccessTimes
from tests.fakes.cargo import FakeCargo
from tests.fakes.engine import FakeEngine
from tests.fakes.progress import Heard
from tests.fakes.rust_projects import SIMPLE, Files, stable, tree_of

Point = Callable[[], Awaitable[None]]


class Offered:
    """The offered toolchains; `made` come into the list when it is made anew."""

    default = "stable"

    def __init__(self, *toolchains: Toolchain) -> None:
        self.toolchains = list(toolchains)
        self.made: list[Toolchain] = []

    async def offered(self) -> Sequence[Toolchain]:
        return tuple(self.toolchains)

    async def refresh(self) -> None:
        self.toolchains += self.made


class Stepwise:
    """A part of an engine or a store that comes to `point` before and after each of its calls.

    A call itself is done to its end, and taken back where it was cancelled, as the engine's adapter promises.
    """

    def __init__(self, part: Any, point: Point, undo: dict[str, Callable[..., Awaitable[None]]] | None = None) -> None:
        self._part = part
        self._point = point
        self._undo = undo or {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name == "get":
            return self._reading(found)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*values: Any, **named: Any) -> Any:
            await self._point()
            result = await found(*values, **named)
            try:
                await self._point()
            except BaseException:
                if name in self._undo:
                    await self._undo[name](result)
                raise
            return result

        return call

    def _reading(self, get: Callable[..., AsyncGenerator[bytes, None]]) -> Callable[..., AsyncGenerator[bytes, None]]:
        async def read(*values: Any) -> AsyncGenerator[bytes, None]:
            await self._point()
            async for piece in get(*values):
                yield piece
                await self._point()

        return read


class Workshop:
    """Everything that a build needs. `async with await Workshop.open(...)`."""

    def __init__(self, store: Store, engine: FakeEngine, cargo: FakeCargo, scratch: Path) -> None:
        self.store = store
        self.engine = engine
        self.cargo = cargo
        self.scratch = scratch
        self.toolchain = stable(engine.add_image("bloomery/toolchain:stable").id)
        self.offered = Offered(self.toolchain)
        self.limits = Limits()
        self.network = Network.BRIDGE
        self.bounds = WorkspaceBounds()
        self.unit_bytes = 1 << 30
        self.reads = Reads.UNKNOWN
        self.weigh: Weigh = weigh
        self.ceiling = 1 << 40
        self.slots = Slots(100)
        self.fewest = FEWEST
        self.crowding = 1.0
        """Packages in common for which builds wait for each other."""
        self.later = 0.0
        """Seconds by which maintenance's clock is ahead."""
        self.queued: list[Build] = []
        self.rate = 0.0
        """Of verifications."""
        self.uses = Uses()
        self.registries = Registries(patience=Patience(pauses=(0.0,)))
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self._reader = ElfReader()
        self._sequences = itertools.count(1)
        self.compose()

    @classmethod
    async def open(cls, place: Path, program: bytes) -> Self:
        engine, cargo = FakeEngine(), FakeCargo(program)
        engine.script(cargo)
        scratch = place / "scratch"
        scratch.mkdir(parents=True)
        return cls(await Store.open(place / "state"), engine, cargo, scratch)

    def compose(self, point: Point | None = None) -> None:
        """Put the pipeline together; with `point`, every call to engine and store comes by it."""
        engine, store = self.engine, self.store
        sandboxes: Any = engine.sandboxes
        images: Any = engine.images
        records: Any = store
        states: Any = engine.survey
        if point is not None:
            sandboxes = Stepwise(sandboxes, point, {"create": engine.sandboxes.remove})
            images = Stepwise(images, point, {"commit": engine.images.remove})
            records = Stepwise(store, point, {"take_workspace": self._put_back})
            states = Stepwise(states, point)
        blobs = store.blobs
        observed = Observed(records, blobs)
        libraries = LibrarySource(sandboxes, blobs, store, {INSTANCE_LABEL: store.instance})
        self.behind = Behind()

        def harvester(layout: UnitLayout) -> Harvester:
            return Harvester(blobs=blobs, records=store, layout=layout, scratch=self.scratch)

        self.harvests = Harvests(
            containers=engine.sandboxes,
            harvester=harvester,
            bound=UnitBound(records=store, blobs=blobs, size=self.unit_bytes),
            behind=self.behind,
            labels={INSTANCE_LABEL: store.instance},
        )
        self.workspaces = Workspaces(records=records, states=states, bounds=self.bounds)
        self.plan = PlanStage(
            ecosystems=(RustEcosystem(Host(mirrors={}, cpu="processor")), PythonEcosystem({})),
            toolchains=self.offered,
            trees=records,
            blobs=blobs,
        )
        expectations = Expectations(self.fewest)
        ladder = Ladder(
            index=records,
            observed=observed,
            workspaces=self.workspaces,
            environments=Environments(records, blobs),
            images=images,
            blobs=blobs,
            expectations=expectations,
        )
        weighing = Weighing(ladder, records, self.weigh)
        access = NetworkAccess(
            network=self.network, ca_bundle=b"the bundle", environment={"https_proxy": "http://proxy.example.org"}
        )
        fetch = FetchStage(
            engine=sandboxes, index=records, blobs=blobs, access=access, scratch=self.scratch, limit=1 << 20
        )
        publish = PublishStage(
            images=images,
            tags=records,
            archive=lambda manifest: layout.archive(manifest, (), blobs),
            pusher=Pusher(blobs, self.registries.connect),
        )
        binaries = BinaryImages(Assembler(blobs, libraries, self._reader, AMD64))
        kept_layers = KeptLayers(records, blobs)
        applications = ApplicationImages(
            blobs=blobs,
            source=libraries,
            reader=self._reader,
            architecture=AMD64,
            interpreters=Interpreters(
                blobs=blobs,
                source=libraries,
                reader=self._reader,
                architecture=AMD64,
                kept=kept_layers,
                behind=self.behind,
            ),
            kept=kept_layers,
        )
        self.finish = FinishStage(
            makers={Grain.UNITS: binaries, Grain.LAYERS: binaries, Grain.PACKAGES: applications},
            checker=Checker(blobs, self._reader, AMD64),
            publish=publish,
            images=images,
            engine=sandboxes,
            limits=self.limits,
        )
        settings = SandboxSettings(instance=store.instance, limits=self.limits, removal_pauses=(0.0,))
        self.attempts = attempts = Attempts(engine=sandboxes, settings=settings, publish=publish)
        given = GivenUnits(records=records, blobs=blobs)
        underway = Underway(self.harvests, self.slots, self.fewest, self.crowding)
        layers = Layers(
            fetch=fetch,
            cook=CookStage(images=images, given=given),
            records=records,
            images=images,
            cooks=underway,
        )
        compiling = CompileStage(
            engine=sandboxes,
            access_times=KnownAccessTimes(self.reads),
            blobs=blobs,
            reader=self._reader,
            scratch=self.scratch,
            limit=64 << 20,
        )
        moves = Moves(fetch=fetch, compile=compiling, given=given)
        self.maintenance = Maintenance(
            records=store,
            blobs=blobs,
            sandboxes=engine.sandboxes,
            images=engine.images,
            builds=self,
            uses=self.uses,
            size=CacheSize(store, self.scratch.parent / "state/blobs", self.metrics),
            metrics=self.metrics,
            ceiling=self.ceiling,
            clock=lambda: time.time() + self.later,
        )
        anew = CompiledAnew(
            fetch=fetch,
            cook=CookStage(images=images, given=given),
            compile=compiling,
            engine=sandboxes,
            images=images,
            units=harvester,
        )
        installed = InstalledGround(
            environments=Environments(records, blobs),
            fetch=fetch,
            engine=sandboxes,
            scratch=self.scratch,
            limit=64 << 20,
        )
        self.verifier = Verifier(
            rate=self.rate,
            clean=CleanBuilds(
                ways={Grain.UNITS: anew, Grain.LAYERS: anew, Grain.PACKAGES: InstalledAnew(installed)},
                finish=self.finish,
                attempts=Attempts(engine=sandboxes, settings=giving_way(settings), publish=publish),
            ),
            records=records,
            revocation=Revocation(records=records, keeper=self.maintenance, revoking=attempts.revoking, blobs=blobs),
            discard=self.maintenance,
            blobs=blobs,
            uses=self.uses,
            metrics=self.metrics,
        )
        compiled = Grounds(
            ladder=ladder,
            layers=layers,
            compile=compiling,
            over_units=OverUnits(fetch=fetch, compile=compiling, given=given),
            later=LaterLayers(ladder=ladder, layers=layers, attempts=attempts, behind=self.behind),
            over_layer=OverLayer(ladder=ladder, layers=layers, compile=compiling, moves=moves),
            moves=moves,
            workspaces=self.workspaces,
            forks=Forks(workspaces=self.workspaces, known=records, engine=sandboxes, images=images),
            trees=records,
            underway=underway,
            expectations=expectations,
        )
        self.pipeline = Pipeline(
            plan=self.plan,
            weighing=weighing,
            forecaster=Forecaster(records),
            fetch=fetch,
            grounds={Grain.UNITS: compiled, Grain.LAYERS: compiled, Grain.PACKAGES: installed},
            finish=self.finish,
            results=records,
            observed=observed,
            attempts=attempts,
            uses=self.uses,
            verifications=self.verifier,
        )
        self.explainer = Explainer(
            trees=SharedSources(self.store),
            plan=self.plan,
            weighing=weighing,
            fetch=fetch,
            forecaster=Forecaster(records),
        )

    async def _put_back(self, taken: WorkspaceRecord | None) -> None:
        if taken is not None:
            await self.store.record_workspace(taken)

    async def request(self, files: Files = SIMPLE, *, tags: tuple[str, ...] = ("app",), **request: Any) -> BuildRequest:
        tree = await asyncio.to_thread(tree_of, self.store.blobs, files)
        await self.store.put_tree(tree)
        if "images" not in request:
            request["images"] = (ImageRequest(tags=tags),)
        return BuildRequest(tree=str(tree.digest), **request)

    async def build(
        self,
        files: Files = SIMPLE,
        *,
        progress: Heard | None = None,
        sequence: int | None = None,
        **request: Any,
    ) -> Outcome:
        """Accept a build and run it."""
        asked = await self.request(files, **request)
        return await self.run(asked, progress=progress, sequence=sequence)

    async def run(
        self, request: BuildRequest, *, progress: Heard | None = None, sequence: int | None = None
    ) -> Outcome:
        number = sequence if sequence is not None else next(self._sequences)
        build = Build(
            id=f"b{number}",
            sequence=number,
            request=request,
            state=BuildState.RUNNING,
            created_at=time.time(),
            attempt=1,
        )
        return await self.pipeline.run(build, progress or Heard())

    async def clean(self, files: Files = SIMPLE) -> str:
        """The oracle: the digest of the image of a build that reuses nothing, in a scope that nothing else reuses."""
        return (await self.build(files, reuse=Reuse.NOTHING, scope="clean")).images[0].digest

    async def explain(self, files: Files = SIMPLE, **request: Any) -> Explanation:
        return await self.explainer.explain(await self.request(files, **request))

    async def waiting(self) -> tuple[Build, ...]:
        """The queue."""
        return tuple(self.queued)

    async def harvest(self) -> None:
        """Bring in what builds that have ended left to be harvested, as a daemon does behind its answers."""
        working = asyncio.create_task(self.behind.run())
        async with asyncio.timeout(10):
            await self.behind.idle()
        working.cancel()
        await asyncio.wait({working})

    async def verify(self) -> None:
        """Build again what waits for it."""
        working = asyncio.create_task(self.verifier.behind.run())
        async with asyncio.timeout(20):
            await self.verifier.behind.idle()
        working.cancel()
        await asyncio.wait({working})

    def ran(self) -> list[str]:
        """What ran since this was asked last."""
        steps, self.cargo.ran = self.cargo.ran, []
        return steps

    def calls(self, *methods: str) -> list[tuple[str, str]]:
        """The engine's calls of these methods, or all."""
        return [call for call in self.engine.calls if not methods or call[0].rpartition(".")[2] in methods]

    async def layers(self) -> set[str]:
        """The ids of layers on record; every one of them is an image of the engine."""
        return set(await self.store.layer_images())

    def runtime_images(self) -> set[str]:
        """The ids of images that are no toolchain and no layer."""
        return {
            image.id
            for image in self.engine.stored.values()
            if image.id != self.toolchain.facts.image_id and "bloomery.layer" not in image.labels
        }

    def tagged(self, tag: str) -> str | None:
        """The id of the image that a tag names."""
        found = self.engine.find(tag)
        return found.id if found else None

    async def assert_nothing_is_left(self) -> None:
        """No container but workspaces on record, no file half-way, and no image that nothing knows."""
        found = {it.id: (it.spec.name, it.state) for it in self.engine.containers.values()}
        assert set(found) == {one.sandbox for one in await self.store.workspaces()}, found
        staging = self.store.blobs.path(Digest.of(b"")).parents[2] / "staging"
        async with asyncio.timeout(10):  # a thread ends what it does although nobody waits for it any more
            while [*self.scratch.iterdir(), *staging.iterdir()]:  # noqa: ASYNC110 - a thread sets no event
                await asyncio.sleep(0.01)
        on_record = await self.layers()
        for image in self.engine.stored.values():
            if "bloomery.layer" in image.labels:
                assert image.id in on_record, "a layer that no record names"

    async def close(self) -> None:
        await self.registries.__aexit__()
        await self.store.close()


@asynccontextmanager
async def workshop(place: Path, program: bytes) -> AsyncIterator[Workshop]:
    """Opened and closed."""
    made = await Workshop.open(place, program)
    try:
        yield made
    finally:
        await made.close()
