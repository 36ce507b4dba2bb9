"""The fetch stage: the only step with a network. It sees skeleton, lock, and a configuration that the daemon wrote.

What it brings is kept by content, under the project's fetch key and package by package: where all of it is held, no
step runs, and where some of it is, that is put in first and the rest is fetched. After the step its sandbox is taken
off the network, and the cook may go on in it: no code of a project or a dependency has run there by then, and what was
unpacked need not be unpacked again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch, NotADigest
from cache.errors import Failure
from daemon.builds import Reuse, StageName
from daemon.ecosystems.ecosystem import Fetching, Project
from daemon.ecosystems.kept import Fetched, Gathered, KeptPackage, Wanted
from daemon.ecosystems.step import Afterwards, FetchStep
from daemon.engine.engine import Network, Sandboxes
from daemon.errors import EngineRefused, FetchFailed
from daemon.keyed_locks import KeyedLocks
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.network_access import NetworkAccess
from daemon.pipeline.spool import spooled

_kept_package = msgspec.json.Decoder(KeptPackage).decode
T = TypeVar("T")


class FetchIndex(Protocol):
    """Which blobs hold what was fetched, and the locks that were made."""

    async def fetched(self, key: Digest) -> Digest | None:
        """The blob that lists what was fetched under this key."""
        ...

    async def record_fetched(self, key: Digest, listing: Digest) -> None:
        """Remember it."""
        ...

    async def kept_packages(self, place: Digest, names: Collection[str]) -> Mapping[str, bytes]:
        """What is kept of single packages."""
        ...

    async def keep_packages(self, place: Digest, packages: Mapping[str, bytes]) -> None:
        """Remember it."""
        ...

    async def made_lock(self, key: Digest) -> Digest | None:
        """The lock that was made under this key."""
        ...

    async def record_made_lock(self, key: Digest, lock: Digest) -> None:
        """Remember it."""
        ...


class Origin(StrEnum):
    """Where what is provided comes from."""

    KEPT = "kept"
    """Some of it, or all, from earlier fetches."""
    FETCHED = "fetched"
    """All from a fetch of this very lock, just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisions:
    """What a cook has to work with."""

    fetched: Fetched
    origin: Origin
    sandbox: str | None = None
    """Where all of it is already: off its network, and nothing has run there but the fetch step."""


