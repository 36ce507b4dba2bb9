"""Takes compiled units out of what a cook left and stores those that may be stored (laws 6 and 11).

The target directory comes from a container of the layer that was never started, so that nothing but the cook has been
in it; the caller sees to that, and harvests no layer that is private to a project. Units are believed as far as the
lock proves their packages and cargo's messages named them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.units import RecordedUnits, UnitOrigin, UnitRecord
from daemon.engine.engine import Archive
from daemon.errors import OutputTooLarge
from daemon.pipeline.spool import spooled
from daemon.units.cook import Cook, LiveUnit
from daemon.units.layout import CargoUnit, Unfit, UnfitUnit, UnitId, UnitLayout
from daemon.units.packing import Packed, identify, pack
from daemon.units.target_directory import BadTargetDirectory, TargetDirectory, TargetLimits


class UnitRecords(Protocol):
    """Where units are remembered."""

    async def units(self, scope: str, unit_key: Digest, names: Collection[str]) -> tuple[UnitRecord, ...]:
        """The stored units of the packages with these names."""
        ...

    async def record_units(self, units: Sequence[UnitRecord], given: Iterable[str] = ()) -> RecordedUnits:
        """Keep units, each after those that it was compiled against; nothing is replaced."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A unit that was not stored; `words` are its package's name and version."""

    unit: UnitId
    words: str
    why: Unfit
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """What came of one cook."""

    stored: tuple[UnitRecord, ...] = ()
    """New in the store."""
    known: tuple[Digest, ...] = ()
    """Stored before, with these very bytes."""
    refused: tuple[Refused, ...] = ()
    changed: tuple[UnitId, ...] = ()
    """Given units that the cook changed: then nothing of it is stored."""
    unreadable: str = ""
    """Why the target directory could not be read at all; then nothing of it is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A unit that may be stored, as far as it is seen alone."""

    live: LiveUnit
    made: CargoUnit
    origin: UnitOrigin
    digest: Digest


class Harvester:
    """Stores the units of cooks. `scratch` is a directory for archives on their way."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        records: UnitRecords,
        layout: UnitLayout,
        scratch: Path,
        limits: TargetLimits = TargetLimits(),  # noqa: B008 - a value
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._blobs = blobs
        self._records = records
        self._layout = layout
        self._scratch = scratch
        self._limits = limits
        self._clock = clock

    async def harvest(self, archive: Archive, cook: Cook) -> Harvest:
        """Store what may be stored of a target directory, given as a tar stream; raises `NoSpace` and the stream's."""
        try:
            async with self._target(archive, cook) as target:
                return await self._harvest(target, cook)
        except (OutputTooLarge, BadTargetDirectory) as problem:
            return Harvest(unreadable=str(problem))

    async def differing(self, archive: Archive, cook: Cook) -> tuple[UnitRecord, ...] | None:
        """The stored units in whose place this cook has made other bytes; None: that cannot be told. Stores nothing."""
        try:
            async with self._target(archive, cook) as target:
                seen = await asyncio.to_thread(_Seen, target, cook, self._layout)
        except (OutputTooLarge, BadTargetDirectory):
            return None
        made = {(draft.made.id, draft.made.fingerprint): draft.digest for draft in seen.drafts}
        known = await self._records.units(cook.scope, cook.unit_key, {draft.origin.name for draft in seen.drafts})
        return tuple(unit for unit in known if made.get(_place(unit), unit.digest) != unit.digest)

    @asynccontextmanager
    async def _target(self, archive: Archive, cook: Cook) -> AsyncIterator[TargetDirectory]:
        wanted = {live.unit for live in cook.notes.live}
        async with spooled(archive, self._scratch, self._limits.archive, setting="archive") as spool:
            with await asyncio.to_thread(TargetDirectory, spool, self._layout, wanted, self._limits) as target:
                yield target

    async def _harvest(self, target: TargetDirectory, cook: Cook) -> Harvest:
        seen = await asyncio.to_thread(_Seen, target, cook, self._layout)
        if changed := seen.changed(cook):
            return Harvest(changed=changed, refused=tuple(seen.refused))
        names = {draft.origin.name for draft in seen.drafts}
        known = await self._records.units(cook.scope, cook.unit_key, names)
        new = seen.new({_place(unit): unit.digest for unit in known})
        stored = await asyncio.to_thread(self._packed, target, new, cook)
        recorded = await self._records.record_units(stored, {given.cook for given in cook.notes.given})
        # Another cook may have stored one of them meanwhile.
        late = dict.fromkeys(recorded.differing, Unfit.DIFFERS)
        late |= dict.fromkeys(recorded.unfounded, Unfit.DEPENDENCY)
        seen.refused += [_refused(draft.live, late[draft.digest]) for draft, _ in new if draft.digest in late]
        fresh = {draft.digest for draft, _ in new}
        return Harvest(
            stored=tuple(unit for unit in stored if unit.digest in recorded.stored),
            known=tuple(digest for digest in seen.accepted if digest not in fresh),
            refused=tuple(seen.refused),
        )

    def _packed(
        self, target: TargetDirectory, new: Sequence[tuple[_Draft, tuple[Digest, ...]]], cook: Cook
    ) -> tuple[UnitRecord, ...]:
        """Bring the blobs to the disk; the rows follow."""
        records: list[UnitRecord] = []
        with self._blobs.staging() as directory:
            staged: dict[Digest, Path] = {}
            for number, (draft, dependencies) in enumerate(new):
                packed = pack(draft.made.entries, target.open, directory / str(number))
                staged[packed.blob] = directory / str(number)
                records.append(self._record(draft, dependencies, packed, cook))
            self._blobs.adopt(staged)
        return tuple(records)

    def _record(self, draft: _Draft, dependencies: tuple[Digest, ...], packed: Packed, cook: Cook) -> UnitRecord:
        now, made = self._clock(), draft.made
        return UnitRecord(
            scope=cook.scope,
            unit_key=cook.unit_key,
            digest=packed.digest,
            blob=packed.blob,
            home=made.id.home,
            unit_hash=made.id.unit_hash,
            fingerprint=made.fingerprint,
            origin=draft.origin,
            kind=made.kind,
            features=made.features,
            profile=made.profile,
            platform=made.platform,
            dependencies=dependencies,
            cook=cook.notes.id,
            seconds=draft.live.seconds,
            size=packed.size,
            unpacked=packed.unpacked,
            created_at=now,
            used_at=now,
        )


