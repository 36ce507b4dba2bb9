"""The whole daemon in the test's own process, so that a test can look into it, damage what it keeps, and mutate it."""

import asyncio
import json
import os
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from api.client.render import explanation
from api.composition.means import Means
from api.composition.root import Daemon, compose
from api.state_dir import StateDir
from cache.archive_limits import ArchiveLimits
from cache.digest import Digest
from cache.index import LayerRecord
from cache.reuse import Refusal, ReuseReport, Rung, WhyNot
from cache.store import Store
from cache.workspaces import WorkspaceRecord
from daemon.build_records import BuildRecords
from daemon.builds import Build, BuildRequest, BuildState, ImageRequest, Outcome, Reuse
from daemon.config import (
    BuildSettings,
    Config,
    NetworkConfig,
    ServerSettings,
    ToolchainSettings,
    VerifySettings,
    WorkspaceSettings,
)
from daemon.engine.docker import DockerEngine
from daemon.network import resolve_network
from daemon.ownership import SharedSources
from daemon.pipeline.cook import LAYER_LABEL
from daemon.pipeline.explain import Explainer
from daemon.pipeline.sandboxes import STEP
from daemon.registry.registries import Registries
from daemon.tarball import Member, stream
from daemon.upload import Intake
from tests.conftest import TOOLCHAIN
from tests.fakes.crates import CHECKSUMS, archive
from tests.fakes.docker import docker, run
from tests.fakes.rust_projects import Files, tree_of

NOBODY = "nobody"
"""A lineage that has no workspace: what is to be forked from it stands on the layer."""


@dataclass(frozen=True, slots=True)
class Built:
    """A build that has ended, seen from a test."""

    build: Build

    @property
    def outcome(self) -> Outcome:
        assert self.build.outcome is not None, self.build.failure
        return self.build.outcome

    @property
    def report(self) -> ReuseReport:
        return self.outcome.reuse

    @property
    def rung(self) -> Rung:
        return self.report.rung

    @property
    def compiled(self) -> set[str]:
        """`name version` of each package that cargo compiled."""
        return set(self.report.compiled)

    @property
    def digests(self) -> dict[str, str]:
        """The image's digest by binary."""
        return {image.binary: image.digest for image in self.outcome.images}

    @property
    def digest(self) -> str:
        (digest,) = self.digests.values()
        return digest

    def refusal(self, rung: Rung) -> Refusal:
        """Why this rung was not taken; the last word counts."""
        return [refusal for refusal in self.report.refusals if refusal.rung is rung][-1]

    def why_not(self, rung: Rung) -> WhyNot:
        return self.refusal(rung).why

    def changed(self, rung: Rung) -> set[str]:
        """The labels of the parts of a key that differ from the nearest earlier one."""
        return {difference.label for difference in self.refusal(rung).differences}

    def prints(self, binary: str | None = None) -> str:
        """What the image prints when it is run."""
        (image,) = [one for one in self.outcome.images if binary in {None, one.binary}]
        return run(image.image_id)