class FetchStage:
    """Brings what a project needs from outside."""

    def __init__(
        self,
        *,
        engine: Sandboxes,
        index: FetchIndex,
        blobs: BlobStore,
        access: NetworkAccess,
        scratch: Path,
        limit: int,
    ) -> None:
        self._engine = engine
        self._index = index
        self._blobs = blobs
        self._access = access
        self._scratch = scratch
        self._limit = limit
        self._one_at_a_time = KeyedLocks()

    async def kept_lock(self, fetching: Fetching) -> bytes | None:
        """The lock that was made for the same manifests before."""
        key = fetching.lock_key()
        digest = await self._index.made_lock(key) if key else None
        if digest is None:
            return None
        return await asyncio.to_thread(self._whole, digest)

    async def lock(self, project: Project, attempt: Attempt) -> bytes:
        """The lock for a source that has none: the kept one, or one that the package manager makes and that is kept."""
        fetching = project.fetching
        key = fetching.lock_key()
        assert key is not None
        async with self._one_at_a_time.hold(key):
            if attempt.request.reuse is Reuse.ALL:
                kept = await self.kept_lock(fetching)
                if kept is not None:
                    return kept
            async with attempt.progress.stage(StageName.FETCH):
                lock = await self._made_lock(project, fetching.lock_step(), attempt)
            digest = await asyncio.to_thread(self._blobs.put, lock)
            await self._index.record_made_lock(key, digest)
            return lock

    async def supplied(self, project: Project, attempt: Attempt, work: Callable[[Provisions], Awaitable[T]]) -> T:
        """Do `work` with all that has to be there; once more with all of it fetched anew, where that was not all."""
        async with self._provisions(project, attempt, attempt.request.reuse) as provisions:
            try:
                return await work(provisions)
            except FetchFailed as failure:
                if provisions.origin is Origin.FETCHED:
                    raise
                attempt.progress.note(_does_not_do(failure))
        async with self._provisions(project, attempt, Reuse.NOTHING) as provisions:
            return await work(provisions)

    @asynccontextmanager
    async def _provisions(self, project: Project, attempt: Attempt, reuse: Reuse) -> AsyncIterator[Provisions]:
        """All that has to be there, as long as the block lasts: what is held, or what the step brings and is kept."""
        fetching = project.fetching
        async with AsyncExitStack() as cooking:
            async with self._one_at_a_time.hold(fetching.key()):
                held = await self.held(fetching) if reuse is Reuse.ALL else None
                if held is not None:
                    provisions = Provisions(fetched=held, origin=Origin.KEPT)
                else:
                    provisions = await self._new(project, attempt, reuse, cooking)
                    listing = await asyncio.to_thread(self._blobs.put, msgspec.json.encode(provisions.fetched))
                    await self._index.record_fetched(fetching.key(), listing)
            yield provisions

    async def _new(self, project: Project, attempt: Attempt, reuse: Reuse, cooking: AsyncExitStack) -> Provisions:
        """What a lock that is not on record needs: put together, or fetched as far as it is missing."""
        keeping = project.keeping
        wanted = keeping.wanted()
        kept = await self._kept(wanted) if reuse is Reuse.ALL else {}
        gathered = await asyncio.to_thread(keeping.gathered, kept)
        step = project.fetching.step(gathered.fetched)
        if step is None or not gathered.missing:
            return Provisions(fetched=gathered.fetched, origin=Origin.KEPT)
        try:
            async with attempt.progress.stage(StageName.FETCH):
                provisions = await self._run(project, step, gathered.fetched, attempt, cooking)
        except FetchFailed as failure:
            if not gathered.kept:
                raise
            attempt.progress.note(_does_not_do(failure))
            return await self._new(project, attempt, Reuse.NOTHING, cooking)
        packages = await asyncio.to_thread(keeping.packages, provisions.fetched, kept)
        await self._index.keep_packages(
            wanted.place, {name: msgspec.json.encode(package) for name, package in packages.items()}
        )
        if not gathered.kept:
            return provisions
        attempt.progress.note(_fetched_words(gathered))
        return replace(provisions, origin=Origin.KEPT)

    async def _kept(self, wanted: Wanted) -> Mapping[str, KeptPackage]:
        """What is kept of each package, where all of that is here."""
        values = await self._index.kept_packages(wanted.place, wanted.names)
        return await asyncio.to_thread(lambda: dict(self._whole_packages(values)))

    def _whole_packages(self, values: Mapping[str, bytes]) -> Iterable[tuple[str, KeptPackage]]:
        for name, value in values.items():
            try:
                package = _kept_package(value)
            except msgspec.MsgspecError:
                continue
            if self._complete(package.fetched):
                yield name, package

    async def held(self, fetching: Fetching) -> Fetched | None:
        """All that has to be there, if it is; a blob that is gone makes it None."""
        listing = await self._index.fetched(fetching.key())
        if listing is None:
            return None
        text = await asyncio.to_thread(self._whole, listing)
        if text is None:
            return None
        fetched = msgspec.json.decode(text, type=Fetched)
        return fetched if await asyncio.to_thread(self._complete, fetched) else None

    async def _made_lock(self, project: Project, step: FetchStep, attempt: Attempt) -> bytes:
        async with (
            self._sandbox("lock", project, step, attempt) as sandbox,
            self._taken(sandbox, step.take[0]) as archive,
        ):
            return await asyncio.to_thread(project.fetching.made_lock, archive)

    async def _run(
        self, project: Project, step: FetchStep, there: Fetched, attempt: Attempt, cooking: AsyncExitStack
    ) -> Provisions:
        """Run the step, in which what is `there` is; a sandbox that the cook can go on in is left to `cooking`."""
        parts: list[Fetched] = []
        async with AsyncExitStack() as fetching:
            goes_on = step.afterwards is Afterwards.COOKS and self._access.network is Network.BRIDGE
            until = cooking if goes_on else fetching
            step = replace(step, in_memory=step.in_memory_after) if goes_on else step
            sandbox = await until.enter_async_context(self._sandbox("fetch", project, step, attempt))
            for path in step.take:
                try:
                    async with self._taken(sandbox, path) as archive:
                        parts.append(await asyncio.to_thread(project.fetching.admit, path, archive))
                except FileNotFoundError:
                    continue  # nothing of this kind was fetched
            isolated = goes_on and await self._isolated(sandbox, attempt)
        return Provisions(fetched=_together(there, parts), origin=Origin.FETCHED, sandbox=sandbox if isolated else None)

    async def _isolated(self, sandbox: str, attempt: Attempt) -> bool:
        try:
            await attempt.sandboxes.isolate(sandbox)
        except EngineRefused as refused:
            attempt.progress.note(f"The cook starts in a sandbox of its own ({refused}).")
            return False
        return True

    @asynccontextmanager
    async def _sandbox(self, purpose: str, project: Project, step: FetchStep, attempt: Attempt) -> AsyncIterator[str]:
        """A sandbox in which the step has run; made as one of the cook is, but for its network."""
        image = project.plan.toolchain.facts.image_id
        made = attempt.sandboxes.sandbox(
            purpose, image, project.environment, self._access.network, in_memory=step.in_memory
        )
        async with made as sandbox:
            await attempt.sandboxes.run(sandbox, self._access.given(step.step), project.reader(attempt.progress))
            yield sandbox

    def _taken(self, sandbox: str, path: str) -> AbstractAsyncContextManager[Path]:
        return spooled(self._engine.get(sandbox, path), self._scratch, self._limit, setting="file_size")

    def _whole(self, digest: Digest) -> bytes | None:
        try:
            return self._blobs.read(digest)
        except (FileNotFoundError, DigestMismatch):
            return None

    def _complete(self, fetched: Fetched) -> bool:
        try:
            wanted = [Digest.parse(name) for name in fetched.blobs]
        except NotADigest:
            return False
        return not self._blobs.missing(wanted)


def _together(there: Fetched, parts: Iterable[Fetched]) -> Fetched:
    """What was there, and what came: that goes before an older file of its path, and all archives before all."""
    came = tuple(parts)
    files = {file.path: file for part in (there, *came) for file in part.files}
    archives = tuple(archive for part in came for archive in part.archives)
    return Fetched(files=tuple(files[path] for path in sorted(files)), archives=archives or there.archives)


def _does_not_do(failure: Failure) -> str:
    said, *_ = failure.detail.splitlines() or [""]
    return f"What was kept of earlier fetches does not do ({said}); all of it is fetched."


def _fetched_words(gathered: Gathered) -> str:
    total = gathered.missing + gathered.kept
    return f"Of {total} packages {gathered.kept} were here; {gathered.missing} had to be fetched."
