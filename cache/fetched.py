"""What was learned once and holds for good: what was fetched, locks that were made, what an image says of itself.

What was fetched is on record for each lock as a whole, and for each package under the place that it was fetched to.
"""

import json
import time
from collections.abc import Collection, Mapping

from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest
from cache.gc import EntryKind, EntryName
from cache.inventory import note


class Fetched(Shelf):
    """Facts by name; a digest names a blob that is on disk before its row."""

    async def fetched(self, key: Digest) -> Digest | None:
        """The blob that lists what was fetched under this key."""
        return await self._digest("SELECT listing FROM fetched WHERE key = ?", str(key))

    async def record_fetched(self, key: Digest, listing: Digest) -> None:
        """Remember it."""
        name = EntryName(EntryKind.FETCHED, ("listing", str(key)))
        await self._keep("INSERT OR REPLACE INTO fetched VALUES (?, ?)", {name: (str(key), str(listing))})

    async def kept_packages(self, place: Digest, names: Collection[str]) -> Mapping[str, bytes]:
        """JSON of what is kept of each of these packages, where something is."""
        sql = "SELECT name, value FROM kept_packages WHERE place = ? AND name IN (SELECT value FROM json_each(?))"
        values = [str(place), json.dumps(sorted(names))]
        return dict(await self._database.read(lambda tables: tables.execute(sql, values).fetchall()))

    async def keep_packages(self, place: Digest, packages: Mapping[str, bytes]) -> None:
        """Keep these, in place of what was kept under their names."""
        sql = "INSERT OR REPLACE INTO kept_packages VALUES (?, ?, ?)"
        where = str(place)
        rows = {
            EntryName(EntryKind.FETCHED, ("package", where, name)): (where, name, value)
            for name, value in packages.items()
        }
        await self._keep(sql, rows)

    async def made_lock(self, key: Digest) -> Digest | None:
        """The lock that was made under this key."""
        return await self._digest("SELECT lock FROM made_locks WHERE key = ?", str(key))

    async def record_made_lock(self, key: Digest, lock: Digest) -> None:
        """Remember it."""
        name = EntryName(EntryKind.FETCHED, ("lock", str(key)))
        await self._keep("INSERT OR REPLACE INTO made_locks VALUES (?, ?)", {name: (str(key), str(lock))})

    async def toolchain_facts(self, image_id: str) -> bytes | None:
        """JSON of what a toolchain image told about itself."""
        return await self._value("SELECT value FROM toolchain_facts WHERE image_id = ?", image_id)

    async def record_toolchain_facts(self, image_id: str, value: bytes) -> None:
        """Keep a toolchain image's facts."""
        await self._put("INSERT OR REPLACE INTO toolchain_facts VALUES (?, ?)", image_id, value)

    async def access_times(self, engine: Digest) -> bytes | None:
        """JSON of what an engine's access times tell."""
        return await self._value("SELECT value FROM access_times WHERE engine = ?", str(engine))

    async def record_access_times(self, engine: Digest, value: bytes) -> None:
        """Keep it."""
        await self._put("INSERT OR REPLACE INTO access_times VALUES (?, ?)", str(engine), value)

    async def library(self, image_id: str, path: str) -> bytes | None:
        """JSON of what is known of one file of an image."""
        return await self._value("SELECT value FROM libraries WHERE image_id = ? AND path = ?", image_id, path)

    async def record_library(self, image_id: str, path: str, value: bytes) -> None:
        """Keep what is known of one file of an image."""
        await self._put("INSERT OR REPLACE INTO libraries VALUES (?, ?, ?)", image_id, path, value)

    async def _keep(self, sql: str, rows: Mapping[EntryName, tuple[str | bytes, ...]]) -> None:
        """With the time: what was fetched is as old as its last use."""
        now = time.time()

        def work(tables: Tables) -> None:
            tables.conn.executemany(sql, rows.values())
            note(tables, dict.fromkeys(rows, now))

        await self._database.write(work)

    async def _one(self, sql: str, *values: str) -> object:
        row = await self._database.read(lambda tables: tables.execute(sql, values).fetchone())
        return row[0] if row else None

    async def _digest(self, sql: str, *values: str) -> Digest | None:
        value = await self._one(sql, *values)
        return None if value is None else Digest.parse(str(value))

    async def _value(self, sql: str, *values: str) -> bytes | None:
        value = await self._one(sql, *values)
        assert value is None or isinstance(value, bytes)
        return value

    async def _put(self, sql: str, *values: str | bytes) -> None:
        await self._database.write(lambda tables: tables.execute(sql, values))
