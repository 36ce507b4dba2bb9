"""What making an image asks of the toolchain image: single files, directories, and where its loader looks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cache.digest import Digest
from cache.tree import TreeEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolchainFile:
    """A regular file, found under `path` or where the symbolic link there leads; its content is a blob."""

    path: str
    digest: Digest
    size: int
    source: Path


class ToolchainFiles(Protocol):
    """The files of one toolchain image; paths are absolute."""

    async def file(self, path: str) -> ToolchainFile | None:
        """The regular file at a path, symbolic links followed; None where there is none."""
        ...

    async def directory(self, path: str) -> tuple[TreeEntry, ...] | None:
        """All that is below a directory, with paths relative to it, sorted; every file is a blob."""
        ...

    async def library_directories(self) -> tuple[str, ...]:
        """The directories of /etc/ld.so.conf, in order."""
        ...
