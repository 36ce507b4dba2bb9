"""Check: proves from an image's files, without running them, that it is what was promised; a command may start it, too.

It reads what was written, not what was meant: the layer, entry by entry, is compared with the list of contents, and the
loader's search is done once more with nothing but the image's own files.
"""

import asyncio
import hashlib
import json
import posixpath
import secrets
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cache.digest import Digest, DigestMismatch
from cache.tree import EntryKind, SourceTree
from daemon.builds import ContentEntry
from daemon.engine.engine import EngineImage, Exit, Limits, OutputSink, OutputStream, SandboxSpec
from daemon.engine.settled import to_the_end
from daemon.errors import CheckFailed, ImageGone, MissingLibrary
from daemon.image.architecture import Architecture
from daemon.image.assembled import AssembledImage
from daemon.image.blobs import Blobs
from daemon.image.closure import closure
from daemon.image.elf import ElfReader
from daemon.image.image_files import ImageFiles
from daemon.image.rootfs import Origin, RootFile
from daemon.image.roots import dynamic_roots

_CHUNK = 1 << 18
_TAIL = 4096
_SET_ID = 0o6000
_RUNNABLE = 0o111
_EMPTY = Digest.of(b"")
_PROGRAMS = (Origin.BINARY, Origin.INTERPRETER)
_OTHERS = (Origin.INCLUDED, Origin.PACKAGE)
_MAY_BE_SOURCES = (Origin.INCLUDED, Origin.APPLICATION)


class CheckImages(Protocol):
    """The part of an engine's images that is needed here."""

    async def inspect(self, reference: str) -> EngineImage | None:
        """The image, or None."""
        ...


class CheckSandboxes(Protocol):
    """The part of an engine's sandboxes that is needed here."""

    async def create(self, spec: SandboxSpec) -> str:
        """Create, not start; returns the id."""
        ...

    async def run(self, sandbox: str, sink: OutputSink, limits: Limits) -> Exit:
        """Start, pass all output on, wait for the end."""
        ...

    async def remove(self, sandbox: str) -> None:
        """Kill if need be and remove."""
        ...


class Checker:
    """Checks images from their files; reads ELF files with the reader that assembled them, which remembers them."""

    def __init__(
        self,
        blobs: Blobs,
        reader: ElfReader,
        architecture: Architecture,
    ) -> None:
        self._blobs = blobs
        self._reader = reader
        self._architecture = architecture

    async def check(self, image: AssembledImage, tree: SourceTree, sysroot_digests: Collection[str]) -> None:
        """All that can be proved without running anything; `CheckFailed` names everything that is wrong.

        `sysroot_digests` are SHA-256 as hexadecimal digits: the files of the toolchain that must not be shipped.
        `DigestMismatch` for a layer that was damaged on disk.
        """
        written = await asyncio.to_thread(_written, self._blobs, image)
        wrong = [
            *_differences(image.contents, written),
            *_from_sources(image.rootfs, tree),
            *_from_toolchain(image.rootfs, frozenset(sysroot_digests)),
            *_unexplained(image.rootfs),
            *_entrypoint(image),
            *await self._unresolved(image),
        ]
        if wrong:
            raise CheckFailed(f"{image.binary}: " + "; ".join(wrong), problems=list(wrong))

    async def _unresolved(self, image: AssembledImage) -> Sequence[str]:
        """What the loader would not find among the image's own files."""
        # the binary first: its loader says where the loader of the image looks
        own = [file for file in image.rootfs if file.origin in _PROGRAMS]
        own += [file for file in image.rootfs if file.origin in _OTHERS]
        roots = await dynamic_roots(own, self._reader, self._architecture)
        if not roots or own[0].path != roots[0].path:
            return ()
        try:
            await closure(roots, ImageFiles(image.rootfs), self._reader, self._architecture, "the image")
        except MissingLibrary as missing:
            return (missing.detail,)
        return ()


@dataclass(frozen=True, slots=True)
class _Written:
    """One entry of the layer as it is in the archive."""

    kind: str
    size: int
    mode: int
    digest: str | None
    target: str | None


def _written(blobs: Blobs, image: AssembledImage) -> Mapping[str, _Written]:
    """What the layers come to that the manifest leads to, read back, every file hashed."""
    manifest = json.loads(blobs.path(image.manifest_digest).read_bytes())
    config = json.loads(blobs.path(Digest.parse(manifest["config"]["digest"])).read_bytes())
    layers = [Digest.parse(layer["digest"]) for layer in manifest["layers"]]
    if config["rootfs"]["diff_ids"] != [str(layer) for layer in layers]:
        raise CheckFailed(f"{image.binary}: the layer is not the one that the configuration names")
    for layer in layers:
        # One that was written before may have been damaged since: it is dropped, and written again.
        if (found := Digest.of_file(blobs.path(layer))) != layer:
            raise DigestMismatch(layer, found)
    return {path: entry for layer in layers for path, entry in _entries(blobs.path(layer))}


