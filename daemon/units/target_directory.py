"""A target directory as the tar stream of a container has it: hostile data, sorted into units.

Nothing is unpacked. Entries are listed and judged by their headers, and a file is read where the archive lies. A unit
with one bad entry is a bad unit; entries that belong to no unit, or to one that is not wanted, are passed over.
"""

import io
import tarfile
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from cache.archive_errors import UnsafeEntry, UploadTooLarge
from cache.archive_limits import ArchiveLimits
from cache.paths import clean_path, clean_target
from cache.tree import EntryKind, TreeEntry
from daemon.units.layout import Unfit, UnfitUnit, UnitFiles, UnitId, UnitLayout

_SMALL = 1 << 20
_OWNER_EXECUTES = 0o100
_END = bytes(2 * tarfile.BLOCKSIZE)
_NAMES = ArchiveLimits()


class BadTargetDirectory(Exception):  # noqa: N818 - reads as what it says
    """The stream is no archive that can be read, or it has more entries than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLimits:
    """The bounds of one target directory, in bytes, and of its entries, as a count."""

    archive: int = 16 << 30
    entries: int = 500_000
    unit: int = 2 << 30
    """All files of one unit."""


class TargetDirectory:
    """The wanted units of a target directory; `units` are those whose entries are all in order.

    The archive has one directory at its top, the target directory itself, whatever its name.
    """

    def __init__(self, archive: Path, layout: UnitLayout, wanted: Collection[UnitId], limits: TargetLimits) -> None:
        self.units: Mapping[UnitId, UnitFiles]
        self.unfit: dict[UnitId, UnfitUnit] = {}
        self._layout = layout
        self._wanted = wanted
        self._limits = limits
        self._found: dict[UnitId, dict[str, TreeEntry]] = {}
        self._contents: dict[str, tarfile.TarInfo] = {}
        self._sizes: Counter[UnitId] = Counter()
        with ExitStack() as undo:
            try:
                self._tar = undo.enter_context(tarfile.open(archive, "r:"))
                self._list()
                _ended(archive, self._tar.offset)
            except (tarfile.TarError, UnicodeError, ValueError, OverflowError) as problem:
                raise BadTargetDirectory(f"the target directory's archive cannot be read: {problem}") from problem
            self._opened = undo.pop_all()
        self.units = {
            unit: UnitFiles(id=unit, entries=_without_full_directories(entries))
            for unit, entries in sorted(self._found.items())
            if unit not in self.unfit
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def open(self, path: str) -> IO[bytes]:
        """The content of one file of a unit."""
        content = self._tar.extractfile(self._contents[path])
        return content if content is not None else io.BytesIO()

    def read(self, path: str) -> bytes:
        """The content of a small file; `UnfitUnit` where there is none, or one that is not small."""
        found = self._contents.get(path)
        if found is None or found.size > _SMALL:
            raise UnfitUnit(Unfit.UNREADABLE, f"{path} is {'not there' if found is None else 'too large'}")
        with self.open(path) as content:
            return content.read()

    def _list(self) -> None:
        for number, entry in enumerate(self._tar):
            if number >= self._limits.entries:
                raise BadTargetDirectory(f"the target directory has more than {self._limits.entries:,} entries")
            path = entry.name.partition("/")[2]
            unit = self._layout.unit_of(path)
            if unit is None or unit not in self._wanted or unit in self.unfit:
                continue
            try:
                self._add(unit, path, entry)
            except UnfitUnit as problem:
                self.unfit[unit] = problem
            except (UnsafeEntry, UploadTooLarge) as problem:
                self.unfit[unit] = UnfitUnit(Unfit.UNSAFE, problem.detail)

    def _add(self, unit: UnitId, path: str, entry: tarfile.TarInfo) -> None:
        if clean_path(path, _NAMES) != path:
            raise UnfitUnit(Unfit.UNSAFE, f"{path[:200]!r} is not a name in its usual form")
        entries = self._found.setdefault(unit, {})
        if path in entries:
            raise UnfitUnit(Unfit.UNSAFE, f"{path} is there twice")
        entries[path] = self._entry(entries, path, entry)
        self._sizes[unit] += entries[path].size
        if self._sizes[unit] > self._limits.unit:
            raise UnfitUnit(Unfit.TOO_LARGE, f"its files are larger than {self._limits.unit >> 20} MiB together")

    def _entry(self, entries: Mapping[str, TreeEntry], path: str, entry: tarfile.TarInfo) -> TreeEntry:
        if entry.isdir():
            return TreeEntry(path, EntryKind.DIRECTORY)
        if entry.issym():
            return TreeEntry(path, EntryKind.SYMLINK, target=clean_target(path, entry.linkname, _NAMES))
        if entry.islnk():
            # An engine writes the second name of a file as a link to the first, both from the archive's top.
            first = entry.linkname.partition("/")[2]
            known = entries.get(first)
            if known is None or known.kind is not EntryKind.FILE:
                raise UnfitUnit(Unfit.UNSAFE, f"{path} is another name of something that is not the unit's")
            self._contents[path] = self._contents[first]
            return TreeEntry(path, EntryKind.FILE, known.size, known.executable)
        if not entry.isreg() or entry.issparse():
            raise UnfitUnit(Unfit.UNSAFE, f"{path} is a device, a pipe or a sparse file")
        self._contents[path] = entry
        return TreeEntry(path, EntryKind.FILE, entry.size, bool(entry.mode & _OWNER_EXECUTES))


def _ended(archive: Path, offset: int) -> None:
    """What the reader took for the archive's end is one, and not a header that it could not read."""
    with archive.open("rb") as file:
        file.seek(offset)
        if file.read(len(_END)) != _END:
            raise BadTargetDirectory("the target directory's archive has no end")


def _without_full_directories(entries: Mapping[str, TreeEntry]) -> tuple[TreeEntry, ...]:
    full: set[str] = set()
    for path in entries:
        parent = path.rpartition("/")[0]
        while parent and parent not in full:
            full.add(parent)
            parent = parent.rpartition("/")[0]
    left = (each for each in entries.values() if each.kind is not EntryKind.DIRECTORY or each.path not in full)
    return tuple(sorted(left, key=lambda entry: entry.path.encode()))
