"""The compile stage: the sources over the dependency layer, no network; out come binaries and nothing else."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.builds import Diagnostic, StageName
from daemon.ecosystems.ecosystem import Compiled, Project
from daemon.engine.engine import Sandboxes
from daemon.errors import BadOutput
from daemon.pipeline.assemble import CompiledBinary
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.spool import copied, regular_files, spooled


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileResult:
    """The binaries, by name, and what the compiler said."""

    binaries: Mapping[str, CompiledBinary]
    compiled: Compiled
    packages: tuple[str, ...]
    """`name version` of each package that was compiled."""
    diagnostics: tuple[Diagnostic, ...]


class CompileStage:
    """Compiles over a layer."""

    def __init__(self, *, engine: Sandboxes, blobs: BlobStore, scratch: Path, limit: int) -> None:
        self._engine = engine
        self._blobs = blobs
        self._scratch = scratch
        self._limit = limit

    async def compile(self, project: Project, layer: str, attempt: Attempt) -> CompileResult:
        """Compile in a new sandbox of the layer; `layer` is an image id."""
        step = project.compile()
        sandboxes, progress = attempt.sandboxes, attempt.progress
        reader = project.reader(progress)
        async with progress.stage(StageName.COMPILE), sandboxes.sandbox("compile", layer, step.environment) as sandbox:
            await sandboxes.run(sandbox, step, reader)
            compiled = project.compiled(reader)
            taken = self._engine.get(sandbox, compiled.taken)
            try:
                async with spooled(taken, self._scratch, self._limit, setting="binary") as archive:
                    files = await asyncio.to_thread(self._keep, archive, compiled)
            except FileNotFoundError:
                raise BadOutput(f"The build left nothing at {compiled.taken}, where its binaries should be.") from None
        return CompileResult(
            binaries={name: self._binary(name, files) for name in compiled.binaries},
            compiled=compiled,
            packages=reader.compiled(),
            diagnostics=tuple(reader.diagnostics),
        )

    def _keep(self, archive: Path, compiled: Compiled) -> dict[str, tuple[Digest, int]]:
        home = PurePosixPath(compiled.taken).name
        wanted = {f"{home}/{name}{end}": f"{name}{end}" for name in compiled.binaries for end in ("", ".debug")}
        kept: dict[str, tuple[Digest, int]] = {}
        with self._blobs.staging() as staging:
            staged: dict[Digest, Path] = {}
            for path, size, content in regular_files(archive):
                name = wanted.get(str(PurePosixPath(path)))
                if name is not None:
                    file = staging / str(len(staged))
                    kept[name] = (copied(content, file), size)
                    staged[kept[name][0]] = file
            self._blobs.adopt(staged)
        return kept

    def _binary(self, name: str, files: Mapping[str, tuple[Digest, int]]) -> CompiledBinary:
        if name not in files:
            raise BadOutput(f"The build left no regular file as its binary {name}.")
        digest, size = files[name]
        symbols = files.get(f"{name}.debug")
        return CompiledBinary(name=name, digest=digest, size=size, symbols=symbols[0] if symbols else None)
