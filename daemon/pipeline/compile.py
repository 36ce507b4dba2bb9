"""The compile stage: the sources over a dependency layer, stored units or the lineage's last compile; no network.

Out come binaries, and what has to be known for going on in the same sandbox; nothing else. Whether access times tell
what a compile has read is found out beside it, once for an engine.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Protocol

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.errors import Blame, Failure
from daemon.builds import Diagnostic, StageName
from daemon.ecosystems.ecosystem import CompiledProject
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.step import Compiled, Reads, Recompile, Remembered, Step, StepReader
from daemon.engine.engine import Sandboxes
from daemon.errors import BadOutput
from daemon.image.elf import ElfInput, ElfReader
from daemon.pipeline.assemble import CompiledBinary
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.spool import copied, regular_files, spooled
from daemon.tarball import Member
from daemon.units.cook import LiveUnit
from daemon.units.holdings import Told


class AccessTimes(Protocol):
    """What is known of the engine's access times."""

    async def reads(self, image: str) -> Reads:
        """Whether they tell what was read; where that is unknown, it is tried in a sandbox of this toolchain image."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileResult:
    """The binaries, by name, and what the compiler said."""

    binaries: Mapping[str, CompiledBinary]
    compiled: Compiled
    spent: Mapping[str, float]
    """`name version` of each package that was compiled, and the seconds that it took."""
    reused: tuple[str, ...]
    """`name version` of each dependency that was not."""
    live: tuple[LiveUnit, ...]
    """The units of dependencies that cargo named."""
    diagnostics: tuple[Diagnostic, ...]
    opened: frozenset[str] | None = None
    """The files of the tree that any step may have read which made the binaries; None: nobody knows which."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the compile has to say."""
        return self.compiled.notes

    @property
    def written(self) -> frozenset[Digest]:
        """The binaries."""
        return frozenset(binary.digest for binary in self.binaries.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A stopped sandbox in which the lineage's next compile can go on, and what has to be known of it."""

    sandbox: str
    remembered: Remembered
    told: Told


@dataclass(frozen=True, slots=True)
class _Run:
    """A compile that ended well."""

    sandbox: str
    reader: StepReader
    reads: "asyncio.Task[Reads]"
    again: Recompile | None = None


Keep = Callable[[Left], Awaitable[None]]
"""Puts a sandbox on record; one that is on no record is removed."""


class CompileStage:
    """Compiles over a layer or over units, or goes on in a workspace."""

    def __init__(
        self,
        *,
        engine: Sandboxes,
        access_times: AccessTimes,
        blobs: BlobStore,
        reader: ElfReader,
        scratch: Path,
        limit: int,
    ) -> None:
        self._engine = engine
        self._access_times = access_times
        self._blobs = blobs
        self._reader = reader
        self._scratch = scratch
        self._limit = limit

    async def compile(self, project: CompiledProject, layer: str, attempt: Attempt, keep: Keep) -> CompileResult:
        """Compile in a new sandbox of the layer, an image id; only one that compiled is kept."""
        return await self._anew(project, layer, project.compiling.step(), attempt, keep)

    async def over_units(
        self, project: CompiledProject, fetched: Fetched, units: Iterable[Member], attempt: Attempt, keep: Keep
    ) -> CompileResult:
        """Compile in a new sandbox of the toolchain image, into which all goes that a cook would get."""
        step = project.compiling.step(fetched)
        step = replace(step, members=chain(step.members, units))
        return await self._anew(project, project.plan.toolchain.facts.image_id, step, attempt, keep)

    async def again(
        self, project: CompiledProject, sandbox: str, again: Recompile, attempt: Attempt, keep: Keep
    ) -> CompileResult:
        """Go on in the sandbox of the lineage's last compile; it is kept also where the sources do not compile."""
        async with attempt.progress.stage(StageName.COMPILE), self._reads(project) as reads:
            reader = project.reader(attempt.progress)
            run = _Run(sandbox, reader, reads, again)
            if again.clear is not None:
                await attempt.sandboxes.run(sandbox, again.clear, project.reader(attempt.progress))
            try:
                await attempt.sandboxes.run(sandbox, again.step, reader)
            except Failure as failure:
                spoilt = again.given and project.compiling.may_be_given(failure)
                if failure.blame is Blame.SOURCE and not spoilt:
                    await self._keep_unfinished(project, run, keep)
                raise
            return await self._result(project, run, attempt, keep)

    @asynccontextmanager
    async def _reads(self, project: CompiledProject) -> "AsyncIterator[asyncio.Task[Reads]]":
        """Whether access times tell what is read, found out meanwhile."""
        asking = asyncio.create_task(self._access_times.reads(project.plan.toolchain.facts.image_id))
        try:
            yield asking
        finally:
            asking.cancel()
            await asyncio.wait({asking})

    async def _anew(
        self, project: CompiledProject, image: str, step: Step, attempt: Attempt, keep: Keep
    ) -> CompileResult:
        async with (
            attempt.progress.stage(StageName.COMPILE),
            self._reads(project) as reads,
            attempt.sandboxes.sandbox("compile", image, step.environment) as sandbox,
        ):
            reader = project.reader(attempt.progress)
            await attempt.sandboxes.run(sandbox, step, reader)
            return await self._result(project, _Run(sandbox, reader, reads), attempt, keep)

    async def _result(self, project: CompiledProject, run: _Run, attempt: Attempt, keep: Keep) -> CompileResult:
        compiled = project.compiling.compiled(run.reader, run.again)
        async with self._reader.ahead() as child:
            async with self._taken(run.sandbox, compiled.taken) as archive:
                attempt.publishing.begin()  # now the engine has nothing else to do
                files = await asyncio.to_thread(self._keep, archive, compiled)
                remembered = await asyncio.to_thread(project.compiling.remembered, archive, await run.reads, run.again)
            binaries = {name: self._binary(name, files) for name in compiled.binaries}
            if remembered is not None:
                await keep(Left(sandbox=run.sandbox, remembered=remembered, told=_told(project, run.reader)))
            # The assembler asks for these facts; the reader remembers them.
            await self._reader.look([self._input(binary) for binary in binaries.values()], child)
        return CompileResult(
            binaries=binaries,
            compiled=compiled,
            spent=run.reader.compiled(),
            reused=run.reader.reused(),
            live=project.cooking.live(run.reader),
            diagnostics=tuple(run.reader.diagnostics),
            opened=remembered.opened if remembered is not None else None,
        )

    async def _keep_unfinished(self, project: CompiledProject, run: _Run, keep: Keep) -> None:
        async with self._taken(run.sandbox, project.compiling.leaves) as archive:
            remembered = await asyncio.to_thread(project.compiling.remembered, archive, await run.reads, run.again)
        if remembered is not None:
            told = replace(_told(project, run.reader), finished=False)
            await keep(Left(sandbox=run.sandbox, remembered=remembered, told=told))

    @asynccontextmanager
    async def _taken(self, sandbox: str, path: str) -> AsyncIterator[Path]:
        """What a compile left, as a tar."""
        taken = self._engine.get(sandbox, path)
        try:
            async with spooled(taken, self._scratch, self._limit, setting="binary") as archive:
                yield archive
        except FileNotFoundError:
            raise BadOutput(f"The build left nothing at {path}, where its binaries should be.") from None

    def _keep(self, archive: Path, compiled: Compiled) -> dict[str, tuple[Digest, int]]:
        home = PurePosixPath(compiled.taken).name
        wanted = {f"{home}/{name}{end}": f"{name}{end}" for name in compiled.binaries for end in ("", ".debug")}
        kept: dict[str, tuple[Digest, int]] = {}
        with self._blobs.staging() as staging:
            staged: dict[Digest, Path] = {}
            for number, (path, size, content) in enumerate(regular_files(archive)):
                name = wanted.get(str(PurePosixPath(path)))
                if name is not None:
                    file = staging / str(number)
                    kept[name] = (copied(content, file), size)
                    staged[kept[name][0]] = file
            self._blobs.adopt(staged)
        return kept

    def _input(self, binary: CompiledBinary) -> ElfInput:
        return ElfInput(binary.digest, self._blobs.path(binary.digest), binary.name)

    def _binary(self, name: str, files: Mapping[str, tuple[Digest, int]]) -> CompiledBinary:
        if name not in files:
            raise BadOutput(f"The build left no regular file as its binary {name}.")
        digest, size = files[name]
        symbols = files.get(f"{name}.debug")
        return CompiledBinary(name=name, digest=digest, size=size, symbols=symbols[0] if symbols else None)


def _told(project: CompiledProject, reader: StepReader) -> Told:
    return Told(live=project.cooking.live(reader))
