"""All that is on record and could go, as rows of one moment; when each was used last; and taking them off the record.

What the rows' JSON means is the daemon's to say (`daemon.inventory`).
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest
from cache.gc import HALF_LIFE, EntryKind, EntryName
from cache.keys import Key

_FORGOTTEN = 30 * HALF_LIFE
_key = msgspec.json.Decoder(Key).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One row. `value` is what is read only to weigh it; `blobs` are those that the row itself names."""

    name: EntryName
    at: float
    """When it was made or used last; 0 where that is not known."""
    seconds: float = 0.0
    size: int = 0
    value: bytes = b""
    blobs: Mapping[Digest, int] = field(default_factory=dict)
    needs: tuple[EntryName, ...] = ()
    key: Digest | None = None
    """The exact key of what a workspace's compile stood on."""


class Inventory(Shelf):
    """Looks over the whole store."""

    async def holdings(self) -> tuple[Held, ...]:
        """Every row that could go."""
        return await self._database.read(_holdings)

    async def note_uses(self, uses: Mapping[EntryName, float]) -> None:
        """Remember when these were used."""

        def work(tables: Tables) -> None:
            note(tables, uses)
            # Of entries that are on record no more, or never were.
            tables.execute("DELETE FROM uses WHERE at < ?", [max(uses.values(), default=0.0) - _FORGOTTEN])

        await self._database.write(work)

    async def take_off(self, names: Collection[EntryName]) -> frozenset[EntryName]:
        """Drop these rows; returns those that were still there. Units are not among them: `forget_units` knows how."""
        return await self._database.write(lambda tables: _taken_off(tables, names))


def note(tables: Tables, uses: Mapping[EntryName, float]) -> None:
    """The same, in the caller's transaction."""
    rows = [(str(name.kind), json.dumps(name.name), at) for name, at in uses.items()]
    sql = "INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = MAX(at, excluded.at)"
    tables.conn.executemany(sql, rows)


def _holdings(tables: Tables) -> tuple[Held, ...]:
    rows = tables.execute("SELECT kind, name, at FROM uses").fetchall()
    uses: dict[tuple[str, str], float] = {(kind, name): at for kind, name, at in rows}

    def used(name: EntryName, made: float) -> float:
        return max(made, uses.get((str(name.kind), json.dumps(name.name)), 0.0))

    found: list[Held] = []
    for read in (_results, _layers, _workspaces, _units, _fetched, _trees):
        found.extend(read(tables, used))
    return tuple(found)


_Used = Callable[[EntryName, float], float]


def _rows(tables: Tables, sql: str) -> list[tuple[Any, ...]]:
    return tables.execute(sql).fetchall()


def _results(tables: Tables, used: _Used) -> Iterable[Held]:
    for scope, key, outcome, seconds, made in _rows(
        tables, "SELECT scope, key, outcome, seconds, created_at FROM results"
    ):
        name = EntryName(EntryKind.RESULT, (scope, key))
        yield Held(name=name, at=used(name, made), seconds=seconds, value=outcome)


def _layers(tables: Tables, used: _Used) -> Iterable[Held]:
    sql = "SELECT scope, key, private, image_id, seconds, size, cook, created_at FROM layers"
    for scope, key, private, image, seconds, size, cook, made in _rows(tables, sql):
        name = EntryName(EntryKind.LAYER, (scope, key, private, image))
        yield Held(name=name, at=used(name, made), seconds=seconds, size=size, value=cook)


def _workspaces(tables: Tables, used: _Used) -> Iterable[Held]:
    sql = "SELECT scope, sandbox, key, tree, seconds, size, used_at FROM workspaces"
    for scope, sandbox, key, tree, seconds, size, made in _rows(tables, sql):
        name = EntryName(EntryKind.WORKSPACE, (scope, sandbox))
        yield Held(
            name=name,
            at=used(name, made),
            seconds=seconds,
            size=size,
            needs=(EntryName(EntryKind.TREE, (tree,)),),
            key=_key(key).digest,
        )


def _units(tables: Tables, used: _Used) -> Iterable[Held]:
    needs: dict[tuple[str, ...], list[EntryName]] = {}
    for scope, place, unit, on in _rows(tables, "SELECT scope, unit_key, unit, dependency FROM unit_dependencies"):
        needs.setdefault((scope, place, unit), []).append(EntryName(EntryKind.UNIT, (scope, place, on)))
    sql = "SELECT scope, unit_key, digest, blob, seconds, size, used_at, home, unit_hash FROM units"
    for scope, place, unit, blob, seconds, size, at, home, unit_hash in _rows(tables, sql):
        name = EntryName(EntryKind.UNIT, (scope, place, unit))
        yield Held(
            name=name,
            at=used(name, at),
            seconds=seconds,
            value=json.dumps([home, unit_hash]).encode(),
            blobs={Digest.parse(blob): size},
            needs=tuple(needs.get(name.name, ())),
        )


def _fetched(tables: Tables, used: _Used) -> Iterable[Held]:
    for key, listing in _rows(tables, "SELECT key, listing FROM fetched"):
        name = EntryName(EntryKind.FETCHED, ("listing", key))
        yield Held(name=name, at=used(name, 0.0), value=str(listing).encode())
    for key, lock in _rows(tables, "SELECT key, lock FROM made_locks"):
        name = EntryName(EntryKind.FETCHED, ("lock", key))
        yield Held(name=name, at=used(name, 0.0), value=str(lock).encode())
    for place, package, value in _rows(tables, "SELECT place, name, value FROM kept_packages"):
        name = EntryName(EntryKind.FETCHED, ("package", place, package))
        yield Held(name=name, at=used(name, 0.0), value=value)


def _trees(tables: Tables, used: _Used) -> Iterable[Held]:
    for digest, listing, made in _rows(tables, "SELECT digest, listing, created_at FROM trees"):
        name = EntryName(EntryKind.TREE, (digest,))
        yield Held(name=name, at=used(name, made), value=listing)


_DELETES: Mapping[tuple[EntryKind, str], tuple[str, ...]] = {
    (EntryKind.RESULT, ""): ("DELETE FROM results WHERE scope = ? AND key = ?",),
    (EntryKind.LAYER, ""): ("DELETE FROM layers WHERE scope = ? AND key = ? AND private = ? AND image_id = ?",),
    (EntryKind.WORKSPACE, ""): ("DELETE FROM workspaces WHERE scope = ? AND sandbox = ?",),
    (EntryKind.TREE, ""): ("DELETE FROM trees WHERE digest = ?", "DELETE FROM scope_trees WHERE tree = ?"),
    (EntryKind.FETCHED, "listing"): ("DELETE FROM fetched WHERE key = ?",),
    (EntryKind.FETCHED, "lock"): ("DELETE FROM made_locks WHERE key = ?",),
    (EntryKind.FETCHED, "package"): ("DELETE FROM kept_packages WHERE place = ? AND name = ?",),
}


def _taken_off(tables: Tables, names: Collection[EntryName]) -> frozenset[EntryName]:
    gone: set[EntryName] = set()
    for name in names:
        sort, values = ("", name.name) if name.kind is not EntryKind.FETCHED else (name.name[0], name.name[1:])
        first, *others = _DELETES[name.kind, sort]
        if tables.execute(first, values).rowcount:
            gone.add(name)
        for sql in others:
            tables.execute(sql, values)
        tables.execute("DELETE FROM uses WHERE kind = ? AND name = ?", [str(name.kind), json.dumps(name.name)])
    return frozenset(gone)
