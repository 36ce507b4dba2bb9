"""What the builds behind an image have opened; it is on record as long as the result that it is of (law 13)."""

import zlib
from dataclasses import dataclass

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest

_encode = msgspec.json.Encoder(order="deterministic").encode
_paths = msgspec.json.Decoder(frozenset[str]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRecord:
    """What was opened for the image of a result."""

    key: Digest
    """The result key."""
    scope: str
    project: str
    lineage: str
    settings: Digest
    """All of that key but the sources."""
    tree: Digest
    opened: frozenset[str]
    """The files of the tree that any step may have read."""
    created_at: float


class Observations(Shelf):
    """What results have opened, by lineage."""

    async def record_observed(self, record: ObservedRecord) -> None:
        """Keep it, as long as its result is on record."""
        row = {
            **{name: getattr(record, name) for name in ObservedRecord.__slots__},
            "key": str(record.key),
            "settings": str(record.settings),
            "tree": str(record.tree),
            "opened": zlib.compress(_encode(record.opened)),
        }

        def work(tables: Tables) -> None:
            # The result may have been pruned meanwhile.
            held = "SELECT 1 FROM results WHERE key = ? AND scope = ?"
            if tables.execute(held, [row["key"], row["scope"]]).fetchone():
                tables.table("observed").insert(row, replace=True)

        await self._database.write(work)

    async def observed(self, scope: str, project: str, lineage: str, settings: Digest) -> ObservedRecord | None:
        """Of the lineage's results with these settings the last one's."""
        sql = (
            "SELECT * FROM observed WHERE scope = ? AND project = ? AND lineage = ? AND settings = ? "
            "ORDER BY created_at DESC, rowid DESC LIMIT 1"
        )
        values = (scope, project, lineage, str(settings))
        row = await self._database.read(lambda tables: next(iter(tables.query(sql, values)), None))
        if row is None:
            return None
        digests = {name: Digest.parse(row[name]) for name in ("key", "settings", "tree")}
        return ObservedRecord(**{**row, **digests, "opened": _paths(zlib.decompress(row["opened"]))})
