"""Which source files a compile may have read, told by the listing that it leaves of `/work` (law 13).

A file is unread only if everything says so: it has the access time that it was put with, and nobody has changed it.
"""

from collections.abc import Collection, Iterable, Mapping

from cache.tree import EntryKind, SourceTree
from daemon.ecosystems.rust.inputs import Inputs
from daemon.ecosystems.rust.written import Found


def opened(
    listing: Iterable[Found],
    tree: SourceTree,
    *,
    written: Collection[str],
    inputs: Mapping[str, Inputs],
    before: frozenset[str],
) -> frozenset[str] | None:
    """The files of the tree that were read, or may have been; None where the listing cannot be right.

    That is where it has as unread what the compiler says that it read.

    Args:
        listing: all that is in `/work`.
        tree: the sources; what of them is not put into a sandbox is read by the daemon.
        written: the paths that are not as they were put.
        inputs: what the compiler read.
        before: the files that compiles before this one may have read. They may have been put anew since.
    """
    unread = {found.path for found in listing if found.kind == "f" and found.untouched and found.unread}
    unread -= before.union(written)
    if any(path in unread for read in inputs.values() for path in read.files):
        return None
    files = {entry.path for entry in tree if entry.kind is EntryKind.FILE}
    return before | (files - unread)
