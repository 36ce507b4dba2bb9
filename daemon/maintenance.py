"""Keeps the whole cache under one ceiling of bytes, behind the answers, and prunes when somebody asks for it.

Which entry goes is `cache.gc`'s to say. What goes leaves the record first, then the engine and the disk, so whoever
finds it gone in between makes it again (law 9). Sources of builds that wait, and what running builds use, stay.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.errors import Failure
from cache.gc import Entry, EntryKind, EntryName, surplus, total
from cache.inventory import Held
from cache.units import RemovedUnits
from daemon.builds import Build
from daemon.engine.engine import Images
from daemon.engine.settled import to_the_end
from daemon.errors import EngineRefused
from daemon.inventory import entries
from daemon.metrics import Eviction, Metrics
from daemon.pipeline.cook import is_layer

_INTERVAL = 600.0
_PAUSE = 30.0
"""Seconds between two looks, however many builds end."""
_ROOM = 0.95
"""Of the ceiling, so that not every build that comes after needs room made for it."""
_FRESH = 600.0
"""Seconds for which a tree stays that was just sent: its build may be on the way."""


class Records(Protocol):
    """What is on record."""

    async def holdings(self) -> tuple[Held, ...]:
        """Every row that could go."""
        ...

    async def note_uses(self, uses: Mapping[EntryName, float]) -> None:
        """Remember when these were used."""
        ...

    async def take_off(self, names: Collection[EntryName]) -> frozenset[EntryName]:
        """Drop these; returns those that were still there."""
        ...

    async def forget_units(self, scope: str, unit_key: Digest, digests: Iterable[Digest]) -> RemovedUnits:
        """Drop units, with all that was compiled against them."""
        ...


class Containers(Protocol):
    """The engine's containers."""

    async def remove(self, sandbox: str) -> None:
        """Remove one; one that is gone is no error."""
        ...


class Size(Protocol):
    """Measures the cache from outside."""

    async def measure(self) -> int:
        """Bytes of all together."""
        ...


class Waiting(Protocol):
    """The queue."""

    async def waiting(self) -> tuple[Build, ...]:
        """Builds that are accepted and not begun."""
        ...


class Uses(Protocol):
    """What builds use."""

    def in_use(self) -> frozenset[EntryName]:
        """By running builds."""
        ...

    def take(self) -> Mapping[EntryName, float]:
        """When entries were used since this was asked last."""
        ...

    async def an_end(self) -> None:
        """Wait until a build has ended since this was asked last."""
        ...


class Trial(StrEnum):
    """Whether a prune is meant."""

    DRY = "dry"
    """Only what would go is told."""
    REAL = "real"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Entries of one kind; a blob counts once."""

    kind: EntryKind
    records: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Entries, by kind; `size` is less than the kinds' together where kinds share blobs."""

    size: int
    kinds: tuple[Tally, ...]


