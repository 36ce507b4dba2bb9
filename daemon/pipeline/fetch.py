"""The fetch stage: the only step with a network. It sees skeleton, lock, and a configuration that the daemon wrote.

What it brings is kept by content, under the project's fetch key; where all of it is held, no step runs.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch, NotADigest
from daemon.ecosystems.ecosystem import SOURCE_TIME, Fetched, Fetching, FetchStep, Step, StepReader
from daemon.engine.engine import Network, Sandboxes
from daemon.pipeline.sandboxes import BuildSandboxes
from daemon.pipeline.spool import spooled
from daemon.tarball import Member

CA_BUNDLE = "/bloomery/ca.pem"


class FetchIndex(Protocol):
    """Which blobs hold what was fetched, and the locks that were made."""

    async def fetched(self, key: Digest) -> Digest | None:
        """The blob that lists what was fetched under this key."""
        ...

    async def record_fetched(self, key: Digest, listing: Digest) -> None:
        """Remember it."""
        ...

    async def made_lock(self, key: Digest) -> Digest | None:
        """The lock that was made under this key."""
        ...

    async def record_made_lock(self, key: Digest, lock: Digest) -> None:
        """Remember it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAccess:
    """How the fetch step reaches the world: from `[network]`, resolved at start."""

    network: Network = Network.BRIDGE
    ca_bundle: bytes = b""
    environment: Mapping[str, str] | None = None
    """Proxies, as `https_proxy` and the like."""


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

    async def kept_lock(self, fetching: Fetching) -> bytes | None:
        """The lock that was made for the same manifests before."""
        key = fetching.lock_key()
        digest = await self._index.made_lock(key) if key else None
        if digest is None:
            return None
        return await asyncio.to_thread(self._whole, digest)

    async def make_lock(self, fetching: Fetching, sandboxes: BuildSandboxes, image: str, reader: StepReader) -> bytes:
        """Let the package manager make a lock; it is kept for the next build of the same manifests."""
        key = fetching.lock_key()
        assert key is not None
        step = fetching.lock_step()
        async with sandboxes.sandbox("lock", image, self._environment(step.step), self._access.network) as sandbox:
            await sandboxes.run(sandbox, self._with_access(step.step), reader)
            async with spooled(self._engine.get(sandbox, step.take[0]), self._scratch, self._limit) as archive:
                lock = await asyncio.to_thread(fetching.made_lock, archive)
        digest = await asyncio.to_thread(self._blobs.put, lock)
        await self._index.record_made_lock(key, digest)
        return lock

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

    async def fetch(self, fetching: Fetching, sandboxes: BuildSandboxes, image: str, reader: StepReader) -> Fetched:
        """Run the step and keep what it brings."""
        step = fetching.step(Fetched())
        fetched = Fetched() if step is None else await self._run(step, fetching, sandboxes, image, reader)
        listing = await asyncio.to_thread(self._blobs.put, msgspec.json.encode(fetched))
        await self._index.record_fetched(fetching.key(), listing)
        return fetched

    async def _run(
        self, step: FetchStep, fetching: Fetching, sandboxes: BuildSandboxes, image: str, reader: StepReader
    ) -> Fetched:
        parts: list[Fetched] = []
        async with sandboxes.sandbox("fetch", image, self._environment(step.step), self._access.network) as sandbox:
            await sandboxes.run(sandbox, self._with_access(step.step), reader)
            for path in step.take:
                try:
                    async with spooled(self._engine.get(sandbox, path), self._scratch, self._limit) as archive:
                        parts.append(await asyncio.to_thread(fetching.admit, path, archive))
                except FileNotFoundError:
                    continue  # nothing of this kind was fetched
        return Fetched(
            files=tuple(file for part in parts for file in part.files),
            archives=tuple(archive for part in parts for archive in part.archives),
        )

    def _environment(self, step: Step) -> Mapping[str, str]:
        bundle = dict.fromkeys(("CARGO_HTTP_CAINFO", "GIT_SSL_CAINFO", "SSL_CERT_FILE"), CA_BUNDLE)
        return {
            **step.environment,
            **(bundle if self._access.ca_bundle else {}),
            **(self._access.environment or {}),
        }

    def _with_access(self, step: Step) -> Step:
        """The step with the CA bundle beside its script."""
        if not self._access.ca_bundle:
            return step
        bundle = Member(path=CA_BUNDLE, mode=0o644, mtime=SOURCE_TIME, content=self._access.ca_bundle)
        return Step(script=step.script, members=(bundle, *step.members), environment=step.environment)

    def _whole(self, digest: Digest) -> bytes | None:
        try:
            return self._blobs.read(digest)
        except (FileNotFoundError, DigestMismatch):
            return None

    def _complete(self, fetched: Fetched) -> bool:
        try:
            wanted = [Digest.parse(name) for name in _names(fetched)]
        except NotADigest:
            return False
        return not self._blobs.missing(wanted)


def _names(fetched: Fetched) -> Iterable[str]:
    yield from (file.digest for file in fetched.files)
    yield from fetched.archives
