"""What things have cost: seconds of packages that were compiled, of copies, and of all else of a build, for estimates.

Of each the last few measurements are kept. A package from outside is the scope's, whatever project wanted it; a member,
and what a build takes beside compiling, are the project's.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlite_utils import Database as Tables

from cache.database import Shelf

KEPT = 5
"""Measurements of one thing: the newest count."""


class CostKind(StrEnum):
    """What was measured."""

    DEPENDENCY = "dependency"
    """A package from outside, by its name."""
    MEMBER = "member"
    """A package of the tree, by its name."""
    REST = "rest"
    """A build without what it compiled, by its rung, or by its `Way`."""
    COPY = "copy"
    """The copy of another lineage's workspace; its name is `Way.FORK`."""


class Way(StrEnum):
    """What a build does where its rung does not say it."""

    UNITS_ALONE = "units alone"
    """Nothing is cooked before the answer, for all that is needed is stored."""
    FORK = "fork"
    """The workspace is a copy of another lineage's, made first."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One measurement."""

    kind: CostKind
    name: str
    seconds: float


Measured = Mapping[tuple[CostKind, str], tuple[float, ...]]
"""Seconds by what was measured."""


class Costs(Shelf):
    """Measurements by scope and project."""

    async def record_costs(self, scope: str, project: str, costs: Iterable[Cost]) -> None:
        """Keep what a build has measured, in place of the oldest."""
        rows = [(scope, _owner(cost.kind, project), str(cost.kind), cost.name, cost.seconds) for cost in costs]
        await self._database.write(lambda tables: _record(tables, rows))

    async def costs(self, scope: str, project: str, dependencies: Collection[str]) -> Measured:
        """All of a project, and of these packages from outside."""
        sql = (
            "SELECT kind, name, seconds FROM costs WHERE scope = ?1 AND project = ?2 "
            "UNION ALL SELECT kind, name, seconds FROM costs "
            "WHERE scope = ?1 AND project = '' AND kind = 'dependency' AND name IN (SELECT value FROM json_each(?3))"
        )
        values = [scope, project, json.dumps(sorted(set(dependencies)))]
        rows = await self._database.read(lambda tables: tables.execute(sql, values).fetchall())
        found: dict[tuple[CostKind, str], tuple[float, ...]] = {}
        for kind, name, seconds in rows:
            thing = (CostKind(kind), name)
            found[thing] = (*found.get(thing, ()), seconds)
        return found


def _owner(kind: CostKind, project: str) -> str:
    return "" if kind is CostKind.DEPENDENCY else project


def _record(tables: Tables, rows: Collection[tuple[str, str, str, str, float]]) -> None:
    tables.conn.executemany(
        "INSERT INTO costs (scope, project, kind, name, seconds) VALUES (?, ?, ?, ?, ?)",
        rows,
    )
    tables.conn.executemany(
        "DELETE FROM costs WHERE scope = ?1 AND project = ?2 AND kind = ?3 AND name = ?4 AND number NOT IN "
        "(SELECT number FROM costs WHERE scope = ?1 AND project = ?2 AND kind = ?3 AND name = ?4 "
        "ORDER BY number DESC LIMIT ?5)",
        [(*row[:4], KEPT) for row in rows],
    )
