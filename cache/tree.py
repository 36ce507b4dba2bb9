"""A source tree as a value: every file a blob named by its content, and one digest for the whole.

Three doors lead here (a tar stream, a listing, later a git URL) and the same sources give the same tree through each,
so nothing that a door may lose is part of it: no times, no owners, of the mode only whether a file is executable, and
a directory only where it is empty. The client computes the digest too, so this module imports nothing heavy.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from cache.digest import Digest


class EntryKind(StrEnum):
    """What a path in a tree can be."""

    FILE = "file"
    SYMLINK = "symlink"
    DIRECTORY = "directory"
    """Only an empty directory is an entry; others follow from what is in them."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One path of a source tree.

    `path` is relative, in NFC, with `/` between components. `digest` and `size` (bytes) are a file's; `target` is a
    symbolic link's, as written.
    """

    path: str
    kind: EntryKind
    size: int = 0
    executable: bool = False
    digest: Digest | None = None
    target: str = ""

    def line(self) -> bytes:
        """The entry's line in the text that the tree's digest is taken of."""
        mode = "755" if self.executable else "644"
        what = self.target if self.kind is EntryKind.SYMLINK else str(self.digest or "")
        return f"{self.kind} {mode} {what}\0{self.path}\n".encode()


@dataclass(frozen=True, slots=True)
class SourceTree:
    """A whole source tree; `entries` are sorted by the bytes of their paths, each path once."""

    entries: tuple[TreeEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[TreeEntry]) -> "SourceTree":
        """Put entries into their order."""
        return cls(tuple(sorted(entries, key=lambda entry: entry.path.encode())))

    @property
    def digest(self) -> Digest:
        """The name of the tree: SHA-256 of its entries' lines in order."""
        text = hashlib.sha256(b"bloomery tree 1\n")
        for entry in self.entries:
            text.update(entry.line())
        return Digest(text.hexdigest())

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    def files(self) -> Iterator[TreeEntry]:
        """The regular files, in order."""
        return (entry for entry in self.entries if entry.kind is EntryKind.FILE)

    def __iter__(self) -> Iterator[TreeEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