def _entries(layer: Path) -> Iterator[tuple[str, _Written]]:
    with tarfile.open(layer, "r:") as archive:
        for member in archive:
            digest, kind = None, "directory" if member.isdir() else "symlink" if member.issym() else "special"
            if member.isreg():
                kind, content = "file", archive.extractfile(member)
                assert content is not None
                name = hashlib.sha256()
                while piece := content.read(_CHUNK):
                    name.update(piece)
                digest = f"sha256:{name.hexdigest()}"
            yield (
                "/" + member.name.rstrip("/"),
                _Written(kind, member.size, member.mode, digest, member.linkname or None),
            )


def _differences(contents: Sequence[ContentEntry], written: Mapping[str, _Written]) -> Iterator[str]:
    meant = {one.path: _Written(one.kind, one.size, one.mode, one.digest, one.target) for one in contents}
    for path in sorted(meant.keys() | written.keys()):
        if path not in meant:
            yield f"{path} is in the layer and nothing explains it"
        elif path not in written:
            yield f"{path} is in the list of contents and not in the layer"
        elif meant[path] != written[path]:
            yield f"{path} is in the layer with another content or mode than in the list of contents"


def _from_sources(files: Sequence[RootFile], tree: SourceTree) -> Iterator[str]:
    sources = {entry.digest: entry.path for entry in tree.files() if entry.digest != _EMPTY}
    for file in files:
        if file.digest in sources and file.origin not in _MAY_BE_SOURCES:
            yield f"{file.path} is {sources[file.digest]} of the source tree"


def _from_toolchain(files: Sequence[RootFile], sysroot: frozenset[str]) -> Iterator[str]:
    for file in files:
        if file.digest is not None and file.digest != _EMPTY and file.digest.hex in sysroot:
            yield f"{file.path} is a file of the Rust toolchain ({file.reason})"


def _unexplained(files: Sequence[RootFile]) -> Iterator[str]:
    for file in files:
        if not file.reason:
            yield f"{file.path} has no reason to be there"
        if file.kind is EntryKind.FILE and file.mode & _SET_ID:
            yield f"{file.path} would run with another user's rights"


def _entrypoint(image: AssembledImage) -> Iterator[str]:
    by_path = {file.path: file for file in image.rootfs}
    program = image.entrypoint[0]
    if "/" in program:
        wanted = [posixpath.normpath(posixpath.join(image.working_directory, program))]
    else:
        wanted = [posixpath.join(place, program) for place in image.environment["PATH"].split(":")]
    for path in wanted:
        file = by_path.get(path)
        if file is not None and (file.target is not None or (file.kind is EntryKind.FILE and file.mode & _RUNNABLE)):
            return
    yield f"the entrypoint {program} is no program in the image; its binary is /app/{image.binary}"


@dataclass(slots=True)
class _Tail:
    """The end of what was printed, both streams as they came."""

    text: bytearray = field(default_factory=bytearray)

    def take(self, _stream: OutputStream, piece: bytes) -> None:
        self.text += piece
        del self.text[:-_TAIL]

    def __str__(self) -> str:
        return self.text.decode("utf-8", "replace").strip()


async def run_check(
    images: CheckImages,
    sandboxes: CheckSandboxes,
    image: AssembledImage,
    command: Sequence[str],
    limits: Limits,
    *,
    labels: Mapping[str, str] | None = None,
) -> None:
    """Start the loaded image with this command in place of its entrypoint, without network; 0 is expected.

    `CheckFailed` with the end of the output for any other exit code; `ImageGone` if the image is not in the engine.
    """
    reference = str(image.image_id)
    if await images.inspect(reference) is None:
        raise ImageGone(f"{reference} is to be checked and is not in the engine")
    spec = SandboxSpec(
        name=f"bloomery-check-{secrets.token_hex(6)}",
        image=reference,
        command=tuple(command),
        labels=dict(labels or {}),
        limits=limits,
        working_directory=image.working_directory,
        user=image.user,
    )
    tail = _Tail()
    sandbox = await sandboxes.create(spec)
    try:
        ended = await sandboxes.run(sandbox, tail.take, limits)
    finally:
        await to_the_end(sandboxes.remove(sandbox))
    if ended.code != 0:
        why = "was killed for want of memory" if ended.out_of_memory else f"ended with exit code {ended.code}"
        raise CheckFailed(
            f"[check] command {' '.join(command)!r} {why}" + (f"; it printed: {tail}" if str(tail) else ""),
            exit_code=ended.code,
            output=str(tail),
        )
