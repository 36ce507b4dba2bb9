"""What was learned once and holds for good: what was fetched, locks that were made, what an image says of itself.

Crate archives need no row: they are blobs named by the lock's checksum.
"""

from collections.abc import Collection, Mapping

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest


class Fetched(Shelf):
    """Facts by name; a digest names a blob that is on disk before its row."""

    async def fetched(self, key: Digest) -> Digest | None:
        """The blob that lists what was fetched under this key."""
        return await self._digest("SELECT listing FROM fetched WHERE key = ?", str(key))

    async def record_fetched(self, key: Digest, listing: Digest) -> None:
        """Remember it."""
        await self._put("INSERT OR REPLACE INTO fetched VALUES (?, ?)", str(key), str(listing))

    async def made_lock(self, key: Digest) -> Digest | None:
        """The lock that was made under this key."""
        return await self._digest("SELECT lock FROM made_locks WHERE key = ?", str(key))

    async def record_made_lock(self, key: Digest, lock: Digest) -> None:
        """Remember it."""
        await self._put("INSERT OR REPLACE INTO made_locks VALUES (?, ?)", str(key), str(lock))

    async def index_entries(self, registry: str, crates: Collection[str]) -> dict[str, Digest]:
        """The index entries that are kept, by crate; one may be older than the lock wants."""
        sql = "SELECT crate, digest FROM index_entries WHERE registry = ? AND crate IN (SELECT value FROM json_each(?))"
        names = msgspec.json.encode(list(crates)).decode()
        rows = await self._database.read(lambda tables: tables.execute(sql, [registry, names]).fetchall())
        return {crate: Digest.parse(digest) for crate, digest in rows}

    async def record_index_entries(self, registry: str, entries: Mapping[str, Digest]) -> None:
        """Keep entries, in place of older ones of the same crates."""
        rows = [(registry, crate, str(digest)) for crate, digest in entries.items()]

        def work(tables: Tables) -> None:
            tables.conn.executemany("INSERT OR REPLACE INTO index_entries VALUES (?, ?, ?)", rows)

        await self._database.write(work)

    async def git_checkouts(self, key: str) -> Digest | None:
        """The blob that holds the checkouts under this key."""
        return await self._digest("SELECT digest FROM git_checkouts WHERE key = ?", key)

    async def record_git_checkouts(self, key: str, digest: Digest) -> None:
        """Keep checkouts."""
        await self._put("INSERT OR REPLACE INTO git_checkouts VALUES (?, ?)", key, str(digest))

    async def toolchain_facts(self, image_id: str) -> bytes | None:
        """JSON of what a toolchain image told about itself."""
        return await self._value("SELECT value FROM toolchain_facts WHERE image_id = ?", image_id)

    async def record_toolchain_facts(self, image_id: str, value: bytes) -> None:
        """Keep a toolchain image's facts."""
        await self._put("INSERT OR REPLACE INTO toolchain_facts VALUES (?, ?)", image_id, value)

    async def library(self, image_id: str, path: str) -> bytes | None:
        """JSON of what is known of one file of an image."""
        return await self._value("SELECT value FROM libraries WHERE image_id = ? AND path = ?", image_id, path)

    async def record_library(self, image_id: str, path: str, value: bytes) -> None:
        """Keep what is known of one file of an image."""
        await self._put("INSERT OR REPLACE INTO libraries VALUES (?, ?, ?)", image_id, path, value)

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