class Workshop:
    """A daemon that builds what it is given; every request is a new build of one tree."""

    def __init__(self, store: Store, engine: DockerEngine, daemon: Daemon, images: set[str]) -> None:
        self.store = store
        self.engine = engine
        self.daemon = daemon
        self._images = images

    async def build(self, files: Files, *binaries: str | ImageRequest, **request: Any) -> Built:
        """A build that succeeds; `request` has the fields of `BuildRequest`."""
        built = await self.attempt(files, *binaries, **request)
        assert built.build.state is BuildState.SUCCEEDED, built.build.failure
        return built

    async def clean(self, files: Files, *binaries: str, **request: Any) -> Built:
        """The oracle: a build that reuses nothing, in a scope of its own so that nobody else reuses it."""
        return await self.build(files, *binaries, reuse=Reuse.NOTHING, scope="clean", **request)

    async def attempt(self, files: Files, *binaries: str | ImageRequest, **request: Any) -> Built:
        """A build, however it ends."""
        named = (ImageRequest(binary=one) if isinstance(one, str) else one for one in binaries)
        images = tuple(named) or (ImageRequest(),)
        tree = await self.tree(files)
        wanted = BuildRequest(tree=str(tree), images=images, **request)
        return await self.ended((await self.daemon.scheduler.submit(wanted, None)).build.id)

    async def explained(self, files: Files, **request: Any) -> Rung:
        """The rung that a build would stand on."""
        pipeline: Any = self.daemon.runner._runner
        wanted = BuildRequest(tree=str(await self.tree(files)), **request)
        project = await pipeline._plan.plan(await pipeline._plan.source(wanted))
        rung: Rung = (await pipeline._weighing.reusable(project, wanted)).choice.rung
        return rung

    async def told(self, files: Files, **request: Any) -> list[str]:
        """What `bloomery explain` prints."""
        pipeline: Any = self.daemon.runner._runner
        explainer = Explainer(
            trees=SharedSources(self.store),
            plan=pipeline._plan,
            weighing=pipeline._weighing,
            fetch=pipeline._fetch,
            forecaster=pipeline._forecaster,
        )
        wanted = BuildRequest(tree=str(await self.tree(files)), **request)
        return explanation(msgspec.to_builtins(await explainer.explain(wanted)))

    async def ended(self, build: str) -> Built:
        """A build at its end."""
        async for _ in self.daemon.events.follow(build, 0):
            pass
        ended = await BuildRecords(self.store).build(build)
        self._images.update(image.image_id for image in (ended.outcome.images if ended.outcome else ()))
        return Built(ended)

    async def idle(self) -> None:
        """Do what waits behind the answers, as a running daemon does."""
        working = asyncio.create_task(self.daemon.behind.run())
        async with asyncio.timeout(600):
            await self.daemon.behind.idle()
        working.cancel()
        await asyncio.wait({working})

    async def verified(self) -> None:
        """Build again clean what waits for it."""
        working = asyncio.create_task(self.daemon.verifier.behind.run())
        async with asyncio.timeout(600):
            await self.daemon.verifier.behind.idle()
        working.cancel()
        await asyncio.wait({working})

    async def stored(self, name: str, scope: str = "default") -> dict[Digest, bytes]:
        """The stored units of a package, by digest, each with its files' bytes."""
        query = "SELECT digest, blob FROM units WHERE name = ? AND scope = ?"
        rows = await self.store._database.read(lambda tables: tables.execute(query, (name, scope)).fetchall())
        blobs = {Digest.parse(digest): self.store.blobs.path(Digest.parse(blob)) for digest, blob in rows}
        return {
            digest: zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
            for digest, path in blobs.items()
        }

    async def tree(self, files: Files) -> Digest:
        """The files as a tree that is here."""
        tree = tree_of(self.store.blobs, files)
        await self.store.put_tree(tree)
        return tree.digest

    async def uploaded(self, files: Files, *, mtime: float, mode: int = 0o644) -> Digest:
        """The same by the door for archives."""

        async def body() -> AsyncGenerator[bytes, None]:
            yield archive(files, mtime, mode)

        intake = Intake(self.store.blobs, SharedSources(self.store), ArchiveLimits())
        return (await intake.from_archive(body())).digest

    async def forget_results(self) -> None:
        """Let the next build of a known tree compile again."""
        await self.store._database.write(lambda tables: tables.execute("DELETE FROM results"))

    async def layer(self, built: Built, scope: str = "default") -> LayerRecord:
        """The layer that a project cooked last."""
        found = await self.store.latest_layer(scope, built.outcome.project)
        assert found is not None
        return found

    async def replace_layer(self, layer: LayerRecord, image_id: str) -> None:
        """Damage the record: it names another image."""
        await self.store.record_layer(replace(layer, image_id=image_id))

    async def prune(self, layer: LayerRecord) -> None:
        """Take the layer's image away, as somebody who cleans up the engine does."""
        docker("rmi", "--force", layer.image_id)

    async def workspace(self, project: str, lineage: str = "main", scope: str = "default") -> WorkspaceRecord:
        """The stopped container in which a lineage's next compile goes on."""
        found = await self.store.workspace(scope, project, lineage)
        assert found is not None
        return found

    async def artefacts(self, workspace: WorkspaceRecord) -> dict[str, float]:
        """What compiles have left in a target directory, beside what they tell of themselves; each with its time."""
        pieces = [piece async for piece in self.engine.sandboxes.get(workspace.sandbox, "/target")]
        with tarfile.open(fileobj=BytesIO(b"".join(pieces))) as tar:
            return {member.name: member.mtime for member in tar if "/.bloomery" not in member.name}

    async def run_behind_our_back(self, workspace: WorkspaceRecord, command: str) -> None:
        """Run a command in a workspace, as somebody else who may use the engine can."""
        step = Member(path=STEP, mode=0o755, mtime=0, content=f"#!/bin/sh\n{command}\n".encode())
        await self.engine.sandboxes.put(workspace.sandbox, stream((step,)))
        docker("start", "--attach", workspace.sandbox)

    async def units(self, layer: LayerRecord) -> set[str]:
        """The packages that have something compiled in the layer, by cargo's directories of fingerprints."""
        container = docker("create", layer.image_id)
        try:
            pieces = [piece async for piece in self.engine.sandboxes.get(container, "/target")]
        finally:
            docker("rm", container)
        with tarfile.open(fileobj=BytesIO(b"".join(pieces))) as tar:
            names = [name.split("/") for name in tar.getnames()]
        return {name[3].rpartition("-")[0] for name in names if len(name) == 4 and name[2] == ".fingerprint"}

    async def archive_blobs(self, manifest: str) -> list[Path]:
        """The files that an image's archive is made of."""
        first = self.store.blobs.path(Digest.parse(manifest))
        named = json.loads(first.read_bytes())
        digests = [named["config"]["digest"], *(layer["digest"] for layer in named["layers"])]
        return [first, *(self.store.blobs.path(Digest.parse(digest)) for digest in digests)]

    async def crate(self, name: str) -> Path:
        """The file of a crate's archive that a fetch has brought."""
        text, _, version = name.removesuffix(".crate").rpartition("-")
        return self.store.blobs.path(Digest(CHECKSUMS[f"{text} {version}"]))

    def damaged(self, layer: LayerRecord, command: str) -> str:
        """The id of an image that claims to be the layer, after a command has run in it."""
        name = f"bloomery-e2e-damaged-{self.store.instance}"
        docker("run", "--name", name, "--network", "none", "--entrypoint", "sh", layer.image_id, "-c", command)
        try:
            return docker("commit", name)
        finally:
            docker("rm", name)

    async def committed_compile(self, built: Built, layer: LayerRecord) -> str:
        """The id of an image that claims to be the layer, and holds what a build compiled: a layer as none may be."""
        workspace = await self.workspace(built.outcome.project, built.build.request.lineage, built.build.request.scope)
        labels = {LAYER_LABEL: layer.key.digest.hex, "bloomery.instance": self.store.instance}
        return await self.engine.images.commit(workspace.sandbox, "bloomery-e2e/tampered:1", labels)


