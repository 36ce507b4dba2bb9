"""Puts stored units where cargo looks for them, as the entries of one tar stream.

Each unit is unpacked and proved before its first entry is given away, and is a private copy: nothing in a sandbox is a
link into the store. One that is damaged or gone is left out whole, with all that was compiled against it, and the cook
compiles it (law 9). Every entry carries the artefacts' one time (law 1).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch
from cache.tree import EntryKind, TreeEntry
from cache.units import UnitRecord
from daemon.tarball import Member
from daemon.units.layout import UnitLayout
from daemon.units.packing import DamagedUnit, unpack, unpack_in_memory

BUILDER = 10001
_IN_MEMORY = 32 << 20
"""A unit of so many bytes unpacked, at most, is never written to the disk on its way; few are larger."""
_Files = Mapping[str, tuple[TreeEntry, Path | memoryview]]
"""A unit's entries by path, each file with its content or where that is."""


class Placing:
    """Units on their way into one sandbox, each after those it was compiled against.

    What became of them is known when `members` has been read to its end.
    """

    def __init__(
        self,
        *,
        blobs: BlobStore,
        layout: UnitLayout,
        artefact_time: int,
        target: str = "/target",
        in_memory: int = _IN_MEMORY,
    ) -> None:
        self.placed: list[UnitRecord] = []
        self.damaged: list[UnitRecord] = []
        """To be forgotten: their blobs are gone."""
        self.left_out: list[UnitRecord] = []
        """What was compiled against one of those."""
        self._blobs = blobs
        self._layout = layout
        self._time = artefact_time
        self._target = target
        self._in_memory = in_memory
        self._directories: set[str] = set()

    def members(self, units: Iterable[UnitRecord]) -> Iterator[Member]:
        """The entries, each directory once before what is in it. Blocks; raises `NoSpace` on a full disk."""
        yield from self._above(f"{self._target}/")
        for unit in units:
            missing = {each.digest for each in (*self.damaged, *self.left_out)}
            if not missing.isdisjoint(unit.dependencies):
                self.left_out.append(unit)
                continue
            with ExitStack() as held:
                files = self._unpacked(unit, held)
                if files is not None:
                    yield from self._unit(files)
                    self.placed.append(unit)

    def _unpacked(self, unit: UnitRecord, held: ExitStack) -> _Files | None:
        """The unit, whole and proved; what it takes on the disk is there as long as it is held."""
        try:
            if unit.unpacked <= self._in_memory:
                return unpack_in_memory(self._blobs.read(unit.blob), unit.digest, unit.unpacked)
            directory = held.enter_context(self._blobs.staging())
            with self._blobs.open_verified(unit.blob) as pieces:
                return unpack(pieces, unit.digest, unit.unpacked, directory)
        except (DamagedUnit, DigestMismatch, OSError):
            self._blobs.remove(unit.blob)
            self.damaged.append(unit)
            return None

    def _unit(self, files: _Files) -> Iterator[Member]:
        entries = [entry for entry, _ in files.values()]
        for path, content in self._layout.stamps(entries):
            yield from self._above(f"{self._target}/{path}")
            yield self._member(path, content=content)
        for entry in self._layout.in_order(entries):
            yield from self._above(f"{self._target}/{entry.path}")
            match entry.kind:
                case EntryKind.DIRECTORY:
                    yield from self._above(f"{self._target}/{entry.path}/")
                case EntryKind.SYMLINK:
                    yield self._member(entry.path, mode=0o777, link=entry.target)
                case EntryKind.FILE:
                    mode = 0o755 if entry.executable else 0o644
                    found = files[entry.path][1]
                    if isinstance(found, Path):
                        proof = entry.digest
                        yield self._member(entry.path, mode=mode, source=found, digest=proof, size=entry.size)
                    else:
                        yield self._member(entry.path, mode=mode, content=found)

    def _member(
        self,
        path: str,
        *,
        mode: int = 0o644,
        content: bytes | memoryview | None = None,
        link: str | None = None,
        source: Path | None = None,
        digest: Digest | None = None,
        size: int = 0,
    ) -> Member:
        return Member(
            path=f"{self._target}/{path}",
            mode=mode,
            mtime=self._time,
            uid=BUILDER,
            gid=BUILDER,
            content=content,
            target=link,
            source=source,
            digest=digest,
            size=size,
        )

    def _above(self, path: str) -> Iterator[Member]:
        """The directories of the target directory that lead to a path, those that were not there yet."""
        at = path.find("/", len(self._target))
        while at >= 0:
            directory = path[:at]
            if directory not in self._directories:
                self._directories.add(directory)
                yield Member(path=directory, mode=0o755, mtime=self._time, uid=BUILDER, gid=BUILDER)
            at = path.find("/", at + 1)
