"""Source trees by their digest: the listing alone, its files are blobs."""

import time

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest
from cache.tree import SourceTree

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SourceTree).decode


class Trees(Shelf):
    """Uploaded trees."""

    async def put_tree(self, tree: SourceTree) -> None:
        """Keep the listing of a tree whose blobs are all on the disk."""
        row = (str(tree.digest), _encode(tree), time.time())
        await self._database.write(lambda tables: tables.execute("INSERT OR IGNORE INTO trees VALUES (?, ?, ?)", row))

    async def tree(self, digest: Digest) -> SourceTree | None:
        """The tree of this name, or None where it was never uploaded."""

        def work(tables: Tables) -> SourceTree | None:
            row = tables.execute("SELECT listing FROM trees WHERE digest = ?", [str(digest)]).fetchone()
            return _decode(row[0]) if row else None

        return await self._database.read(work)
