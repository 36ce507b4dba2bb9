"""The HTTP API over fakes of what the daemon is made of, on a real socket of 127.0.0.1."""

import asyncio
import io
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from api.http.app import make_app
from api.http.bodies import BodyLimits
from api.http.connections import Runner
from api.http.endpoint import Endpoint
from api.http.guard import Guard
from api.http.handlers.artifacts import ArtifactHandlers
from api.http.handlers.builds import BuildHandlers
from api.http.handlers.cache import CacheHandlers
from api.http.handlers.events import EventHandlers
from api.http.handlers.explain import ExplainHandlers
from api.http.handlers.system import SystemHandlers
from api.http.handlers.trees import TreeHandlers
from api.http.openapi import describe
from api.http.readiness import Lifecycle, Readiness
from cache.archive_limits import ArchiveLimits
from cache.blobs import BlobStore
from cache.digest import Digest
from cache.errors import Failure
from cache.gc import EntryKind
from cache.reuse import Refusal, ReuseReport, Rung, WhyNot
from cache.tree import SourceTree
from daemon.build_records import Accepted, BuildList
from daemon.builds import (
    Build,
    BuildRequest,
    BuildState,
    BuiltImage,
    ImageRequest,
    Outcome,
)
from daemon.errors import IdempotencyMismatch, NotReady, UnknownBuild
from daemon.events import Event, EventKind
from daemon.maintenance import Contents, Tally, Trial
from daemon.ownership import OwnSources, SharedSources
from daemon.pipeline.explain import Explanation
from daemon.toolchains.toolchain import PythonFacts, Toolchain, ToolchainFacts
from daemon.upload import Intake

TREE = "sha256:" + "a" * 64
FACTS = ToolchainFacts(
    image_id="sha256:" + "b" * 64,
    rustc_version_verbose="rustc 1.95.0\nrelease: 1.95.0",
    release="1.95.0",
    commit_date="2026-04-10",
    channel_date="",
    host="x86_64-unknown-linux-gnu",
    cargo_version="cargo 1.95.0",
    sysroot="/usr/local/rustup",
    libc="glibc 2.36",
    artefact_mtime=1,
    sysroot_digests=(),
    python=PythonFacts(version="3.11.2", executable="/usr/bin/python3.11", library="/usr/lib/python3.11", uv="0.13.9"),
)


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return held.getvalue()


async def until(met: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(seconds):
        while not met():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split(" ")[1]), headers, body


class FakeTrees:
    def __init__(self) -> None:
        self.kept: dict[Digest, SourceTree] = {}
        self.owned: dict[str, dict[Digest, SourceTree]] = {}

    async def put_tree(self, tree: SourceTree) -> None:
        self.kept[tree.digest] = tree

    async def tree(self, digest: Digest) -> SourceTree | None:
        return self.kept.get(digest)

    async def own_tree(self, tree: SourceTree, scope: str) -> None:
        self.kept[tree.digest] = tree
        self.owned.setdefault(scope, {})[tree.digest] = tree

    async def owned_tree(self, digest: Digest, scope: str) -> SourceTree | None:
        return self.owned.get(scope, {}).get(digest)

    async def not_owned(self, digests: Iterable[Digest], scope: str) -> tuple[Digest, ...]:
        held = {entry.digest for tree in self.owned.get(scope, {}).values() for entry in tree.files()}
        return tuple(digest for digest in dict.fromkeys(digests) if digest not in held)


