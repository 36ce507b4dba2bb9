"""The sandboxes of one build: named and labelled as recovery expects, and gone when the build is over.

A container takes a tenth of a second and more to remove, so removal starts when a stage is done with it and goes on
beside the next stages; the end of the build waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Self

import structlog

from cache.errors import Failure
from daemon.builds import Build
from daemon.ecosystems.step import SOURCE_TIME, Step, StepReader
from daemon.engine.engine import Limits, Network, Sandboxes, SandboxSpec
from daemon.engine.settled import to_the_end
from daemon.errors import EngineUnavailable, OutOfMemory, StillConnected
from daemon.tarball import Member, stream

STEP = "/bloomery/step"
_CONNECTED = 199
_PROVE_ISOLATION = f"""\
for routes in /proc/net/route /proc/net/ipv6_route; do
    [ -e "$routes" ] || continue
    while read -r route; do case "$route" in Iface* | *" lo") ;; *) exit {_CONNECTED} ;; esac done < "$routes"
done
"""
"""A sandbox without a network has no route, or only some to itself; the last word of an IPv6 route is its device."""
INSTANCE_LABEL = "bloomery.instance"
"""Whose container or image it is: the daemon's instance, one for each state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """What all sandboxes of a daemon have in common."""

    instance: str
    limits: Limits
    runtime: str | None = None
    removal_pauses: tuple[float, ...] = (0.2, 1.0)
    """Seconds before each further try to remove a sandbox while the engine does not answer."""


class BuildSandboxes:
    """Makes and removes the sandboxes of one attempt at a build; an async context that leaves none behind."""

    def __init__(self, engine: Sandboxes, settings: SandboxSettings, build: Build) -> None:
        self._engine = engine
        self._settings = settings
        self._build = build
        self._removals: set[asyncio.Task[None]] = set()
        self._isolated: set[str] = set()
        self._kept: set[str] = set()
        self._made = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.removed()

    async def removed(self) -> None:
        """Wait until no sandbox is left that a stage is done with; a cancellation waits for that, too."""
        await to_the_end(self._removed())

    async def _removed(self) -> None:
        while self._removals:
            await asyncio.gather(*self._removals)
            self._removals = {removal for removal in self._removals if not removal.done()}

    @property
    def labels(self) -> Mapping[str, str]:
        """What every container and image of this attempt carries."""
        return {
            INSTANCE_LABEL: self._settings.instance,
            "bloomery.build": self._build.id,
            "bloomery.attempt": str(self._build.attempt),
        }

    @asynccontextmanager
    async def sandbox(
        self,
        purpose: str,
        image: str,
        environment: Mapping[str, str],
        network: Network = Network.NONE,
        *,
        in_memory: tuple[str, ...] = (),
    ) -> AsyncIterator[str]:
        """A created container that runs the step file; removed however the block ends."""
        self._made += 1
        whose = f"bloomery-{self._settings.instance[:8]}-{self._build.id}-{self._build.attempt}"
        spec = SandboxSpec(
            name=f"{whose}-{self._made}-{purpose}",
            image=image,
            command=("/bin/sh", STEP),
            environment=environment,
            labels={**self.labels, "bloomery.step": purpose},
            network=network,
            in_memory=in_memory,
            limits=self._settings.limits,
            runtime=self._settings.runtime,
            working_directory="/",
        )
        async with self.adopted(await self.create(spec)) as sandbox:
            yield sandbox

    @asynccontextmanager
    async def adopted(self, sandbox: str) -> AsyncIterator[str]:
        """A container of an earlier attempt, or of this one; removed however the block ends, unless it is kept."""
        try:
            yield sandbox
        finally:
            if sandbox not in self._kept:
                await self.remove(sandbox)

    def keep(self, sandbox: str) -> None:
        """Leave a sandbox where it is, for later builds: somebody has it on record."""
        self._kept.add(sandbox)

    async def create(self, spec: SandboxSpec) -> str:
        """Create a sandbox; one that nobody is told of, because of a cancellation or a lost answer, is removed."""
        creation = asyncio.ensure_future(self._engine.create(spec))
        try:
            return await asyncio.shield(creation)
        except asyncio.CancelledError:
            self._removals.add(asyncio.ensure_future(self._remove_created(creation)))
            raise
        except EngineUnavailable:
            self._removals.add(asyncio.ensure_future(self._remove(spec.name)))
            raise

    async def remove(self, sandbox: str) -> None:
        """Begin to remove a sandbox; the end of the attempt waits for it."""
        self._removals.add(asyncio.ensure_future(self._remove(sandbox)))

    async def isolate(self, sandbox: str) -> None:
        """Take a sandbox off its network for good; each later step there proves it before anything else runs."""
        await self._engine.isolate(sandbox)
        self._isolated.add(sandbox)

    async def run(self, sandbox: str, step: Step, reader: StepReader) -> float:
        """Put a step in and run it; returns its seconds. Raises what the reader makes of a non-zero end.

        `StillConnected` where an isolated sandbox has a network after all: nothing of the step has run then.
        """
        script = _PROVE_ISOLATION + step.script if sandbox in self._isolated else step.script
        await self._engine.put(sandbox, stream(chain(step_members(script), step.members)))
        try:
            ended = await self._engine.run(sandbox, reader.feed, self._settings.limits)
        finally:
            reader.close()
        if ended.code == _CONNECTED and sandbox in self._isolated:
            raise StillConnected("The engine gave a sandbox its network again.")
        if ended.code:
            failure = reader.failure(ended.code)
            if ended.out_of_memory and not isinstance(failure, OutOfMemory):
                bound = self._settings.limits.memory >> 20
                raise OutOfMemory(f"The step needed more than {bound} MiB: raise [limits] memory.") from failure
            raise failure
        return ended.seconds

    async def _remove_created(self, creation: asyncio.Future[str]) -> None:
        try:
            sandbox = await creation
        except Failure:
            return
        await self._remove(sandbox)

    async def _remove(self, sandbox: str) -> None:
        try:
            for pause in self._settings.removal_pauses:
                with suppress(EngineUnavailable):
                    return await self._engine.remove(sandbox)
                await asyncio.sleep(pause)
            await self._engine.remove(sandbox)
        except Failure as failure:
            # Recovery reaps it by its label when the daemon starts again.
            structlog.get_logger().warning(
                "sandbox.not_removed", sandbox=sandbox, kind=failure.kind, detail=failure.detail
            )


def step_members(script: str) -> Iterable[Member]:
    """The step file and its directory."""
    yield Member(path="bloomery", mode=0o755, mtime=SOURCE_TIME)
    yield Member(path=STEP, mode=0o755, mtime=SOURCE_TIME, content=script.encode())
