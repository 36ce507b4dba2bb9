"""Builds and their events, as rows: what the daemon's own words mean is the daemon's, and stays JSON here.

A build and the events that tell of its state change together, in one transaction, so a follower never sees the one
without the other. Each event gets the next number of its build when it is written.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any

import msgspec
from sqlite_utils import Database as Tables

from cache.database import Shelf
from cache.digest import Digest

_COLUMNS = (
    "sequence, id, scope, project, state, attempt, created_at, started_at, finished_at, "
    "request, progress, outcome, failure, "
    "(SELECT value FROM verifications WHERE verifications.build = builds.id) AS verification"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBuild:
    """A build to accept; `request` is JSON, times are Unix seconds."""

    id: str
    scope: str
    project: str
    """Empty where it is not known before the plan."""
    state: str
    created_at: float
    request: bytes
    request_digest: Digest
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """A build as it is stored."""

    sequence: int
    id: str
    scope: str
    project: str
    state: str
    attempt: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    request: bytes
    progress: bytes | None
    outcome: bytes | None
    failure: bytes | None
    verification: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildChange:
    """A build's new state, and what else is new with it; None leaves a column as it is."""

    state: str
    attempt: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    project: str | None = None
    progress: bytes | None = None
    outcome: bytes | None = None
    failure: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that has no number yet; `data` is JSON."""

    build: str
    at: float
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event of a build, numbered from 1."""

    number: int
    at: float
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events of one build, and the build's state at the moment they were read."""

    state: str
    events: tuple[EventRow, ...]


@dataclass(frozen=True, slots=True)
class BuildPage:
    """Builds, newest first; `next` is the cursor for what follows, None at the end."""

    rows: tuple[BuildRow, ...]
    next: int | None


class Verdict(StrEnum):
    """What became of a build that asked to be accepted."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    """The same request came under the same idempotency key before: this is its build."""
    MISMATCH = "mismatch"
    """Another request came under the same idempotency key before: this is its build."""
    FULL = "full"
    """As many builds wait as may."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A verdict and the build that it is about; none where the queue is full."""

    verdict: Verdict
    row: BuildRow | None


