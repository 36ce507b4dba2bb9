"""The programs and libraries among an image's files whose own needs have to be met."""

import asyncio
from collections.abc import Iterable

from daemon.image.architecture import Architecture
from daemon.image.closure import Root
from daemon.image.elf import ElfInput, ElfReader
from daemon.image.image_files import elf_magic
from daemon.image.rootfs import RootFile


async def dynamic_roots(files: Iterable[RootFile], reader: ElfReader, architecture: Architecture) -> list[Root]:
    """The ELF files for this machine that need a loader, in the order of `files`."""
    found = await asyncio.to_thread(elf_magic, files)
    elves = await reader.look([ElfInput(digest, source, path) for path, digest, source in found])
    return [
        Root(path=path, elf=elf)
        for (path, _, _), elf in zip(found, elves, strict=True)
        if elf is not None and elf.machine == architecture.machine and elf.dynamic
    ]
