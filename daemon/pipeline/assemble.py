"""Assemble: a compiled binary becomes a runtime image that holds it and exactly what it needs.

The daemon writes the image itself: layer, configuration and manifest are blobs, and their digests follow from the
binary, the settings and the toolchain image alone.
"""

import asyncio
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cache.digest import Digest
from cache.tree import SourceTree
from daemon.builds import ImageSettings, Link
from daemon.errors import BadOutput, NotStatic
from daemon.image import manifest
from daemon.image.architecture import Architecture
from daemon.image.assembled import AssembledImage
from daemon.image.blobs import Blobs
from daemon.image.closure import Library, Root, closure
from daemon.image.elf import Elf, ElfInput, ElfReader
from daemon.image.image_files import Overlay, elf_magic
from daemon.image.includes import Inclusion
from daemon.image.library_source import LibrarySource
from daemon.image.rootfs import (
    APP,
    CERTIFICATES,
    Origin,
    RootFile,
    accounts,
    complete,
    libraries,
    places,
    stored,
)
from daemon.image.toolchain_files import ToolchainFiles
from daemon.image.wishes import unmet
from daemon.image.written import write_image
from daemon.toolchains.toolchain import Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledBinary:
    """What a compile left: stripped, a blob. `size` in bytes; `symbols` are the debug symbols that were taken off."""

    name: str
    digest: Digest
    size: int
    symbols: Digest | None = None


class Assembler:
    """Makes images for one architecture, with libraries from toolchain images."""

    def __init__(self, blobs: Blobs, source: LibrarySource, reader: ElfReader, architecture: Architecture) -> None:
        self._blobs = blobs
        self._source = source
        self._reader = reader
        self._architecture = architecture

    async def assemble(
        self,
        output: CompiledBinary,
        settings: ImageSettings,
        link: Link,
        tree: SourceTree,
        toolchain: Toolchain,
        *,
        directory: str = "",
    ) -> AssembledImage:
        """Assemble one image; `directory` is where in the tree `include` starts from.

        Raises `BadImageSettings`, `BadOutput`, `NotStatic`, `MissingAsset` and `MissingLibrary`.
        """
        plan = manifest.plan(output.name, settings)
        binary = Root(path=posixpath.join(APP, output.name), elf=await self._binary(output, link))
        inclusion = Inclusion(self._blobs, self._architecture, toolchain.name)
        async with self._source.open(toolchain.facts.image_id) as files:
            included = await inclusion.files(plan.include, tree, directory, plan.working_directory, files)
            roots = (binary, *(await self._included_roots(included) if not binary.elf.static else ()))
            image = f"toolchain image {toolchain.image_reference}"
            found = await closure(roots, Overlay(included, files), self._reader, self._architecture, image)
            certificates, warnings = await self._certificates(inclusion, binary, found, included, files)
        entries = [
            stored(
                binary.path,
                Origin.BINARY,
                f"binary {output.name}",
                digest=output.digest,
                size=output.size,
                source=self._blobs.path(output.digest),
                mode=0o755,
            ),
            *libraries(_not_included(found, included)),
            *included,
            *certificates,
            *places(plan.account, plan.working_directory),
            *(() if binary.elf.static else accounts(plan.account)),
        ]
        rootfs = complete(entries)
        trusted = any(file.path == CERTIFICATES for file in rootfs)
        extra = {"SSL_CERT_FILE": CERTIFICATES} if trusted else {}
        written = await asyncio.to_thread(
            write_image, (rootfs,), rootfs, plan, extra, architecture=self._architecture, blobs=self._blobs
        )
        return AssembledImage(
            binary=output.name,
            manifest_digest=written.manifest,
            image_id=written.config,
            layers=tuple(layer.digest for layer in written.layers),
            listing=written.listing,
            rootfs=rootfs,
            symbols=output.symbols,
            entrypoint=plan.entrypoint,
            user=plan.account.user,
            working_directory=plan.working_directory,
            environment={**extra, **plan.environment},
            warnings=(*warnings, *unmet(roots, found, rootfs)),
        )

    async def _binary(self, output: CompiledBinary, link: Link) -> Elf:
        (elf,) = await self._reader.read((ElfInput(output.digest, self._blobs.path(output.digest), output.name),))
        if elf.machine != self._architecture.machine:
            raise BadOutput(
                f"{output.name} is for {elf.machine}, and images here are for {self._architecture.machine}; build it "
                "for this machine's target",
                file=output.name,
                machine=elf.machine,
            )
        if not elf.executable:
            raise BadOutput(
                f"{output.name} is an ELF file of type {elf.type} that nothing can start: a library, not a program",
                file=output.name,
            )
        if link is Link.STATIC and not elf.static:
            needed = [*elf.needed, *([elf.interpreter] if elf.interpreter else [])]
            raise NotStatic(
                f"{output.name} was to be linked statically, and still needs {', '.join(needed)}; these exist only as "
                'shared objects: use link = "dynamic", or a crate feature that builds the library from source',
                libraries=list(needed),
            )
        return elf

    async def _included_roots(self, included: Iterable[RootFile]) -> Sequence[Root]:
        """The ELF files for this machine among what is included: what they need has to be there, too."""
        candidates = await asyncio.to_thread(elf_magic, included)
        inputs = [ElfInput(digest, source, path) for path, digest, source in candidates]
        elves = zip(candidates, await self._reader.look(inputs), strict=True)
        return [
            Root(path=path, elf=elf)
            for (path, _, _), elf in elves
            if elf is not None and elf.machine == self._architecture.machine and elf.dynamic
        ]

    async def _certificates(
        self,
        inclusion: Inclusion,
        binary: Root,
        found: Iterable[Library],
        included: Iterable[RootFile],
        files: ToolchainFiles,
    ) -> tuple[tuple[RootFile, ...], tuple[str, ...]]:
        """The CA bundle, where TLS is linked into the binary or into a library that it needs."""
        why = binary.elf.speaks_tls or next(
            (one.elf.soname or one.path for one in found if one.elf.is_tls_library), None
        )
        if why is None or any(file.path == CERTIFICATES for file in included):
            return (), ()
        file = await inclusion.certificates(files, why)
        if file is None:
            return (), (f"TLS is linked ({why}), and the toolchain image has no CA bundle: {CERTIFICATES} is missing",)
        return (file,), ()


def _not_included(found: Iterable[Library], included: Iterable[RootFile]) -> list[Library]:
    """Libraries that the image holds already because they were included are not put there twice."""
    there = {file.path for file in included}
    return [library for library in found if library.path not in there]
