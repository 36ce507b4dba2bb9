"""Workspaces: for each lineage, the stopped container of its last compile, and what must hold for it to be used again.

A workspace that is in use is not here. Whoever wants one takes it, and records it anew after a compile that can be
trusted; a crash in between leaves a container that no record names, which recovery removes.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest
from cache.keys import Key

_encode = msgspec.json.Encoder().encode
_key = msgspec.json.Decoder(Key).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRecord:
    """A lineage's workspace; times are in seconds since the epoch."""

    scope: str
    project: str
    lineage: str
    key: Key
    """The exact key of what its compile stood on."""
    sandbox: str
    """The container's id; one container is one lineage's."""
    generation: str
    """What the engine said of the container's last run; if it says anything else, somebody has run it since."""
    tree: Digest
    """The source tree that is in it."""
    ledger: bytes
    """JSON, the ecosystem's own: what each unit has read, and in which environment."""
    seconds: float
    """What it would cost to make from nothing: the layer and a compile of everything."""
    size: int
    """Bytes that its compiles have added to what they stood on."""
    created_at: float
    used_at: float
    comparable: str = ""
    """Where another exact key has the same, its compile may go on here, too; empty: none may."""
    holdings: bytes = b"{}"
    """JSON, the pipeline's own: what there is of packages from outside."""


_COLUMNS = ", ".join(WorkspaceRecord.__slots__)
_PLACES = ", ".join(f":{name}" for name in WorkspaceRecord.__slots__)
_LINEAGE = "scope = ? AND project = ? AND lineage = ?"


class Workspaces(Shelf):
    """Workspaces that no build is using, at most one for each lineage."""

    async def take_workspace(self, scope: str, project: str, lineage: str) -> WorkspaceRecord | None:
        """Remove the lineage's workspace from the store and return it: of several takers, one gets it.

        A caller who is cancelled meanwhile may have taken it without being told.
        """
        sql = f"DELETE FROM workspaces WHERE {_LINEAGE} RETURNING {_COLUMNS}"  # noqa: S608 - our own names
        return await self._database.write(lambda tables: _first(tables, sql, scope, project, lineage))

    async def workspace(self, scope: str, project: str, lineage: str) -> WorkspaceRecord | None:
        """The lineage's workspace, which stays; to tell what a build would do."""
        sql = f"SELECT {_COLUMNS} FROM workspaces WHERE {_LINEAGE}"  # noqa: S608 - our own names
        return await self._database.read(lambda tables: _first(tables, sql, scope, project, lineage))

    async def parent_workspace(
        self, scope: str, project: str, lineage: str, key: Key, preferred: str
    ) -> WorkspaceRecord | None:
        """Another lineage's workspace, which stays: one with this exact key if there is any.

        Of several the `preferred` lineage's, else the one that was used last.
        """
        sql = (
            f"SELECT {_COLUMNS} FROM workspaces WHERE scope = ? AND project = ? AND lineage != ? "  # noqa: S608 - ours
            "ORDER BY key = ? DESC, lineage = ? DESC, used_at DESC, rowid DESC LIMIT 1"
        )
        values = (scope, project, lineage, _encode(key), preferred)
        return await self._database.read(lambda tables: _first(tables, sql, *values))

    async def record_workspace(self, workspace: WorkspaceRecord) -> None:
        """Keep a stopped container as its lineage's workspace, in place of one that is recorded."""
        row = {
            **{name: getattr(workspace, name) for name in WorkspaceRecord.__slots__},
            "key": _encode(workspace.key),
            "tree": str(workspace.tree),
        }
        sql = f"INSERT OR REPLACE INTO workspaces ({_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608 - our own names
        await self._database.write(lambda tables: tables.execute(sql, row))

    async def forget_workspace(self, sandbox: str) -> None:
        """Drop the workspace that is this container: it is gone, or it is no longer what was recorded."""
        sql = "DELETE FROM workspaces WHERE sandbox = ?"
        await self._database.write(lambda tables: tables.execute(sql, [sandbox]))

    async def workspace_bytes(self) -> int:
        """What the compiles of all that are not in use have added to what they stand on."""
        sql = "SELECT COALESCE(SUM(size), 0) FROM workspaces"
        total: int = (await self._database.read(lambda tables: tables.execute(sql).fetchone()))[0]
        return total

    async def workspaces(self) -> tuple[WorkspaceRecord, ...]:
        """All that are not in use, the one that was used last at the end."""
        sql = f"SELECT {_COLUMNS} FROM workspaces ORDER BY used_at, rowid"  # noqa: S608 - our own names
        rows = await self._database.read(lambda tables: tables.execute(sql).fetchall())
        return tuple(_record(row) for row in rows)


def _first(tables: Tables, sql: str, *values: str | bytes) -> WorkspaceRecord | None:
    # All are fetched: a statement that is still open would hold up the commit.
    rows = tables.execute(sql, values).fetchall()
    return _record(rows[0]) if rows else None


def _record(row: tuple[Any, ...]) -> WorkspaceRecord:
    values = dict(zip(WorkspaceRecord.__slots__, row, strict=True))
    return WorkspaceRecord(**{**values, "key": _key(values["key"]), "tree": Digest.parse(values["tree"])})