class FakeBuilds:
    """Queue and records in memory: as the real ones are seen from the handlers."""

    def __init__(self) -> None:
        self.builds_by_id: dict[str, Build] = {}
        self.keys: dict[str, str] = {}
        self.refusal: Failure | None = None
        self.waited: list[float] = []
        self.ends: BuildState | None = None
        """What a build comes to while its end is waited for."""

    async def require_open(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def submit(self, request: BuildRequest, idempotency_key: str | None) -> Accepted:
        if self.refusal is not None:
            raise self.refusal
        if idempotency_key in self.keys:
            known = self.builds_by_id[self.keys[idempotency_key]]
            if known.request != request:
                raise IdempotencyMismatch("another request", build=known.id)
            return Accepted(known, new=False)
        number = len(self.builds_by_id) + 1
        build = Build(
            id=f"build{number}", sequence=number, request=request, state=BuildState.QUEUED, created_at=1000.0 + number
        )
        self.builds_by_id[build.id] = build
        if idempotency_key is not None:
            self.keys[idempotency_key] = build.id
        return Accepted(build, new=True)

    async def ended(self, build: str, within: float) -> Build:
        self.waited.append(within)
        if self.ends is not None:
            self.builds_by_id[build] = replace(self.builds_by_id[build], state=self.ends, finished_at=2000.0)
        return await self.build(build)

    async def cancel(self, build: str) -> Build:
        found = await self.build(build)
        if not found.state.final:
            self.builds_by_id[build] = found = replace(found, state=BuildState.CANCELLED, finished_at=2000.0)
        return found

    async def build(self, build: str) -> Build:
        if build not in self.builds_by_id:
            raise UnknownBuild(f"No build has the id {build[:64]!r}", build=build[:64])
        return self.builds_by_id[build]

    async def builds(self, cursor: int | None, limit: int, *, state: BuildState | None, scope: str | None) -> BuildList:
        found = [
            build
            for build in sorted(self.builds_by_id.values(), key=lambda one: -one.sequence)
            if (cursor is None or build.sequence < cursor)
            and state in {None, build.state}
            and scope in {None, build.request.scope}
        ]
        page = tuple(found[:limit])
        return BuildList(page, page[-1].sequence if len(found) > limit else None)


class FakeEvents:
    """An event log in memory that counts who follows."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self.changed = asyncio.Condition()
        self.followers = 0

    async def add(self, build: str, kind: EventKind, **data: Any) -> None:
        events = self.events.setdefault(build, [])
        events.append(Event(number=len(events) + 1, at=1.5, kind=kind, data=data))
        async with self.changed:
            self.changed.notify_all()

    async def so_far(self, build: str, after: int) -> AsyncIterator[Event]:
        for event in self.events.get(build, [])[after:]:
            yield event

    async def follow(self, build: str, after: int) -> AsyncIterator[Event]:
        self.followers += 1
        try:
            while True:
                for event in self.events.get(build, [])[after:]:
                    after = event.number
                    yield event
                    if event.kind is EventKind.STATE and BuildState(event.data["state"]).final:
                        return
                async with self.changed:
                    await self.changed.wait_for(lambda: len(self.events.get(build, [])) > after)  # noqa: B023
        finally:
            self.followers -= 1


class FakeArtifacts:
    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self.failure: BaseException | None = None

    async def archive(self, image: BuiltImage) -> AsyncGenerator[bytes, None]:
        yield b"archive of "
        if self.failure is not None:
            raise self.failure
        yield image.binary.encode()

    async def blob(self, digest: str) -> Path:
        path = self.blobs.path(Digest.parse(digest))
        if not path.exists():
            raise NotReady("the blob was pruned")
        return path


class FakeCache:
    """Holds one layer."""

    ceiling = 1000

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def contents(self, scope: str | None = None) -> Contents:
        self.asked.append((scope,))
        return Contents(size=300, kinds=(Tally(kind=EntryKind.LAYER, records=1, size=300),))

    async def prune(self, keep: int, trial: Trial, scope: str | None = None) -> Contents:
        self.asked.append((keep, trial, scope))
        return Contents(size=200, kinds=(Tally(kind=EntryKind.UNIT, records=2, size=200),))


class FakeExplainer:
    async def explain(self, request: BuildRequest) -> Explanation:
        return Explanation(
            project=request.project or "hello",
            ecosystem="rust",
            toolchain="stable",
            images=(ImageRequest(binary="hello"),),
            rung=Rung.NONE,
            seconds_saved=0.0,
            dependencies=12,
            reused=0,
            compiled=("hello 0.1.0",),
            members=("hello 0.1.0",),
            expected_seconds=None,
            cold_seconds=None,
            refusals=(Refusal(Rung.RESULT, WhyNot.FIRST_BUILD),),
            keys={"exact": TREE, "result": TREE},
        )


class FakeToolchains:
    def __init__(self) -> None:
        self.failure: Failure | None = None
        self.facts = FACTS

    async def offered(self) -> tuple[Toolchain, ...]:
        if self.failure is not None:
            raise self.failure
        return (Toolchain(name="stable", image_reference="bloomery/toolchain:stable", facts=self.facts),)


@dataclass
class Daemon:
    """The API over fakes, on a real socket; `directory` is where all its files are."""

    directory: Path
    blobs: BlobStore
    limits: BodyLimits
    archive_limits: ArchiveLimits
    tokens: dict[str, str]
    builds: FakeBuilds = field(default_factory=FakeBuilds)
    trees: FakeTrees = field(default_factory=FakeTrees)
    events: FakeEvents = field(default_factory=FakeEvents)
    toolchains: FakeToolchains = field(default_factory=FakeToolchains)
    cache: FakeCache = field(default_factory=FakeCache)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    heartbeat: float = 15.0
    checks: dict[str, Failure | None] = field(default_factory=lambda: {"engine": None})
    port: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    app: web.Application | None = None

    def __post_init__(self) -> None:
        self.artifacts = FakeArtifacts(self.blobs)
        self.readiness = Readiness([(name, self._check(name)) for name in self.checks])
        self.readiness.lifecycle = Lifecycle.SERVING
        Counter("bloomery_example", "An example.", registry=self.registry).inc()

    def _check(self, name: str) -> Callable[[], Any]:
        async def check() -> str:
            failure = self.checks[name]
            if failure is not None:
                raise failure
            return "well"

        return check

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> Runner:
        sources = OwnSources(self.trees) if self.tokens else SharedSources(self.trees)
        intake = Intake(self.blobs, sources, self.archive_limits)
        self.endpoints = (
            *BuildHandlers(self.builds, self.builds, intake, self.limits).endpoints(),
            *EventHandlers(self.events, self.builds, self.closing, self.heartbeat).endpoints(),
            *ArtifactHandlers(self.builds, self.artifacts).endpoints(),
            *TreeHandlers(intake, sources, self.limits).endpoints(),
            *ExplainHandlers(FakeExplainer(), (), self.limits).endpoints(),
            *CacheHandlers(self.cache, self.limits).endpoints(),
            *SystemHandlers(
                self.readiness, self.toolchains, self.registry, lambda: describe(self.endpoints, "0.1.0")
            ).endpoints(),
        )
        self.app = make_app(self.endpoints, Guard(self.tokens))
        runner = Runner(self.app, shutdown_seconds=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site.port
        return runner

    async def raw(self, request: str | bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are; the status, the headers by lower-case name, and all that follows."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request if isinstance(request, bytes) else request.encode())
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return parsed(answer)

    async def put_build(self, state: BuildState = BuildState.SUCCEEDED, binaries: tuple[str, ...] = ("hello",)) -> str:
        accepted = await self.builds.submit(BuildRequest(tree=TREE), None)
        build = replace(accepted.build, state=state)
        if state is BuildState.SUCCEEDED:
            contents = b'[{"path":"/app/hello","kind":"file","size":4,"mode":493,"reason":"binary hello"}]'
            listing, symbols = self.blobs.put(contents), self.blobs.put(b"\x7fELF symbols")
            images = tuple(
                BuiltImage(
                    binary=name,
                    reference=f"{name}:1",
                    tags=(f"{name}:1",),
                    digest="sha256:" + "c" * 64,
                    image_id="sha256:" + "d" * 64,
                    size=4,
                    files=1,
                    contents=str(listing),
                    symbols=str(symbols),
                )
                for name in binaries
            )
            outcome = Outcome(
                images=images,
                reuse=ReuseReport(rung=Rung.NONE),
                project="hello",
                ecosystem="rust",
                toolchain="stable",
                lockfile=str(self.blobs.put(b"version = 4\n")),
            )
            build = replace(build, outcome=outcome, finished_at=2000.0)
        self.builds.builds_by_id[build.id] = build
        return build.id


MakeDaemon = Callable[..., Daemon]


@asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[Daemon]:
    runner = await daemon.start()
    try:
        yield daemon
    finally:
        daemon.closing.set()
        await runner.cleanup()
