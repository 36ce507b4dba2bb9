"""What can be reused: dependency layers and results by key, and which build each tag of an image belongs to.

A trust scope never reads what another wrote: the scope is part of every question. A layer that is private to a project
answers that project alone. Ids of images are the engine's; whether an image is still there is the caller's to check.
"""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest
from cache.keys import Key

_encode = msgspec.json.Encoder().encode
_key = msgspec.json.Decoder(Key).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """A dependency layer: a committed image, and what it cost to cook in seconds.

    `size` is the bytes that it adds to the toolchain image under it.
    """

    key: Key
    scope: str
    project: str
    image_id: str
    reference: str
    seconds: float
    size: int
    created_at: float
    private: str = ""
    """The only project that may use it; empty: every project of the scope."""
    cook: bytes = b"{}"
    """JSON of the pipeline's own notes on the cook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """A finished build's outcome (JSON) under its result key, and what it cost in seconds."""

    key: Key
    scope: str
    project: str
    lineage: str
    outcome: bytes
    seconds: float
    created_at: float
    build_id: str


class TagMove(StrEnum):
    """Whether a build may move a tag."""

    MOVE = "move"
    """The tag is this build's now."""
    KEEP = "keep"
    """A build that was accepted later has it already."""


@dataclass(frozen=True, slots=True)
class TagOwner:
    """The build that a tag belongs to, by its sequence, and its image."""

    tag: str
    sequence: int
    image_id: str


class Index(Shelf):
    """Layers, results, tags."""

    async def layer(self, key: Digest, scope: str, project: str = "") -> LayerRecord | None:
        """The layer of this exact key that the project may use: its own private one, or the scope's."""
        sql = "SELECT * FROM layers WHERE key = ? AND scope = ? AND private IN ('', ?) ORDER BY private DESC LIMIT 1"
        return await self._layer(sql, str(key), scope, project)

    async def latest_layer(self, scope: str, project: str) -> LayerRecord | None:
        """The layer that the project cooked last; to name what changed since."""
        sql = "SELECT * FROM layers WHERE scope = ? AND project = ? ORDER BY created_at DESC, rowid DESC LIMIT 1"
        return await self._layer(sql, scope, project)

    async def record_layer(self, layer: LayerRecord) -> None:
        """Keep a layer, in place of one with its key; its image is committed by now."""
        row = {
            **{name: getattr(layer, name) for name in LayerRecord.__slots__ if name != "key"},
            "key": str(layer.key.digest),
            "parts": _encode(layer.key),
        }
        await self._database.write(lambda tables: _replace(tables, "layers", row))

    async def forget_layer(self, key: Digest, scope: str, project: str = "") -> None:
        """Drop the layers that `layer` would answer with: their image is gone or damaged."""
        sql = "DELETE FROM layers WHERE key = ? AND scope = ? AND private IN ('', ?)"
        await self._database.write(lambda tables: tables.execute(sql, [str(key), scope, project]))

    async def layer_images(self) -> frozenset[str]:
        """The ids of all images that are layers."""
        rows = await self._database.read(lambda tables: tables.execute("SELECT image_id FROM layers").fetchall())
        return frozenset(row[0] for row in rows)

    async def layer_bytes(self) -> int:
        """What all layers add to the toolchain images that they stand on."""
        sql = "SELECT COALESCE(SUM(size), 0) FROM layers"
        total: int = (await self._database.read(lambda tables: tables.execute(sql).fetchone()))[0]
        return total

    async def result(self, key: Digest, scope: str) -> ResultRecord | None:
        """The outcome of this exact result key."""
        return await self._result("SELECT * FROM results WHERE key = ? AND scope = ?", str(key), scope)

    async def latest_result(self, scope: str, project: str, lineage: str) -> ResultRecord | None:
        """The last outcome of a lineage; to name what changed since."""
        sql = (
            "SELECT * FROM results WHERE scope = ? AND project = ? AND lineage = ? "
            "ORDER BY created_at DESC, rowid DESC LIMIT 1"
        )
        return await self._result(sql, scope, project, lineage)

    async def record_result(self, result: ResultRecord) -> None:
        """Keep an outcome, in place of one with its key."""
        row = {
            **{name: getattr(result, name) for name in ResultRecord.__slots__ if name != "key"},
            "key": str(result.key.digest),
            "parts": _encode(result.key),
        }
        await self._database.write(lambda tables: _replace(tables, "results", row))

    async def forget_result(self, key: Digest, scope: str) -> None:
        """Drop an outcome whose image is gone."""
        sql = "DELETE FROM results WHERE key = ? AND scope = ?"
        await self._database.write(lambda tables: tables.execute(sql, [str(key), scope]))

    async def move_tag(self, tag: str, sequence: int, image_id: str) -> TagMove:
        """Claim a tag for the build with this sequence, unless a build that was accepted later has it.

        The claim comes first and the engine's tag second; whoever moves the engine's tag does one tag at a time, so
        that claims and moves come in the same order. Claiming again is harmless, so a retried build ends what it began.
        """
        row = {"tag": tag, "sequence": sequence, "image_id": image_id, "moved_at": time.time()}

        def work(tables: Tables) -> TagMove:
            owner = tables.execute("SELECT sequence FROM tags WHERE tag = ?", [tag]).fetchone()
            if owner and owner[0] > sequence:
                return TagMove.KEEP
            _replace(tables, "tags", row)
            return TagMove.MOVE

        return await self._database.write(work)

    async def tag_owner(self, tag: str) -> TagOwner | None:
        """The build that moved a tag last, or None."""
        sql = "SELECT tag, sequence, image_id FROM tags WHERE tag = ?"
        row = await self._database.read(lambda tables: tables.execute(sql, [tag]).fetchone())
        return TagOwner(*row) if row else None

    async def _layer(self, sql: str, *values: str) -> LayerRecord | None:
        row = await self._database.read(lambda tables: next(iter(tables.query(sql, values)), None))
        return LayerRecord(**_with_key(row)) if row else None

    async def _result(self, sql: str, *values: str) -> ResultRecord | None:
        row = await self._database.read(lambda tables: next(iter(tables.query(sql, values)), None))
        return ResultRecord(**_with_key(row)) if row else None


def _with_key(row: dict[str, Any]) -> dict[str, Any]:
    key = _key(row.pop("parts"))
    return {**row, "key": key}


def _replace(tables: Tables, table: str, row: dict[str, Any]) -> None:
    columns, places = ", ".join(row), ", ".join(f":{name}" for name in row)
    tables.execute(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({places})", row)  # noqa: S608 - our own names
