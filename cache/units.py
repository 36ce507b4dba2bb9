"""Compiled units: what one cook compiled of a package from outside, kept for every later cook under the same unit key.

A unit is written once and never replaced, and what is stored is closed: all that a unit was compiled against is stored
too, which the database itself holds. Every question names a trust scope and a unit key, so nobody reads what another
scope wrote. A unit's files are a blob, which is on disk before its row; when a row goes, the caller is told which blobs
no row names any more.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import heapify, heappop, heappush
from typing import Any

from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest


class UnitKind(StrEnum):
    """What cargo made when it made a unit."""

    LIBRARY = "library"
    """A library or a procedural macro."""
    BUILD_SCRIPT = "build_script"
    """A build script, compiled."""
    RUN = "run"
    """What running a build script left."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class UnitOrigin:
    """A package from outside and what proves its sources: the lock's checksum, or the revision of a git repository."""

    name: str
    version: str
    source: str
    """As cargo names it in its messages: `registry+https://…`, `git+https://…?branch=main`."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRecord:
    """One unit; sizes are bytes, times seconds since the epoch."""

    scope: str
    unit_key: Digest
    digest: Digest
    """What its files are, in their canonical archive; other units name it by this."""
    blob: Digest
    """That archive, compressed."""
    home: str
    """Its directory of the target directory: `release`, `x86_64-unknown-linux-gnu/release`."""
    unit_hash: str
    fingerprint: str
    """Cargo's own, which covers what the unit hash leaves out; both are 16 hexadecimal digits."""
    origin: UnitOrigin
    kind: UnitKind
    features: tuple[str, ...]
    profile: str
    """Cargo's number for the profile's settings; `0` for a run."""
    platform: str
    """`host`, or the triple of the target."""
    dependencies: tuple[Digest, ...]
    """The units that it was compiled against."""
    cook: str
    """Names the cook that made it, among all of its scope."""
    seconds: float
    size: int
    """Of the blob."""
    unpacked: int
    """Of the archive in it."""
    created_at: float
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedUnits:
    """What became of units that were handed in."""

    stored: tuple[Digest, ...]
    """New, or stored already with these very bytes."""
    differing: tuple[Digest, ...]
    """Another unit has their place: the same unit hash and fingerprint, and other bytes."""
    unfounded: tuple[Digest, ...]
    """Something that they were compiled against is not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedUnits:
    """What went: units, blobs that no row names any more, and the cooks of which all is gone."""

    units: tuple[UnitRecord, ...]
    blobs: tuple[Digest, ...]
    cooks: tuple[str, ...] = ()


_COLUMNS = (
    *("scope", "unit_key", "digest", "blob", "home", "unit_hash", "fingerprint", "name", "version", "source", "proof"),
    *("kind", "features", "profile", "platform", "cook", "seconds", "size", "unpacked", "created_at", "used_at"),
)
_NAMES = ", ".join(f"units.{name}" for name in _COLUMNS)
_SELECT = f"""
    SELECT {_NAMES}, (SELECT json_group_array(dependency) FROM (
        SELECT dependency FROM unit_dependencies AS edge
        WHERE edge.scope = units.scope AND edge.unit_key = units.unit_key AND edge.unit = units.digest
        ORDER BY dependency
    )) FROM units
"""  # noqa: S608 - our own names
_INSERT = f"INSERT INTO units VALUES ({', '.join('?' for _ in _COLUMNS)})"  # noqa: S608 - our own names
_LISTED = "IN (SELECT value FROM json_each(?))"
_DEPENDENTS = """
    WITH RECURSIVE gone(digest) AS (
        SELECT digest FROM units WHERE scope = ?1 AND unit_key = ?2 AND digest IN (SELECT value FROM json_each(?3))
        UNION
        SELECT edge.unit FROM unit_dependencies AS edge JOIN gone ON edge.dependency = gone.digest
        WHERE edge.scope = ?1 AND edge.unit_key = ?2
    )
    SELECT digest FROM gone
