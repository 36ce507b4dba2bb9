"""The files of an image as the loader in it would find them, by the same protocol as a toolchain image's.

`Overlay` puts what is included over the toolchain image while the image is made; `ImageFiles` is the finished image
alone, which is how the check resolves everything once more.
"""

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

from cache.digest import Digest
from cache.tree import TreeEntry
from daemon.image.rootfs import RootFile
from daemon.image.toolchain_files import ToolchainFile, ToolchainFiles

_MAGIC = b"\x7fELF"
_LONGEST_CHAIN = 16


class ImageFiles:
    """`ToolchainFiles` of an image's entries: no ld.so.conf counts in it, for it has no ld.so.cache."""

    def __init__(self, files: Iterable[RootFile]) -> None:
        self._files: Mapping[str, RootFile] = {file.path: file for file in files}

    async def file(self, path: str) -> ToolchainFile | None:
        """The regular file at a path, symbolic links followed."""
        at = path
        for _ in range(_LONGEST_CHAIN):
            found = self._files.get(at)
            if found is None:
                return None
            if found.digest is not None and found.source is not None:
                return ToolchainFile(path=path, digest=found.digest, size=found.size, source=found.source)
            if found.target is None:
                return None
            at = posixpath.normpath(posixpath.join(posixpath.dirname(at), found.target))
        return None

    async def directory(self, path: str) -> tuple[TreeEntry, ...] | None:
        """Not asked for in an image."""
        raise NotImplementedError(path)

    async def library_directories(self) -> tuple[str, ...]:
        """None."""
        return ()


class Overlay:
    """What is included first, then the toolchain image."""

    def __init__(self, included: Iterable[RootFile], below: ToolchainFiles) -> None:
        self._included = ImageFiles(included)
        self._below = below

    async def file(self, path: str) -> ToolchainFile | None:
        """The regular file at a path."""
        return await self._included.file(path) or await self._below.file(path)

    async def directory(self, path: str) -> tuple[TreeEntry, ...] | None:
        """All that is below a directory of the toolchain image."""
        return await self._below.directory(path)

    async def library_directories(self) -> tuple[str, ...]:
        """Those of the toolchain image."""
        return await self._below.library_directories()


def elf_magic(files: Iterable[RootFile]) -> list[tuple[str, Digest, Path]]:
    """Path, digest and source of each file that begins as an ELF file does. Blocks."""
    found = []
    for file in files:
        if file.digest is not None and file.source is not None and file.size > len(_MAGIC):
            with file.source.open("rb") as stream:
                if stream.read(len(_MAGIC)) == _MAGIC:
                    found.append((file.path, file.digest, file.source))
    return found
