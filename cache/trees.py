"""Source trees by their digest: the listing alone, its files are blobs."""

import time
from collections.abc import Iterable

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest
from cache.tree import SourceTree

_encode = msgspec.json.Encoder().encode
read_listing = msgspec.json.Decoder(SourceTree).decode
"""A tree from its row."""


class Trees(Shelf):
    """Uploaded trees."""

    async def put_tree(self, tree: SourceTree) -> None:
        """Keep the listing of a tree whose blobs are all on the disk."""
        row = (str(tree.digest), _encode(tree), time.time())
        await self._database.write(lambda tables: tables.execute("INSERT OR IGNORE INTO trees VALUES (?, ?, ?)", row))

    async def tree(self, digest: Digest) -> SourceTree | None:
        """The tree of this name, or None where it was never uploaded."""
        return await self._tree("SELECT listing FROM trees WHERE digest = ?", str(digest))

    async def forget_tree(self, digest: Digest) -> None:
        """Drop a tree, for every scope: a file of it is gone or damaged, and it has to be sent again."""

        def work(tables: Tables) -> None:
            for sql in ("DELETE FROM trees WHERE digest = ?", "DELETE FROM scope_trees WHERE tree = ?"):
                tables.execute(sql, [str(digest)])

        await self._database.write(work)

    async def own_tree(self, tree: SourceTree, scope: str) -> None:
        """Keep the listing, and that this scope sent it and holds all its files."""
        kept = (str(tree.digest), _encode(tree), time.time())
        files = [(scope, str(digest)) for digest in {entry.digest for entry in tree.files() if entry.digest}]

        def work(tables: Tables) -> None:
            tables.execute("INSERT OR IGNORE INTO trees VALUES (?, ?, ?)", kept)
            tables.execute("INSERT OR IGNORE INTO scope_trees VALUES (?, ?)", (scope, kept[0]))
            tables.conn.executemany("INSERT OR IGNORE INTO scope_blobs VALUES (?, ?)", files)

        await self._database.write(work)

    async def owned_tree(self, digest: Digest, scope: str) -> SourceTree | None:
        """The tree of this name, or None where this scope never sent it."""
        sql = "SELECT listing FROM trees JOIN scope_trees ON tree = digest WHERE scope = ? AND digest = ?"
        return await self._tree(sql, scope, str(digest))

    async def not_owned(self, digests: Iterable[Digest], scope: str) -> tuple[Digest, ...]:
        """Those of which no tree that this scope sent has a file, each once, in the order given."""
        asked = {str(digest): digest for digest in digests}
        # CROSS JOIN holds the order: one look into the index for each digest, not one list for each row.
        sql = "SELECT blob FROM json_each(?) CROSS JOIN scope_blobs ON scope = ? AND blob = value"
        values = (msgspec.json.encode(list(asked)).decode(), scope)
        rows = await self._database.read(lambda tables: tables.execute(sql, values).fetchall())
        owned = {row[0] for row in rows}
        return tuple(digest for text, digest in asked.items() if text not in owned)

    async def _tree(self, sql: str, *values: str) -> SourceTree | None:
        def work(tables: Tables) -> SourceTree | None:
            row = tables.execute(sql, values).fetchone()
            return read_listing(row[0]) if row else None

        return await self._database.read(work)