"""
_Place = tuple[str, str]
"""A scope and a unit key."""


class Units(Shelf):
    """Units by scope and unit key."""

    async def units(self, scope: str, unit_key: Digest, names: Collection[str]) -> tuple[UnitRecord, ...]:
        """The stored units of the packages with these names, the newest first."""
        sql = (
            f"{_SELECT} WHERE units.scope = ? AND units.unit_key = ? AND units.name {_LISTED} "
            "ORDER BY units.created_at DESC, units.rowid DESC"
        )
        values = (scope, str(unit_key), _list(names))
        return await self._database.read(lambda tables: _records(tables, sql, values))

    async def unit_bytes(self) -> int:
        """The blobs of all units together; scopes that share one count it each."""
        sql = "SELECT COALESCE(SUM(size), 0) FROM units"
        total: int = (await self._database.read(lambda tables: tables.execute(sql).fetchone()))[0]
        return total

    async def record_units(self, units: Sequence[UnitRecord], given: Iterable[str] = ()) -> RecordedUnits:
        """Keep the units of one cook, each after those that it was compiled against; nothing is replaced.

        `given` are the cooks whose units it had been given: what revokes one of them revokes this one.
        """
        givers = sorted(set(given))
        return await self._database.write(lambda tables: _record(tables, units, givers))

    async def touch_units(self, scope: str, unit_key: Digest, digests: Iterable[Digest], at: float) -> None:
        """Note that these were used."""
        sql = f"UPDATE units SET used_at = MAX(used_at, ?) WHERE scope = ? AND unit_key = ? AND digest {_LISTED}"  # noqa: S608 - our own names
        values = (at, scope, str(unit_key), _list(map(str, digests)))
        await self._database.write(lambda tables: tables.execute(sql, values))

    async def forget_units(self, scope: str, unit_key: Digest, digests: Iterable[Digest]) -> RemovedUnits:
        """Drop units that are damaged or not to be trusted, with all that was compiled against them."""
        place, listed = (scope, str(unit_key)), _list(map(str, digests))
        return await self._database.write(lambda tables: _removed(tables, {place: _dependents(tables, place, listed)}))

    async def revoke_cook(self, scope: str, cook: str) -> RemovedUnits:
        """Drop all units of a cook, of every cook that had any of them in it, and what was compiled against them.

        What a build script of the cook did may be in every file that was made beside it.
        """
        return await self._database.write(lambda tables: _revoked(tables, scope, cook))

    async def evict_units(self, keep: int) -> RemovedUnits:
        """Drop units until the blobs of the others are no more than `keep` bytes: the longest unused first.

        A unit that another stored unit was compiled against stays until that one has gone.
        """
        return await self._database.write(lambda tables: _evicted(tables, keep))


def _list(values: Iterable[str]) -> str:
    return json.dumps(sorted(set(values)))


def _records(tables: Tables, sql: str, values: Sequence[str]) -> tuple[UnitRecord, ...]:
    return tuple(_unit(row) for row in tables.execute(sql, values).fetchall())


def _unit(row: tuple[Any, ...]) -> UnitRecord:
    value = dict(zip((*_COLUMNS, "dependencies"), row, strict=True))
    origin = UnitOrigin(**{part: value.pop(part) for part in UnitOrigin.__slots__})
    read = {
        "unit_key": Digest.parse(value["unit_key"]),
        "digest": Digest.parse(value["digest"]),
        "blob": Digest.parse(value["blob"]),
        "kind": UnitKind(value["kind"]),
        "features": tuple(json.loads(value["features"])),
        "dependencies": tuple(Digest.parse(each) for each in json.loads(value["dependencies"])),
    }
    return UnitRecord(**{**value, **read, "origin": origin})


def _row(unit: UnitRecord) -> list[str | float]:
    origin = {part: getattr(unit.origin, part) for part in UnitOrigin.__slots__}
    value = {name: getattr(unit, name) for name in _COLUMNS if name not in origin} | origin
    written = {"features": json.dumps(unit.features)}
    written |= {name: str(value[name]) for name in ("unit_key", "digest", "blob", "kind")}
    return [{**value, **written}[name] for name in _COLUMNS]


def _record(tables: Tables, units: Sequence[UnitRecord], givers: Sequence[str]) -> RecordedUnits:
    stored: list[Digest] = []
    differing: list[Digest] = []
    unfounded: list[Digest] = []
    for unit in units:
        place = (unit.scope, str(unit.unit_key))
        known = tables.execute(
            "SELECT digest FROM units WHERE scope = ? AND unit_key = ? AND home = ? AND unit_hash = ? "
            "AND fingerprint = ?",
            [*place, unit.home, unit.unit_hash, unit.fingerprint],
        ).fetchone()
        if known:
            (stored if known[0] == str(unit.digest) else differing).append(unit.digest)
        elif _count(tables, place, unit.dependencies) < len(set(unit.dependencies)):
            unfounded.append(unit.digest)
        else:
            tables.execute(_INSERT, _row(unit))
            tables.conn.executemany(
                "INSERT INTO unit_dependencies VALUES (?, ?, ?, ?)",
                [[*place, str(unit.digest), str(each)] for each in sorted(set(unit.dependencies))],
            )
            _note_givers(tables, unit, givers)
            stored.append(unit.digest)
    return RecordedUnits(stored=tuple(stored), differing=tuple(differing), unfounded=tuple(unfounded))


def _count(tables: Tables, place: _Place, digests: Iterable[Digest]) -> int:
    sql = f"SELECT COUNT(*) FROM units WHERE scope = ? AND unit_key = ? AND digest {_LISTED}"  # noqa: S608 - our own names
    found: int = tables.execute(sql, [*place, _list(map(str, digests))]).fetchone()[0]
    return found


def _note_givers(tables: Tables, unit: UnitRecord, givers: Sequence[str]) -> None:
    """With those that gave to the givers, so that their rows may go when their units do."""
    sql = """
        INSERT OR IGNORE INTO unit_givers SELECT ?1, ?2, value FROM json_each(?3)
        UNION SELECT ?1, ?2, giver FROM unit_givers WHERE scope = ?1 AND cook IN (SELECT value FROM json_each(?3))
    """
    tables.execute(sql, [unit.scope, unit.cook, json.dumps(givers)])


def _dependents(tables: Tables, place: _Place, listed: str) -> set[str]:
    """These units and all that were compiled against them."""
    return {row[0] for row in tables.execute(_DEPENDENTS, [*place, listed]).fetchall()}


def _revoked(tables: Tables, scope: str, cook: str) -> RemovedUnits:
    sql = "SELECT ?2 UNION SELECT cook FROM unit_givers WHERE scope = ?1 AND giver = ?2"
    cooks = sorted(row[0] for row in tables.execute(sql, [scope, cook]).fetchall())
    sql = f"SELECT unit_key, json_group_array(digest) FROM units WHERE scope = ? AND cook {_LISTED} GROUP BY unit_key"  # noqa: S608 - our own names
    rows = tables.execute(sql, [scope, _list(cooks)]).fetchall()
    gone = {(scope, unit_key): _dependents(tables, (scope, unit_key), listed) for unit_key, listed in rows}
    removed = _removed(tables, gone)
    return RemovedUnits(units=removed.units, blobs=removed.blobs, cooks=tuple(cooks))


def _evicted(tables: Tables, keep: int) -> RemovedUnits:
    rows = tables.execute("SELECT scope, unit_key, digest, used_at, size FROM units").fetchall()
    edges = tables.execute("SELECT scope, unit_key, unit, dependency FROM unit_dependencies").fetchall()
    units = {(scope, unit_key, digest): (used_at, size) for scope, unit_key, digest, used_at, size in rows}
    dependents = Counter((scope, unit_key, dependency) for scope, unit_key, _, dependency in edges)
    dependencies: dict[tuple[str, str, str], list[tuple[str, str, str]]] = {}
    for scope, unit_key, unit, dependency in edges:
        dependencies.setdefault((scope, unit_key, unit), []).append((scope, unit_key, dependency))
    free = [(used_at, unit) for unit, (used_at, _) in units.items() if not dependents[unit]]
    heapify(free)
    total = sum(size for _, size in units.values())
    gone: dict[_Place, set[str]] = {}
    while total > keep and free:
        _, unit = heappop(free)
        gone.setdefault(unit[:2], set()).add(unit[2])
        total -= units[unit][1]
        for dependency in dependencies.get(unit, ()):
            dependents[dependency] -= 1
            if not dependents[dependency]:
                heappush(free, (units[dependency][0], dependency))
    return _removed(tables, gone)


def _removed(tables: Tables, gone: dict[_Place, set[str]]) -> RemovedUnits:
    where = f"scope = ? AND unit_key = ? AND digest {_LISTED}"
    units: list[UnitRecord] = []
    for place, digests in gone.items():
        values = [*place, _list(digests)]
        units += _records(tables, f"{_SELECT} WHERE {where} ORDER BY units.rowid", values)
        tables.execute(f"DELETE FROM units WHERE {where}", values)  # noqa: S608 - our own names
    tables.execute(
        "DELETE FROM unit_givers WHERE NOT EXISTS "
        "(SELECT 1 FROM units WHERE units.scope = unit_givers.scope AND units.cook = unit_givers.cook)"
    )
    sql = f"SELECT DISTINCT blob FROM units WHERE blob {_LISTED}"  # noqa: S608 - our own names
    named = {row[0] for row in tables.execute(sql, [_list(str(unit.blob) for unit in units)]).fetchall()}
    blobs = dict.fromkeys(unit.blob for unit in units if str(unit.blob) not in named)
    return RemovedUnits(units=tuple(units), blobs=tuple(blobs))
