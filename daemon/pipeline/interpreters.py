"""The interpreters of toolchain images, as runtime images have them: looked up once, and made ready ahead of builds.

Taking a standard library out of a toolchain image takes seconds, and it is the same for every build with it. So
it is taken behind the answers, when a toolchain is first seen; a build that comes sooner takes it itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cache.blobs import BlobStore
from daemon.behind import Behind
from daemon.image.architecture import Architecture
from daemon.image.closure import Library, closure
from daemon.image.elf import ElfReader
from daemon.image.image_files import Overlay
from daemon.image.interpreter import interpreter
from daemon.image.library_source import LibrarySource
from daemon.image.rootfs import RootFile, complete, libraries
from daemon.image.roots import dynamic_roots
from daemon.image.toolchain_files import ToolchainFiles
from daemon.keyed_locks import KeyedLocks
from daemon.toolchains.toolchain import Toolchain

_MOST = 8
"""Interpreters that are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The program first, then its library; what these need; and the whole layer, complete and sorted."""

    files: tuple[RootFile, ...]
    libraries: tuple[Library, ...]
    layer: tuple[RootFile, ...]


class Interpreters:
    """Looks them up."""

    def __init__(
        self, *, blobs: BlobStore, source: LibrarySource, reader: ElfReader, architecture: Architecture, behind: Behind
    ) -> None:
        self._blobs = blobs
        self._source = source
        self._reader = reader
        self._architecture = architecture
        self._behind = behind
        self._known: dict[str, Interpreter] = {}
        self._asked: set[str] = set()
        self._one_at_a_time = KeyedLocks()

    def put(self, toolchain: Toolchain) -> None:
        """To be made ready when there is time, if it has a Python and never was; returns at once."""
        image = toolchain.facts.image_id
        if toolchain.facts.python is not None and image not in self._asked:
            self._asked.add(image)
            self._behind.put("interpreter", toolchain.name, partial(self._ready, toolchain))

    async def of(self, toolchain: Toolchain, files: ToolchainFiles) -> Interpreter:
        """The interpreter of a toolchain that has one; `files` are its image's."""
        image = toolchain.facts.image_id
        async with self._one_at_a_time.hold(image):
            known = self._known.get(image)
            if known is None or not await asyncio.to_thread(self._whole, known):
                known = await self._found(toolchain, files)
                self._known = dict([*self._known.items(), (image, known)][-_MOST:])
            return known

    async def needed(
        self, roots: Sequence[RootFile], more: Sequence[RootFile], files: ToolchainFiles, toolchain: Toolchain
    ) -> tuple[Library, ...]:
        """What the programs and libraries among these need."""
        found = await dynamic_roots((*roots, *more), self._reader, self._architecture)
        image = f"toolchain image {toolchain.image_reference}"
        return tuple(await closure(found, Overlay((*roots, *more), files), self._reader, self._architecture, image))

    async def _ready(self, toolchain: Toolchain) -> None:
        try:
            async with self._source.open(toolchain.facts.image_id) as files:
                await self.of(toolchain, files)
        except BaseException:
            self._asked.discard(toolchain.facts.image_id)
            raise

    async def _found(self, toolchain: Toolchain, files: ToolchainFiles) -> Interpreter:
        python = toolchain.facts.python
        assert python is not None
        own = await interpreter(python, files, self._blobs)
        below = await self.needed(own, (), files, toolchain)
        return Interpreter(files=own, libraries=below, layer=complete([*own, *libraries(below)]))

    def _whole(self, known: Interpreter) -> bool:
        return not self._blobs.missing(file.digest for file in known.layer if file.digest is not None)
