"""What there is in the cache, as entries that the policy (`cache.gc`) weighs: each with its cost, bytes and needs.

Costs are what making a thing again takes while what it needs is there: a layer whose units are stored is put together
of them, so it is cheap and goes before them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.gc import Entry, EntryKind, EntryName
from cache.inventory import Held
from cache.trees import read_listing
from daemon.ecosystems.kept import Fetched, KeptPackage
from daemon.pipeline.results import blobs_of, read_outcome
from daemon.units.cook import CookNotes
from daemon.units.layout import UnitId

_SECOND = 1.0
_UPLOAD = 20e6
"""Bytes a second, as are all here: sources that are sent again."""
_DOWNLOAD = 5e6
_PLACE_AND_COMMIT = 50e6
_Units = Mapping[tuple[str, UnitId], EntryName]


def entries(holdings: Iterable[Held], blobs: BlobStore) -> tuple[Entry, ...]:
    """Every row that could go. Blocks: sizes of blobs are looked up."""
    held = tuple(holdings)
    layers: dict[tuple[str, str], list[EntryName]] = {}
    units: dict[tuple[str, UnitId], EntryName] = {}
    for one in held:
        if one.name.kind is EntryKind.LAYER:
            layers.setdefault((one.name.name[0], one.name.name[1]), []).append(one.name)
        elif one.name.kind is EntryKind.UNIT:
            units[one.name.name[0], UnitId(*json.loads(one.value))] = one.name
    return tuple(_as_used_as_listed([_entry(one, blobs, layers, units) for one in held]))


def _as_used_as_listed(found: Sequence[Entry]) -> Iterator[Entry]:
    """What was fetched of a package was used when a lock was that lists it."""
    used: dict[Digest, float] = {}
    for entry in found:
        if entry.name.kind is EntryKind.FETCHED and entry.name.name[0] == "listing":
            for blob in entry.blobs:
                used[blob] = max(used.get(blob, 0.0), entry.used_at)
    for entry in found:
        if entry.name.kind is EntryKind.FETCHED:
            yield replace(entry, used_at=max([entry.used_at, *(used.get(blob, 0.0) for blob in entry.blobs)]))
        else:
            yield entry


def _entry(one: Held, blobs: BlobStore, layers: Mapping[tuple[str, str], list[EntryName]], units: _Units) -> Entry:
    name = one.name
    match name.kind:
        case EntryKind.LAYER:
            return _layer(one, units)
        case EntryKind.WORKSPACE:
            on = layers.get((name.name[0], str(one.key)), [])
            needs = frozenset((*one.needs, *on))
            return Entry(name=name, seconds=one.seconds, used_at=one.at, size=one.size, needs=needs)
        case EntryKind.RESULT:
            found = _sizes(_named_by_result(one.value, blobs), blobs)
            return Entry(name=name, seconds=one.seconds, used_at=one.at, blobs=found)
        case EntryKind.FETCHED:
            found = _sizes(_named_by_fetch(one, blobs), blobs)
            return Entry(name=name, seconds=_SECOND + sum(found.values()) / _DOWNLOAD, used_at=one.at, blobs=found)
        case EntryKind.TREE:
            found = {entry.digest: entry.size for entry in read_listing(one.value).files() if entry.digest}
            return Entry(name=name, seconds=_SECOND + sum(found.values()) / _UPLOAD, used_at=one.at, blobs=found)
        case EntryKind.UNIT:
            found = dict(one.blobs)
            return Entry(name=name, seconds=one.seconds, used_at=one.at, blobs=found, needs=frozenset(one.needs))


def _layer(one: Held, units: _Units) -> Entry:
    try:
        live = msgspec.json.decode(one.value, type=CookNotes).live
    except msgspec.MsgspecError:
        live = ()
    scope = one.name.name[0]
    stored = {each.unit: units[scope, each.unit] for each in live if (scope, each.unit) in units}
    again = sum(each.seconds for each in live if each.unit not in stored) + _SECOND + one.size / _PLACE_AND_COMMIT
    seconds = min(one.seconds, again) if stored else one.seconds
    return Entry(name=one.name, seconds=seconds, used_at=one.at, size=one.size, needs=frozenset(stored.values()))


def _named_by_result(outcome: bytes, blobs: BlobStore) -> Iterator[Digest]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        for image in read_outcome(outcome).images:
            if image.symbols:
                yield Digest.parse(image.symbols)
            yield from blobs_of(image, blobs)


def _named_by_fetch(one: Held, blobs: BlobStore) -> Iterator[Digest]:
    """A listing and what it lists, a made lock, or one package's files."""
    with suppress(OSError, ValueError):
        if one.name.name[0] == "package":
            yield from map(Digest.parse, msgspec.json.decode(one.value, type=KeptPackage).fetched.blobs)
            return
        named = Digest.parse(one.value.decode())
        yield named
        if one.name.name[0] == "listing":
            yield from map(Digest.parse, msgspec.json.decode(blobs.path(named).read_bytes(), type=Fetched).blobs)


def _sizes(digests: Iterable[Digest], blobs: BlobStore) -> dict[Digest, int]:
    """Of those that are here."""
    found: dict[Digest, int] = {}
    for digest in digests:
        with suppress(FileNotFoundError):
            found[digest] = blobs.path(digest).stat().st_size
    return found
