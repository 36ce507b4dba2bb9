"""What a compile did to the source tree in its sandbox, from the listing that it leaves of `/work`.

Nothing in the sandbox is believed to be as it was put unless all signs say so: kind, executable bit, size, mtime, and
an inode that nobody changed since the step began. (Sources are root's, but everybody may write them, and rename them.)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cache.manifests.paths import above
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.ecosystems.step import SOURCE_TIME, UNREAD_TIME

LISTED = r"%y %m %s %T@ %A@ %P\0%l\0"
"""What `find` prints of each path, after `+` where its inode has changed since the step began and `=` otherwise."""


class UnreadableListing(ValueError):  # noqa: N818 - reads as the cause it names
    """A listing is not what `LISTED` makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A path as the compile left it; `kind` is a letter of `find`'s."""

    path: str
    kind: str
    executable: bool
    size: int
    untouched: bool
    target: str
    unread: bool = False
    """Whether its access time is still that which source files are put with."""


def read_listing(text: bytes) -> tuple[Found, ...]:
    """Read a listing; raises `UnreadableListing`."""
    try:
        fields = text.decode().split("\0")
    except UnicodeDecodeError as error:
        raise UnreadableListing("a path is not UTF-8") from error
    if fields.pop() or len(fields) % 2:
        raise UnreadableListing("it does not end where a path does")
    return tuple(_found(line, target) for line, target in zip(fields[::2], fields[1::2], strict=True))


def links(listing: Iterable[Found]) -> Mapping[str, str]:
    """The symbolic links: targets by path."""
    return {found.path: found.target for found in listing if found.kind == "l"}


def written(listing: Sequence[Found], stood: SourceTree) -> tuple[str, ...]:
    """The paths that are no longer as they stood before the compile, sorted: changed, made or removed.

    A directory that the build made ends with `/`.
    """
    entries = {entry.path: entry for entry in stood}
    directories = {directory for path in entries for directory in above(path)}
    here = {found.path for found in listing}
    different = {path for path in entries if path not in here}
    for found in listing:
        entry = entries.get(found.path)
        if entry is not None:
            if not _is(found, entry):
                different.add(found.path)
        elif found.kind != "d":
            different.add(found.path)
        elif found.path not in directories:
            different.add(f"{found.path}/")
    return tuple(sorted(different))


def _is(found: Found, entry: TreeEntry) -> bool:
    match entry.kind:
        case EntryKind.DIRECTORY:
            return found.kind == "d"
        case EntryKind.SYMLINK:
            return found.kind == "l" and found.target == entry.target
        case EntryKind.FILE:
            same = found.kind == "f" and found.size == entry.size and found.executable == entry.executable
            return same and found.untouched


def _found(line: str, target: str) -> Found:
    fields = line.split(" ", 5)
    try:
        mark, kind, mode, size, mtime, atime, path = fields[0][:1], fields[0][1:], *fields[1:]
        return Found(
            path=path,
            kind=kind,
            executable=bool(int(mode, 8) & 0o111),
            size=int(size),
            untouched=mark == "=" and float(mtime) == SOURCE_TIME,
            target=target,
            unread=float(atime) == UNREAD_TIME,
        )
    except ValueError as error:
        raise UnreadableListing(f"{line[:200]!r} is no line of a listing") from error
