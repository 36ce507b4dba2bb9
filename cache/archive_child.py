"""Reads a hostile archive; runs as a child process of its own (`cache.archive` starts it) and prints JSON.

The body comes on standard input. Each file goes into the staging directory under its digest and nothing is written
anywhere else. The one answer on standard output is the tree, or the failure with its kind, detail and evidence.
"""

import errno
import hashlib
import json
import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from cache.archive_errors import too_large, unsafe
from cache.archive_limits import ArchiveLimits
from cache.digest import Digest
from cache.errors import Failure, NoSpace
from cache.ignore import CACHE_SIGNATURE, IGNORE_FILE, IgnoreRules, prune
from cache.inflate import Body
from cache.paths import admitted
from cache.tarstream import Found, TarStream
from cache.tree import EntryKind, SourceTree, TreeEntry

_OPEN_FILES = 32


class _Staging:
    """The directory that files go into."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: set[Digest] = set()

    def keep(self, pieces: Iterator[memoryview]) -> Digest:
        """Write one file's bytes and name them."""
        first = next(pieces, memoryview(b""))
        second = next(pieces, None)
        if second is None:  # most files are one piece, and one that is there already need not be written
            digest = Digest.of(bytes(first))
            if digest not in self._kept:
                self._write(digest.hex, (first,))
        else:
            content = hashlib.sha256()
            self._write("arriving", _hashed(chain((first, second), pieces), content))
            digest = Digest(content.hexdigest())
            (self._root / "arriving").rename(self._root / digest.hex)
        self._kept.add(digest)
        return digest

    def read(self, entry: TreeEntry, size: int) -> bytes:
        """The beginning of a file."""
        assert entry.digest is not None
        with (self._root / entry.digest.hex).open("rb") as stream:
            return stream.read(size)

    def _write(self, name: str, pieces: Iterable[memoryview]) -> None:
        descriptor = os.open(f"{self._root}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            for piece in pieces:
                left = piece
                while left:
                    left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)


def _hashed(pieces: Iterable[memoryview], content: "hashlib._Hash") -> Iterator[memoryview]:
    for piece in pieces:
        content.update(piece)
        yield piece


def read_tree(read: Callable[[int], bytes], root: Path, limits: ArchiveLimits) -> SourceTree:
    """The tree of the archive that `read` gives, its files under `root`; raises `Failure` for one that is refused."""
    staging = _Staging(root)
    found = _stripped(list(TarStream(Body(read, limits), limits, staging.keep)))
    rules = IgnoreRules.parse(_ignore_file([one.entry for one in found], staging, limits))
    left = prune((one.entry for one in found), rules, lambda entry: staging.read(entry, len(CACHE_SIGNATURE)))
    paths = {entry.path for entry in left}
    for one in found:
        if one.broken is not None and one.entry.path in paths:
            raise unsafe(one.broken, one.entry.path)
    return admitted(left, limits)


def _stripped(found: list[Found]) -> list[Found]:
    """Without the one directory that holds everything, as in `.crate` files and the archives that forges make."""
    tops = {one.entry.path.partition("/")[0] for one in found}
    if len(tops) != 1:
        return found
    (top,) = tops
    if any(one.entry.path == top and one.entry.kind is not EntryKind.DIRECTORY for one in found):
        return found
    return [
        Found(replace(one.entry, path=one.entry.path[len(top) + 1 :]), one.broken)
        for one in found
        if one.entry.path != top
    ]


def _ignore_file(entries: list[TreeEntry], staging: _Staging, limits: ArchiveLimits) -> str:
    for entry in entries:
        if entry.path == IGNORE_FILE and entry.digest is not None:
            if entry.size > limits.header:
                raise too_large("header", f"{IGNORE_FILE} is too long", limits.header, entry.size)
            return staging.read(entry, limits.header).decode("utf-8", "replace")
    return ""


def _confine(limits: ArchiveLimits) -> None:
    """Bound what this process can take, whatever the archive makes it do."""
    for what, bound in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu),
        (resource.RLIMIT_FSIZE, limits.expanded),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = bound + 1 if hard == resource.RLIM_INFINITY else min(bound + 1, hard)
        resource.setrlimit(what, (min(bound, most), most))  # one second more, so that it is SIGXCPU that ends it
    os.nice(5)


def _answer(read: Callable[[int], bytes], root: Path, limits: ArchiveLimits) -> dict[str, Any]:
    try:
        tree = read_tree(read, root, limits)
    except Failure as failure:
        return _refusal(failure)
    except MemoryError:
        return _refusal(too_large("memory", "the archive takes too much memory to read", limits.memory))
    except OSError as problem:
        if problem.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        return _refusal(NoSpace("the disk that uploads go to is full: free some space and send it again"))
    return {
        "entries": [[e.path, e.kind, e.size, e.executable, e.digest.hex if e.digest else "", e.target] for e in tree]
    }


def _refusal(failure: Failure) -> dict[str, Any]:
    return {"kind": failure.kind, "detail": failure.detail, "evidence": failure.evidence}


def main() -> None:
    """Read one archive: arguments are the staging directory and the limits as JSON."""
    limits = ArchiveLimits(**json.loads(sys.argv[2]))
    _confine(limits)
    json.dump(_answer(partial(os.read, sys.stdin.fileno()), Path(sys.argv[1]), limits), sys.stdout, ensure_ascii=False)
    sys.stdout.flush()
