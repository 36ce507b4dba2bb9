"""What should go when the cache is larger than it may be: a pure function from what there is to what goes, in order.

An entry's worth is the seconds that making it again would take, times how likely somebody wants it, by the byte. What
is worth least goes first, but nothing goes before what stands on it: that would keep its bytes and lose its use. Blobs
are shared: one goes with the last entry that names it, and until then each has a part in it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heapify, heappop, heappush

from cache.digest import Digest

HALF_LIFE = 3 * 86400.0
"""Seconds after which an entry that nobody used is half as likely to be."""


class EntryKind(StrEnum):
    """What an entry is; as the API and the command line have it."""

    RESULT = "result"
    """A finished build's images and symbols."""
    WORKSPACE = "workspace"
    LAYER = "layer"
    UNIT = "unit"
    FETCHED = "fetched"
    """What was fetched: of a whole lock, or of one package; and locks that were made."""
    TREE = "tree"
    """Sources."""


@dataclass(frozen=True, slots=True, order=True)
class EntryName:
    """Names one entry; `name` is its kind's own affair."""

    kind: EntryKind
    name: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that can go by itself; times are seconds since the epoch."""

    name: EntryName
    seconds: float
    """What making it again would take."""
    used_at: float
    size: int = 0
    """Bytes that are its own, beside its blobs'."""
    blobs: Mapping[Digest, int] = field(default_factory=dict)
    """Those that it names, with their sizes."""
    needs: frozenset[EntryName] = frozenset()
    """What it stands on."""


def total(entries: Iterable[Entry]) -> int:
    """Bytes of all; a blob counts once."""
    blobs: dict[Digest, int] = {}
    own = 0
    for entry in entries:
        own += entry.size
        blobs |= entry.blobs
    return own + sum(blobs.values())


def surplus(entries: Sequence[Entry], ceiling: int, now: float, pinned: Iterable[EntryName] = ()) -> Iterator[Entry]:
    """What goes until the rest has no more than `ceiling` bytes, in the order in which it goes.

    What is pinned stays, and all that it stands on.
    """
    here = {entry.name: entry for entry in entries}
    naming = Counter(blob for entry in entries for blob in entry.blobs)
    dependents = Counter(need for entry in entries for need in entry.needs if need in here)
    stays = set(pinned)

    def worth(entry: Entry) -> float:
        part = entry.size + sum(size / naming[blob] for blob, size in entry.blobs.items())
        halvings = max(0.0, now - entry.used_at) / HALF_LIFE
        return entry.seconds * math.pow(0.5, halvings) / max(part, 1.0)

    worths = {entry.name: worth(entry) for entry in entries}
    free = [(worths[name], name) for name in here if not dependents[name] and name not in stays]
    heapify(free)
    left = total(entries)
    while left > ceiling and free:
        _, name = heappop(free)
        entry = here[name]
        left -= entry.size
        for blob, size in entry.blobs.items():
            naming[blob] -= 1
            left -= 0 if naming[blob] else size
        for need in entry.needs & here.keys():
            dependents[need] -= 1
            if not dependents[need] and need not in stays:
                heappush(free, (worths[need], need))
        yield entry