class History(Shelf):
    """Builds and events."""

    async def create_build(self, new: NewBuild, bound: int, event: NewEvent) -> Admission:
        """Accept a build unless its idempotency key is known or `bound` builds are in its state already."""

        def work(tables: Tables) -> Admission:
            if new.idempotency_key is not None and (known := _by_idempotency_key(tables, new)):
                row, digest = known
                same = digest == str(new.request_digest)
                return Admission(Verdict.KNOWN if same else Verdict.MISMATCH, row)
            if tables.execute("SELECT COUNT(*) FROM builds WHERE state = ?", [new.state]).fetchone()[0] >= bound:
                return Admission(Verdict.FULL, None)
            tables.execute(
                "INSERT INTO builds (id, scope, project, state, created_at, request, request_digest, idempotency_key) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(new.id, new.scope, new.project, new.state, new.created_at),
                    *(new.request, str(new.request_digest), new.idempotency_key),
                ),
            )
            _append(tables, [event])
            return Admission(Verdict.ACCEPTED, _build(tables, new.id))

        return await self._database.write(work)

    async def change_build(
        self,
        build: str,
        expected: Collection[str],
        change: BuildChange,
        events: Iterable[NewEvent],
    ) -> BuildRow | None:
        """Change a build that is in one of the expected states, with its events; None, and no change, otherwise."""
        states = msgspec.json.encode(list(expected)).decode()
        columns = BuildChange.__slots__
        sets = ", ".join(f"{name} = COALESCE(:{name}, {name})" for name in columns)
        sql = (
            f"UPDATE builds SET {sets} "  # noqa: S608 - our own names
            "WHERE id = :id AND state IN (SELECT value FROM json_each(:states))"
        )
        values = {name: getattr(change, name) for name in columns} | {"id": build, "states": states}

        def work(tables: Tables) -> BuildRow | None:
            if tables.execute(sql, values).rowcount == 0:
                return None
            _append(tables, events)
            return _build(tables, build)

        return await self._database.write(work)

    async def build(self, build: str) -> BuildRow | None:
        """One build."""
        return await self._database.read(lambda tables: _build(tables, build))

    async def builds_in(self, state: str) -> tuple[BuildRow, ...]:
        """All builds in a state, in the order of their acceptance."""
        sql = f"SELECT {_COLUMNS} FROM builds WHERE state = ? ORDER BY sequence"  # noqa: S608 - our own names
        return await self._database.read(lambda tables: _rows(tables, sql, [state]))

    async def builds(
        self,
        cursor: int | None = None,
        limit: int = 50,
        *,
        state: str | None = None,
        project: str | None = None,
        scope: str | None = None,
    ) -> BuildPage:
        """Builds newest first, from the cursor on, `limit` at most; None does not filter."""
        wanted = {"state": state, "project": project, "scope": scope}
        filters = [f"{name} = :{name}" for name, value in wanted.items() if value is not None]
        if cursor is not None:
            filters.append("sequence < :cursor")
        where = f"WHERE {' AND '.join(filters)}" if filters else ""
        sql = f"SELECT {_COLUMNS} FROM builds {where} ORDER BY sequence DESC LIMIT :limit"  # noqa: S608 - our own names
        values = wanted | {"cursor": cursor, "limit": limit + 1}
        rows = await self._database.read(lambda tables: _rows(tables, sql, values))
        return BuildPage(rows[:limit], rows[limit - 1].sequence if len(rows) > limit else None)

    async def count_builds(self) -> dict[str, int]:
        """How many builds are in each state that any is in."""
        sql = "SELECT state, COUNT(*) FROM builds GROUP BY state"
        return dict(await self._database.read(lambda tables: tables.execute(sql).fetchall()))

    async def append_events(self, events: Collection[NewEvent], progress: Mapping[str, bytes]) -> None:
        """Keep events in their order, and what they add to the records of builds that are under way (JSON by id)."""

        def work(tables: Tables) -> None:
            _append(tables, events)
            for build, value in progress.items():
                tables.execute("UPDATE builds SET progress = ? WHERE id = ?", [value, build])

        await self._database.write(work)

    async def events(self, build: str, after: int, limit: int) -> EventPage | None:
        """The events with the next numbers after one, `limit` at most; None where there is no such build."""

        def work(tables: Tables) -> EventPage | None:
            state = tables.execute("SELECT state FROM builds WHERE id = ?", [build]).fetchone()
            if state is None:
                return None
            sql = "SELECT number, at, kind, data FROM events WHERE build = ? AND number > ? ORDER BY number LIMIT ?"
            rows = tables.execute(sql, [build, after, limit])
            return EventPage(state[0], tuple(EventRow(*row) for row in rows))

        return await self._database.read(work)


def _append(tables: Tables, events: Iterable[NewEvent]) -> None:
    numbers: dict[str, count[int]] = {}
    rows = []
    for event in events:
        if event.build not in numbers:
            sql = "SELECT COALESCE(MAX(number), 0) + 1 FROM events WHERE build = ?"
            numbers[event.build] = count(tables.execute(sql, [event.build]).fetchone()[0])
        rows.append((event.build, next(numbers[event.build]), event.at, event.kind, event.data))
    tables.conn.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)


def _rows(tables: Tables, sql: str, values: list[str] | dict[str, Any]) -> tuple[BuildRow, ...]:
    return tuple(BuildRow(**row) for row in tables.query(sql, values))


def _build(tables: Tables, build: str) -> BuildRow | None:
    sql = f"SELECT {_COLUMNS} FROM builds WHERE id = ?"  # noqa: S608 - our own names
    return next(iter(_rows(tables, sql, [build])), None)


def _by_idempotency_key(tables: Tables, new: NewBuild) -> tuple[BuildRow, str] | None:
    sql = f"SELECT {_COLUMNS}, request_digest FROM builds WHERE scope = ? AND idempotency_key = ?"  # noqa: S608 - our own names
    for row in tables.query(sql, [new.scope, new.idempotency_key]):
        digest: str = row.pop("request_digest")
        return BuildRow(**row), digest
    return None