class Maintenance:
    """Looks after each build, and from time to time; one look at a time."""

    def __init__(
        self,
        *,
        records: Records,
        blobs: BlobStore,
        sandboxes: Containers,
        images: Images,
        builds: Waiting,
        uses: Uses,
        size: Size,
        metrics: Metrics,
        ceiling: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._blobs = blobs
        self._sandboxes = sandboxes
        self._images = images
        self._builds = builds
        self._uses = uses
        self._size = size
        self._metrics = metrics
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._left: set[EntryName] = set()
        """Off the record, and still in the engine."""
        self._in_vain = 0
        """The size at which nothing could go that would help."""
        self._log = structlog.get_logger()
        self.ceiling = ceiling
        """Bytes."""

    async def run(self, interval: float = _INTERVAL, pause: float = _PAUSE) -> None:
        """Hold the ceiling until cancelled; a look that fails is only logged."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._uses.an_end()
            try:
                await self.hold()
            except (Failure, OSError) as error:
                self._log.warning("cache.not_held", error=str(error))
            except Exception:  # noqa: BLE001 - a record that nobody foresaw must not end all looks
                self._log.exception("cache.not_held")
            await asyncio.sleep(pause)

    async def hold(self) -> Contents:
        """Once: remove what is beyond the ceiling; returns what went."""
        async with self._one_at_a_time:
            for name in sorted(self._left):
                await self._remove_from_engine(name)
            size = await self._size.measure()
            if size <= max(self.ceiling, self._in_vain):
                return contents(())
            found = await self._entries()
            keep = round(self.ceiling * _ROOM) if total(found) > self.ceiling else self.ceiling
            went = await self._removed(found, keep, Eviction.CEILING)
            self._in_vain = 0 if went.size else size
            return went

    async def contents(self, scope: str | None = None) -> Contents:
        """What there is; with a scope, of what is that scope's own."""
        return contents([entry for entry in await self._entries() if _is_of(entry, scope)])

    async def prune(self, keep: int, trial: Trial, scope: str | None = None) -> Contents:
        """Remove entries until no more than `keep` bytes are left; returns what went, or would go.

        With a scope, only of what is that scope's own, and `keep` is meant of that.
        """
        async with self._one_at_a_time:
            found = [entry for entry in await self._entries() if _is_of(entry, scope)]
            if trial is Trial.DRY:
                return contents(list(surplus(found, keep, self._clock(), await self._pinned(found))))
            return await self._removed(found, keep, Eviction.ASKED)

    async def revoke(self, names: Collection[EntryName]) -> int:
        """Remove these, whoever uses them: they are not to be trusted. Returns how many were there."""
        async with self._one_at_a_time:
            # An image goes only after what stands on it.
            found = sorted(await self._entries(), key=lambda entry: entry.name.kind is EntryKind.LAYER)
            going = [entry for entry in found if entry.name in names]
            await to_the_end(self._remove(going))
            self._metrics.evicted(Eviction.REVOKED, len(going))
            return len(going)

    async def discard(self, blobs: Collection[Digest]) -> None:
        """Remove those of these blobs that no record names."""
        named = {blob for entry in await self._entries() for blob in entry.blobs}
        await asyncio.to_thread(self._remove_blobs, set(blobs) - named)

    async def _entries(self) -> tuple[Entry, ...]:
        uses = self._uses.take()
        if uses:
            await self._records.note_uses(uses)
        holdings = await self._records.holdings()
        return await asyncio.to_thread(entries, holdings, self._blobs)

    async def _pinned(self, found: Iterable[Entry]) -> frozenset[EntryName]:
        waiting = {EntryName(EntryKind.TREE, (build.request.tree,)) for build in await self._builds.waiting()}
        since = self._clock() - _FRESH
        sent = {entry.name for entry in found if entry.name.kind is EntryKind.TREE and entry.used_at > since}
        return self._uses.in_use() | waiting | sent

    async def _removed(self, found: Sequence[Entry], keep: int, reason: Eviction) -> Contents:
        going = list(surplus(found, keep, self._clock(), await self._pinned(found)))
        if going:
            await to_the_end(self._remove(going))
            self._metrics.evicted(reason, len(going))
            self._log.info("cache.evicted", reason=str(reason), entries=len(going), bytes=contents(going).size)
        return contents(going)

    async def _remove(self, going: Sequence[Entry]) -> None:
        units: dict[tuple[str, str], list[Digest]] = {}
        for entry in going:
            if entry.name.kind is EntryKind.UNIT:
                scope, unit_key, digest = entry.name.name
                units.setdefault((scope, unit_key), []).append(Digest.parse(digest))
        gone = await self._records.take_off([entry.name for entry in going if entry.name.kind is not EntryKind.UNIT])
        blobs = {blob for entry in going for blob in entry.blobs}
        for (scope, unit_key), digests in units.items():
            blobs |= set((await self._records.forget_units(scope, Digest.parse(unit_key), digests)).blobs)
        for entry in going:
            if entry.name in gone:
                await self._remove_from_engine(entry.name)
        # Something may have come on record meanwhile that names the same blobs.
        named = {blob for entry in await self._entries() for blob in entry.blobs}
        await asyncio.to_thread(self._remove_blobs, blobs - named)

    def _remove_blobs(self, blobs: Iterable[Digest]) -> None:
        for blob in blobs:
            self._blobs.remove(blob)

    async def _remove_from_engine(self, name: EntryName) -> None:
        """What it does not remove now (a container stands on it) it is asked for again, and at the next start."""
        self._left.add(name)
        try:
            if name.kind is EntryKind.WORKSPACE:
                await self._sandboxes.remove(name.name[1])
            elif name.kind is EntryKind.LAYER:
                _, key, _, image_id = name.name
                image = await self._images.inspect(image_id)
                if image and is_layer(image, Digest.parse(key)):
                    await self._images.remove(image_id)
                    if await self._images.inspect(image_id):
                        raise EngineRefused(f"The engine said that it removed the image {image_id}, and still has it.")
            self._left.discard(name)
        except Failure as failure:
            self._log.warning("cache.kept", entry=name.name, kind=failure.kind, detail=failure.detail)


def contents(found: Sequence[Entry]) -> Contents:
    """Entries, told by kind."""
    by_kind = {kind: [entry for entry in found if entry.name.kind is kind] for kind in EntryKind}
    kinds = tuple(Tally(kind=kind, records=len(some), size=total(some)) for kind, some in by_kind.items())
    return Contents(size=total(found), kinds=kinds)


def _is_of(entry: Entry, scope: str | None) -> bool:
    """Sources and what was fetched are no single scope's to see or to prune."""
    shared = entry.name.kind in {EntryKind.TREE, EntryKind.FETCHED}
    return scope is None or (not shared and entry.name.name[0] == scope)
