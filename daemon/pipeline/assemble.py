"""Assemble: a compiled binary becomes a runtime image that holds it and exactly what it needs.

The daemon writes the image itself: layer, configuration and manifest are blobs, and their digests follow from the
binary, the settings and the toolchain image alone.
"""

import asyncio
import posixpath
from dataclasses import dataclass

from cache.digest import Digest
from cache.tree import SourceTree
from daemon.builds import ImageSettings, Link
from daemon.errors import BadOutput, NotStatic
from daemon.image import manifest
from daemon.image.architecture import Architecture
from daemon.image.assembled import AssembledImage
from daemon.image.blobs import Blobs
from daemon.image.closure import Root, closure, not_included, tls_library
from daemon.image.elf import Elf, ElfInput, ElfReader
from daemon.image.image_files import Overlay
from daemon.image.includes import Inclusion
from daemon.image.library_source import LibrarySource
from daemon.image.rootfs import (
    APP,
    CERTIFICATES,
    Origin,
    accounts,
    complete,
    libraries,
    places,
    stored,
)
from daemon.image.roots import dynamic_roots
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
            roots = (
                binary,
                *(await dynamic_roots(included, self._reader, self._architecture) if not binary.elf.static else ()),
            )
            image = f"toolchain image {toolchain.image_reference}"
            found = await closure(roots, Overlay(included, files), self._reader, self._architecture, image)
            why = binary.elf.speaks_tls or tls_library(found)
            certificates, warnings = await inclusion.trust(files, why, included)
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
            *libraries(not_included(found, {file.path for file in included})),
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