@asynccontextmanager
async def workshop(
    state: Path,
    facts: tuple[str, bytes],
    images: set[str],
    network: NetworkConfig | None = None,
    *,
    toolchain: str = TOOLCHAIN,
    attempts: int = 1,
) -> AsyncIterator[Workshop]:
    """Put one together; `images` gets the ids of what it builds."""
    config = Config(
        server=ServerSettings(state_dir=str(state)),
        network=network or NetworkConfig(),
        toolchains=ToolchainSettings(images={"stable": toolchain}),
        # Which builds are verified is a test's to say.
        verify=VerifySettings(rate=0.0),  # type: ignore[arg-type]
        builds=BuildSettings(attempts=attempts, backoff=0.1),  # type: ignore[arg-type]
        # More than all tests make, so that none is evicted in the middle of a test.
        workspaces=WorkspaceSettings(count=1000),  # type: ignore[arg-type]
    )
    access = resolve_network(config.network, os.environ)
    bundle = access.ca_bundle.read_bytes() if access.ca_bundle else b""
    async with AsyncExitStack() as opened:
        store = await Store.open(state)
        opened.push_async_callback(store.close)
        await store.record_toolchain_facts(*facts)
        StateDir.of(config).clear_scratch()
        engine = await DockerEngine.connect(os.environ.get("DOCKER_HOST"))
        opened.push_async_callback(engine.close)
        means = Means(
            config=config,
            network=access,
            ca_bundle=bundle,
            tokens={},
            store=store,
            engine=engine,
            registries=await opened.enter_async_context(Registries()),
            weigh=lambda *_: None,  # a new lineage copies whatever it costs
        )
        daemon = compose(means)
        opened.push_async_callback(daemon.toolchains.close)
        opened.push_async_callback(daemon.events.close)
        await daemon.scheduler.start()
        opened.push_async_callback(daemon.scheduler.drain, 0)
        yield Workshop(store, engine, daemon, images)


async def both(*builds: Any) -> tuple[Built, ...]:
    """Builds at the same time: two of them run, the others wait."""
    return tuple(await asyncio.gather(*builds))