class _Seen:
    """The live units of a target directory, each looked at alone, then in the order of their dependencies. Blocks."""

    def __init__(self, target: TargetDirectory, cook: Cook, layout: UnitLayout) -> None:
        self.refused: list[Refused] = []
        self.drafts: list[_Draft] = []
        self.accepted: list[Digest] = []
        proved = {(each.name, each.version, each.source): each for each in cook.origins}
        for live in cook.notes.live:
            origin = proved.get((live.package.name, live.package.version, live.package.source))
            try:
                self.drafts.append(_draft(target, layout, live, origin))
            except UnfitUnit as problem:
                self.refused.append(_refused(live, problem.why, problem.detail))

    def changed(self, cook: Cook) -> tuple[UnitId, ...]:
        """The given units that are live and are not what was given."""
        live = {each.unit for each in cook.notes.live}
        found = {draft.made.id: draft.digest for draft in self.drafts}
        return tuple(
            given.unit for given in cook.notes.given if given.unit in live and found.get(given.unit) != given.digest
        )

    def new(self, known: Mapping[tuple[UnitId, str], Digest]) -> tuple[tuple[_Draft, tuple[Digest, ...]], ...]:
        """Those that are to be stored with the digests of what they were compiled against, each after those."""
        ready: dict[UnitId, Digest] = {}
        new: list[tuple[_Draft, tuple[Digest, ...]]] = []
        made: dict[str, list[UnitId]] = {}
        for draft in self.drafts:
            made.setdefault(draft.made.fingerprint, []).append(draft.made.id)
        waiting = self.drafts
        while True:
            left: list[_Draft] = []
            for draft in waiting:
                needed = [made.get(each, [None]) for each in draft.made.dependencies]
                digests = [ready.get(unit) if unit else None for units in needed for unit in units]
                if not all(digests):
                    left.append(draft)
                    continue
                stored = known.get((draft.made.id, draft.made.fingerprint))
                if stored is not None and stored != draft.digest:
                    self.refused.append(_refused(draft.live, Unfit.DIFFERS))
                    continue
                ready[draft.made.id] = draft.digest
                self.accepted.append(draft.digest)
                if stored is None:
                    new.append((draft, tuple(sorted({each for each in digests if each}))))
            if len(left) == len(waiting):
                break
            waiting = left
        self.refused += [_refused(draft.live, Unfit.DEPENDENCY) for draft in left]
        return tuple(new)


def _draft(target: TargetDirectory, layout: UnitLayout, live: LiveUnit, origin: UnitOrigin | None) -> _Draft:
    if origin is None:
        raise UnfitUnit(Unfit.NOT_FROM_OUTSIDE, "the lock does not prove its package")
    if live.unit in target.unfit:
        raise target.unfit[live.unit]
    files = target.units.get(live.unit)
    if files is None:
        raise UnfitUnit(Unfit.INCOMPLETE, "none of its files is there")
    made = layout.read(files, target.read)
    if made.package != live.package.name:
        raise UnfitUnit(Unfit.UNREADABLE, f"its directories are those of {made.package}")
    return _Draft(live=live, made=made, origin=origin, digest=identify(made.entries, target.open))


def _place(unit: UnitRecord) -> tuple[UnitId, str]:
    return UnitId(unit.home, unit.unit_hash), unit.fingerprint


def _refused(live: LiveUnit, why: Unfit, detail: str = "") -> Refused:
    return Refused(unit=live.unit, words=live.package.words, why=why, detail=detail)
