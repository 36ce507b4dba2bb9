"""A directory of the user's as a `SourceTree`, without reading again what has not changed.

The same sources give the same tree here and through the daemon's other doors: the ignore rules are `cache.ignore`'s,
and what no tree may hold is refused in the archive reader's own words before anything is sent.
"""

# A walk over strings: a Path for each of a thousand files would cost more than the rest of it.
# ruff: noqa: PTH112, PTH115, PTH116, PTH118, PTH123

import hashlib
import os
import stat
from collections.abc import Callable, Iterator

from api.client.bounds import Bounds
from api.client.stamps import Stamps, stamp_of
from cache.archive_errors import Rule, shown, unsafe
from cache.digest import Digest
from cache.errors import Blame, Failure
from cache.ignore import CACHE_SIGNATURE, CACHE_TAG, IGNORE_FILE, IgnoreRules, is_cache_tag, never_part
from cache.tree import EntryKind, SourceTree, TreeEntry

_ADVICE = "or list it in .dockerignore if the build can do without"
_OWNER_MAY_RUN = 0o100
_SPECIAL = {stat.S_IFIFO: Rule.FIFO, stat.S_IFCHR: Rule.DEVICE, stat.S_IFBLK: Rule.DEVICE}


class NotADirectory(Failure):
    """The path to build is no directory."""

    kind = "not_a_directory"
    title = "There is no source tree at this path"
    blame = Blame.REQUEST


class UnreadableFile(Failure):
    """A file or directory of the tree can't be read."""

    kind = "unreadable_file"
    title = "Part of the source tree cannot be read"
    blame = Blame.REQUEST


class FileChanged(Failure):
    """A file was written to while it was read or before it was sent."""

    kind = "file_changed"
    title = "A file changed meanwhile"
    blame = Blame.REQUEST


def changed(path: str) -> FileChanged:
    """The failure for a file that does not hold still."""
    return FileChanged(f"`{shown(path)}` was written to while it was read; build again, {_ADVICE}", entry=shown(path))


class Worktree:
    """A directory to build, walked and read when it is made.

    Raises the classes above, `UnsafeEntry`, and `UploadTooLarge` before what is beyond the bounds is read.
    """

    def __init__(
        self,
        root: str,
        stamps: Stamps,
        bounds: Bounds | None = None,
        reading: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`reading` is told of each file that is read, and which one it is, counted from 1."""
        self._root = root
        self._bounds = bounds or Bounds()
        self._reading = reading
        self._reads = 0
        self._stamps = stamps
        self._places: dict[str, str] = {}
        if not os.path.isdir(root):
            raise NotADirectory(f"`{shown(root)}` is no directory; give the one that holds Cargo.toml")
        self._rules = self._read_rules()
        self.tree = SourceTree.of(self._entries())

    def place(self, path: str) -> str:
        """Where an entry of the tree is on disk, where names need not be in normal form."""
        return self._places[path]

    def _read_rules(self) -> IgnoreRules:
        place = os.path.join(self._root, IGNORE_FILE)
        try:
            with open(place, "rb") as stream:
                return IgnoreRules.parse(stream.read().decode("utf-8", "replace"))
        except (FileNotFoundError, IsADirectoryError):
            return IgnoreRules()
        except OSError as problem:
            raise _unreadable(IGNORE_FILE, problem) from problem

    def _entries(self) -> Iterator[TreeEntry]:
        """Depth first, so that a directory is known to be empty once all below it has been seen."""
        return self._directory("", self._root)

    def _directory(self, above: str, place: str) -> Iterator[TreeEntry]:
        """The entries of a directory; `above` is its path with a slash, empty for the root."""
        try:
            with os.scandir(place) as scan:
                found = list(scan)
        except OSError as problem:
            raise _unreadable(above or ".", problem) from problem
        if above and any(entry.name == CACHE_TAG and _tagged(entry) for entry in found):
            return
        empty = True
        for entry in found:
            for inside in self._entry(above, entry):
                empty = False
                yield inside
        path = above[:-1]
        if empty and above and not self._rules.ignored(path):
            self._bounds.add(path + "/", 0)
            yield TreeEntry(path, EntryKind.DIRECTORY)

    def _entry(self, above: str, entry: os.DirEntry[str]) -> Iterator[TreeEntry]:
        path = self._path(above, entry.name)
        try:
            if entry.is_dir(follow_symlinks=False):
                if not never_part(path, EntryKind.DIRECTORY) and not self._rules.prunable(path):
                    yield from self._directory(path + "/", entry.path)
                return
            status = entry.stat(follow_symlinks=False)
            linked = entry.is_symlink()
            if never_part(path, EntryKind.SYMLINK if linked else EntryKind.FILE) or self._rules.ignored(path):
                return
            self._bounds.add(path, 0 if linked else status.st_size)
            if linked:
                yield TreeEntry(path, EntryKind.SYMLINK, target=_nfc(os.readlink(entry.path), path))
            else:
                yield self._file(path, entry.path, status)
        except OSError as problem:
            raise _unreadable(path, problem) from problem

    def _path(self, above: str, name: str) -> str:
        """The path as trees hold it; `above` is in normal form already."""
        return above + (name if name.isascii() else _nfc(name, above + name))

    def _file(self, path: str, place: str, status: os.stat_result) -> TreeEntry:
        if not stat.S_ISREG(status.st_mode):
            raise unsafe(_SPECIAL.get(stat.S_IFMT(status.st_mode), Rule.UNKNOWN_TYPE), path)
        if path in self._places:
            raise unsafe(Rule.COLLISION, path)
        self._places[path] = place
        stamp = stamp_of(status)
        digest = self._stamps.known(path, stamp)
        if digest is None:
            self._reads += 1
            self._reading(self._reads)
            digest = _read(path, place)
            if stamp_of(os.stat(place, follow_symlinks=False)) != stamp:
                raise changed(path)
            self._stamps.learn(path, stamp, digest)
        executable = bool(status.st_mode & _OWNER_MAY_RUN)
        return TreeEntry(path, EntryKind.FILE, size=stamp[0], executable=executable, digest=Digest(digest))


def _read(path: str, place: str) -> str:
    """A file's digest; what became a link or a fifo since it was listed is neither followed nor waited for."""
    handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise changed(path)
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _nfc(text: str, path: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise unsafe(Rule.NOT_UTF8, os.fsencode(path)) from None
    from unicodedata import normalize  # noqa: PLC0415 - most trees have ASCII names alone

    return normalize("NFC", text)


def _tagged(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_file(follow_symlinks=False):
            return False
        with open(entry.path, "rb") as stream:
            return is_cache_tag(stream.read(len(CACHE_SIGNATURE)))
    except OSError:
        return False


def _unreadable(path: str, problem: OSError) -> UnreadableFile:
    name = shown(path)
    return UnreadableFile(f"`{name}`: {problem.strerror}; make it readable, {_ADVICE}", entry=name)
