"""What a manifest reader sees of the sources: the files of a tree by path, nothing that could be run.

The readers are pure, so the same code answers for an upload, for `explain` and in tests.
"""

import posixpath
from collections.abc import Iterable
from typing import Protocol

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree, TreeEntry

_LINKS = 40  # as many symbolic links as Linux follows in one path


class SourceFiles(Protocol):
    """The files of a source tree. Paths are relative to its root, with `/` between components."""

    def paths(self) -> Iterable[str]:
        """Every file's path, sorted."""
        ...

    def read(self, path: str) -> bytes:
        """A file's content; `KeyError` where there is no such file."""
        ...

    def identity(self, path: str) -> str:
        """What a file is, content and mode, without reading it where that is known; `KeyError` as for `read`."""
        ...

    def __contains__(self, path: object) -> bool:
        """Whether there is a file at this path."""
        ...


class Contents(Protocol):
    """Where the contents of a tree's files are."""

    def read(self, digest: Digest) -> bytes:
        """The content of this name."""
        ...


def identity(digest: Digest | None, *, executable: bool = False) -> str:
    """How `SourceFiles.identity` is written."""
    return f"{digest} {'755' if executable else '644'}"


class TreeFiles:
    """A `SourceTree` and its blobs as `SourceFiles`; symbolic links are followed within the tree, never out of it."""

    def __init__(self, tree: SourceTree, contents: Contents) -> None:
        self._entries = {entry.path: entry for entry in tree}
        self._contents = contents

    def paths(self) -> Iterable[str]:
        """Every file's path, and every link's that leads to a file."""
        return sorted(path for path, entry in self._entries.items() if self._file(entry) is not None)

    def read(self, path: str) -> bytes:
        """A file's content, through links."""
        entry = self._find(path)
        if entry is None or entry.digest is None:
            raise KeyError(path)
        return self._contents.read(entry.digest)

    def identity(self, path: str) -> str:
        """The blob's digest and the mode, through links."""
        entry = self._find(path)
        if entry is None:
            raise KeyError(path)
        return identity(entry.digest, executable=entry.executable)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._find(path) is not None

    def _file(self, entry: TreeEntry) -> TreeEntry | None:
        if entry.kind is EntryKind.FILE:
            return entry
        return self._find(entry.path) if entry.kind is EntryKind.SYMLINK else None

    def _find(self, path: str) -> TreeEntry | None:
        """The file that a path leads to, following a link at any of its components."""
        for _ in range(_LINKS):
            entry = self._entries.get(path)
            if entry is not None and entry.kind is EntryKind.FILE:
                return entry
            link = self._link_on(path)
            if link is None:
                return None
            target = posixpath.join(posixpath.dirname(link.path), link.target)
            path = posixpath.normpath(posixpath.join(target, path[len(link.path) :].lstrip("/")))
            if path.startswith(("/", "../")):
                return None
        return None

    def _link_on(self, path: str) -> TreeEntry | None:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            entry = self._entries.get("/".join(parts[:count]))
            if entry is not None and entry.kind is EntryKind.SYMLINK:
                return entry
        return None
