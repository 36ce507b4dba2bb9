"""Gets a source tree to a daemon that lacks it: the listing, then the blobs that it asks for.

Few blobs go over the connection that is there, many over up to four more.
"""

import os
from collections.abc import Sequence
from io import RawIOBase
from typing import BinaryIO, cast

from api.client.client import Client
from api.client.console import Console
from api.client.render import Json, bar, count, size
from api.client.worktree import UnreadableFile, Worktree, changed
from cache.archive_errors import shown
from cache.errors import Blame, Failure
from cache.tree import EntryKind, TreeEntry

_CONNECTIONS = 4
_EACH = 50
"""Blobs that are worth one more connection."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""What became a link or a fifo meanwhile is neither followed nor waited for."""
_ROUNDS = 3
"""As often as blobs may be pruned between their upload and the listing that names them."""


class TreesDiffer(Failure):
    """The daemon makes another tree of the same listing than this client."""

    kind = "trees_differ"
    title = "The daemon reads this source tree differently"
    blame = Blame.INFRASTRUCTURE


class NotKept(Failure):
    """The daemon keeps losing what was uploaded."""

    kind = "not_kept"
    title = "The daemon did not keep the upload"
    blame = Blame.INFRASTRUCTURE


def upload(client: Client, worktree: Worktree, console: Console) -> None:
    """Say what the tree holds, send the blobs that are missing, and say it again, which makes the daemon keep it."""
    listing: Json = {"entries": [_listed(entry) for entry in worktree.tree]}
    tree = str(worktree.tree.digest)
    for _ in range(_ROUNDS):
        answer = client.register_tree(listing)
        if answer["tree"] != tree:
            raise TreesDiffer(f"it is {tree} here and {answer['tree']} there; install the daemon's version of bloomery")
        wanted = set(answer["missing"])
        if not wanted:
            return
        chosen = {str(entry.digest): entry for entry in worktree.tree.files() if str(entry.digest) in wanted}
        entries = sorted(chosen.values(), key=lambda entry: entry.size, reverse=True)
        total = size(sum(entry.size for entry in entries))
        console.say("Uploading", f"{count(len(entries), 'file')} of {len(worktree.tree):,}, {total}")
        _Upload(client, worktree, entries).run(console)
    raise NotKept(f"after {_ROUNDS} uploads it still asks for more; is its disk full, or pruned all the time?")


def _listed(entry: TreeEntry) -> Json:
    """An entry as the listing door reads it; what is at its default is left out."""
    listed: Json = {"path": entry.path}
    if entry.kind is EntryKind.FILE:
        listed |= {"size": entry.size, "digest": str(entry.digest)}
        if entry.executable:
            listed["executable"] = True
    else:
        listed["kind"] = str(entry.kind)
        if entry.kind is EntryKind.SYMLINK:
            listed["target"] = entry.target
    return listed


class _Upload:
    """Some blobs of one tree."""

    def __init__(self, client: Client, worktree: Worktree, entries: Sequence[TreeEntry]) -> None:
        self._client = client
        self._worktree = worktree
        self._entries = entries

    def run(self, console: Console) -> None:
        """Send everything; the first failure ends the rest."""

        def tell(done: int) -> None:
            console.bar(bar(done, len(self._entries), "uploading", console.width))

        try:
            lanes = min(_CONNECTIONS, 1 + len(self._entries) // _EACH)
            if lanes > 1:
                from api.client.lanes import Lanes  # noqa: PLC0415 - few blobs are sent before threads would be loaded

                Lanes(self._client, self._send).run(self._entries, lanes, tell)
                return
            for number, entry in enumerate(self._entries, 1):
                self._send(self._client, entry)
                tell(number)
        finally:
            console.clear()

    def _send(self, client: Client, entry: TreeEntry) -> None:
        try:
            handle = os.open(self._worktree.place(entry.path), _READ)
        except OSError as problem:
            raise UnreadableFile(f"`{shown(entry.path)}`: {problem.strerror}", entry=shown(entry.path)) from problem
        with _Exactly(handle, entry) as content:
            try:
                client.put_blob(str(entry.digest), entry.size, cast("BinaryIO", content))
            except Failure as failure:
                if failure.kind == "blob_mismatch":
                    raise changed(entry.path) from failure
                raise


class _Exactly(RawIOBase):
    """A file that is read to just the size that was announced; raises `FileChanged` where it has become shorter."""

    def __init__(self, handle: int, entry: TreeEntry) -> None:
        self._handle = handle
        self._entry = entry
        self._left = entry.size

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        piece = os.read(self._handle, wanted)
        if len(piece) == 0 < wanted:
            raise changed(self._entry.path)
        self._left -= len(piece)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        at = os.lseek(self._handle, offset, whence)
        self._left = self._entry.size - at
        return at

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()
