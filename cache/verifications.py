"""Builds that are built again clean: which wait for it, and what came of it.

What a result means is the daemon's to say, and its own words are JSON here.
"""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest
from cache.gc import EntryKind, EntryName


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationRecord:
    """One build's; `at` is Unix time."""

    build: str
    scope: str
    key: Digest
    """The result key."""
    images: str
    """The digests of what was built."""
    result: str
    value: bytes
    """JSON of all that is told of it."""
    at: float


_COLUMNS = ", ".join(VerificationRecord.__slots__)
_PLACES = ", ".join(f":{name}" for name in VerificationRecord.__slots__)
_REUSABLE = {
    EntryKind.RESULT: "scope, key",
    EntryKind.WORKSPACE: "scope, sandbox",
    EntryKind.LAYER: "scope, key, private, image_id",
}
_LISTED = "IN (SELECT value FROM json_each(?))"


class Verifications(Shelf):
    """Verifications by build."""

    async def record_verification(self, record: VerificationRecord) -> None:
        """Keep it, in place of what was known of the same build."""
        row = {**{name: getattr(record, name) for name in VerificationRecord.__slots__}, "key": str(record.key)}
        sql = f"INSERT OR REPLACE INTO verifications ({_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608 - our own names
        await self._database.write(lambda tables: tables.execute(sql, row))

    async def verifications_in(self, result: str) -> tuple[VerificationRecord, ...]:
        """All with this result, in their order."""
        sql = f"SELECT {_COLUMNS} FROM verifications WHERE result = ? ORDER BY rowid"  # noqa: S608 - our own names
        rows = await self._database.read(lambda tables: list(tables.query(sql, [result])))
        return tuple(VerificationRecord(**{**row, "key": Digest.parse(row["key"])}) for row in rows)

    async def is_verified(self, scope: str, key: Digest, images: str, results: Collection[str]) -> bool:
        """Whether these very images of a result key have one of these results, for whatever build."""
        sql = f"SELECT 1 FROM verifications WHERE scope = ? AND key = ? AND images = ? AND result {_LISTED}"  # noqa: S608 - our own names
        values = (scope, str(key), images, _list(results))
        return await self._database.read(lambda tables: bool(tables.execute(sql, values).fetchall()))

    async def cooks_of_layers(self, scope: str) -> tuple[tuple[str, bytes], ...]:
        """The project of each layer, and the JSON of the notes on its cook."""
        sql = "SELECT project, cook FROM layers WHERE scope = ?"
        return tuple(await self._database.read(lambda tables: tables.execute(sql, [scope]).fetchall()))

    async def reusable_of(self, scope: str, projects: Collection[str]) -> frozenset[EntryName]:
        """The results, workspaces and layers of these projects."""
        return await self._database.read(lambda tables: _reusable(tables, scope, projects))


def _reusable(tables: Tables, scope: str, projects: Collection[str]) -> frozenset[EntryName]:
    found: set[EntryName] = set()
    for kind, columns in _REUSABLE.items():
        sql = f"SELECT {columns} FROM {kind}s WHERE scope = ? AND project {_LISTED}"  # noqa: S608 - our own names
        rows = tables.execute(sql, [scope, _list(projects)]).fetchall()
        found |= {EntryName(kind, tuple(row)) for row in rows}
    return frozenset(found)


def _list(values: Collection[str]) -> str:
    return msgspec.json.encode(sorted(values)).decode()
