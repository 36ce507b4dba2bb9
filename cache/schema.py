"""The store's tables, as migrations that are applied in order and never edited once released.

A database that holds a migration this code does not know was written by newer code and is refused, never guessed at.
What only the daemon understands is JSON in a column of bytes; what is searched or compared has a column of its own.
"""

import json
from collections.abc import Callable

from sqlite_utils import Database as Tables
from sqlite_utils import Migrations

from cache.errors import Failure

Steps = tuple[tuple[str, Callable[[Tables], None]], ...]


class StoreTooNew(Failure):
    """The state directory was written by a newer Bloomery."""

    kind = "store_too_new"
    title = "The state directory belongs to a newer version"


def _first(tables: Tables) -> None:
    def table(name: str, columns: dict[str, type], *key: str) -> None:
        tables.table(name).create(columns, pk=key, not_null=set(columns), strict=True)

    table("identity", {"name": str, "value": str}, "name")
    table("trees", {"digest": str, "listing": bytes, "created_at": float}, "digest")
    table(
        "layers",
        {
            "key": str,
            "scope": str,
            "private": str,
            "project": str,
            "parts": bytes,
            "image_id": str,
            "reference": str,
            "seconds": float,
            "size": int,
            "cook": bytes,
            "created_at": float,
        },
        "key",
        "scope",
        "private",
    )
    tables.table("layers").create_index(["scope", "project", "created_at"])
    table(
        "results",
        {
            "key": str,
            "scope": str,
            "project": str,
            "lineage": str,
            "parts": bytes,
            "outcome": bytes,
            "seconds": float,
            "created_at": float,
            "build_id": str,
        },
        "key",
        "scope",
    )
    tables.table("results").create_index(["scope", "project", "lineage", "created_at"])
    table("fetched", {"key": str, "listing": str}, "key")
    table("made_locks", {"key": str, "lock": str}, "key")
    table("toolchain_facts", {"image_id": str, "value": bytes}, "image_id")
    table("libraries", {"image_id": str, "path": str, "value": bytes}, "image_id", "path")
    table("tags", {"tag": str, "sequence": int, "image_id": str, "moved_at": float}, "tag")
    # AUTOINCREMENT, because a sequence decides who may move a tag and so is never given twice.
    tables.execute(
        """
        CREATE TABLE builds (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL,
            scope TEXT NOT NULL,
            project TEXT NOT NULL,
            state TEXT NOT NULL,
            attempt INTEGER NOT NULL DEFAULT 0,
            created_at REAL NOT NULL,
            started_at REAL,
            finished_at REAL,
            request BLOB NOT NULL,
            request_digest TEXT NOT NULL,
            idempotency_key TEXT,
            progress BLOB,
            outcome BLOB,
            failure BLOB
        ) STRICT
        """,
    )
    tables.table("builds").create_index(["id"], unique=True)
    tables.table("builds").create_index(["scope", "idempotency_key"], unique=True)
    tables.table("builds").create_index(["state", "sequence"])
    tables.table("builds").create_index(["project", "sequence"])
    table("events", {"build": str, "number": int, "at": float, "kind": str, "data": bytes}, "build", "number")


def _owners(tables: Tables) -> None:
    # Which scope has shown that it holds what: a digest alone opens nothing that another scope sent.
    for name, column in (("scope_trees", "tree"), ("scope_blobs", "blob")):
        tables.execute(
            f"CREATE TABLE {name} (scope TEXT NOT NULL, {column} TEXT NOT NULL, PRIMARY KEY (scope, {column})) "
            "STRICT, WITHOUT ROWID",
        )


def _builds_by_scope(tables: Tables) -> None:
    tables.table("builds").create_index(["scope", "sequence"])


def _workspaces(tables: Tables) -> None:
    columns = {
        "scope": str,
        "project": str,
        "lineage": str,
        "key": bytes,
        "sandbox": str,
        "generation": str,
        "tree": str,
        "ledger": bytes,
        "seconds": float,
        "size": int,
        "created_at": float,
        "used_at": float,
    }
    key = ("scope", "project", "lineage")
    tables.table("workspaces").create(columns, pk=key, not_null=set(columns), strict=True)
    tables.table("workspaces").create_index(["sandbox"], unique=True)


def _units(tables: Tables) -> None:
    # The deferred keys hold that what is stored is closed: no unit goes while one that was compiled against it stays.
    tables.execute(
        """
        CREATE TABLE units (
            scope TEXT NOT NULL,
            unit_key TEXT NOT NULL,
            digest TEXT NOT NULL,
            blob TEXT NOT NULL,
            home TEXT NOT NULL,
            unit_hash TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            name TEXT NOT NULL,
            version TEXT NOT NULL,
            source TEXT NOT NULL,
            proof TEXT NOT NULL,
            kind TEXT NOT NULL,
            features TEXT NOT NULL,
            profile TEXT NOT NULL,
            platform TEXT NOT NULL,
            cook TEXT NOT NULL,
            seconds REAL NOT NULL,
            size INTEGER NOT NULL,
            unpacked INTEGER NOT NULL,
            created_at REAL NOT NULL,
            used_at REAL NOT NULL,
            PRIMARY KEY (scope, unit_key, digest),
            UNIQUE (scope, unit_key, home, unit_hash, fingerprint)
        ) STRICT
        """,
    )
    for columns in (["scope", "unit_key", "name"], ["scope", "cook"], ["blob"]):
        tables.table("units").create_index(columns)
    tables.execute(
        """
        CREATE TABLE unit_dependencies (
            scope TEXT NOT NULL,
            unit_key TEXT NOT NULL,
            unit TEXT NOT NULL,
            dependency TEXT NOT NULL,
            PRIMARY KEY (scope, unit_key, unit, dependency),
            FOREIGN KEY (scope, unit_key, unit) REFERENCES units ON DELETE CASCADE,
            FOREIGN KEY (scope, unit_key, dependency) REFERENCES units DEFERRABLE INITIALLY DEFERRED
        ) STRICT, WITHOUT ROWID
        """,
    )
    tables.table("unit_dependencies").create_index(["scope", "unit_key", "dependency"])
    tables.execute(
        "CREATE TABLE unit_givers (scope TEXT NOT NULL, cook TEXT NOT NULL, giver TEXT NOT NULL, "
        "PRIMARY KEY (scope, cook, giver)) STRICT, WITHOUT ROWID",
    )
    tables.table("unit_givers").create_index(["scope", "giver"])


def _holdings(tables: Tables) -> None:
    tables.execute("ALTER TABLE workspaces ADD COLUMN comparable TEXT NOT NULL DEFAULT ''")
    tables.execute("ALTER TABLE workspaces ADD COLUMN holdings BLOB NOT NULL DEFAULT x'7b7d'")


def _kept_packages(tables: Tables) -> None:
    # What a fetch brought, package by package: another lock that names the same need not fetch them.
    tables.execute(
        "CREATE TABLE kept_packages (place TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, "
        "PRIMARY KEY (place, name)) STRICT, WITHOUT ROWID",
    )


def _uses(tables: Tables) -> None:
    # When an entry of any kind was used last; `name` is JSON.
    tables.execute(
        "CREATE TABLE uses (kind TEXT NOT NULL, name TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (kind, name)) "
        "STRICT, WITHOUT ROWID",
    )


def _differences(tables: Tables) -> None:
    # What was told of a key's parts was text; what is told now are values of several types, told apart by `about`.
    for table, key in (("builds", "id"), ("results", "rowid")):
        rows = tables.execute(f"SELECT {key}, outcome FROM {table} WHERE outcome IS NOT NULL").fetchall()  # noqa: S608 - our own names
        for name, outcome in rows:
            read = json.loads(outcome)
            for refusal in read["reuse"]["refusals"]:
                labels = [one["label"] for one in refusal["differences"]]
                refusal["differences"] = [{"about": "withheld", "label": label, "names": []} for label in labels]
            values = [json.dumps(read, ensure_ascii=False).encode(), name]
            tables.execute(f"UPDATE {table} SET outcome = ? WHERE {key} = ?", values)  # noqa: S608 - our own names


def _costs(tables: Tables) -> None:
    columns = {"number": int, "scope": str, "project": str, "kind": str, "name": str, "seconds": float}
    tables.table("costs").create(columns, pk="number", not_null=set(columns), strict=True)
    tables.table("costs").create_index(["scope", "project", "kind", "name", "number"])


def _observed(tables: Tables) -> None:
    tables.table("access_times").create({"engine": str, "value": bytes}, pk="engine", not_null={"value"}, strict=True)
    # What a build has opened stays no longer than its result.
    tables.execute(
        """
        CREATE TABLE observed (
            key TEXT NOT NULL,
            scope TEXT NOT NULL,
            project TEXT NOT NULL,
            lineage TEXT NOT NULL,
            settings TEXT NOT NULL,
            tree TEXT NOT NULL,
            opened BLOB NOT NULL,
            created_at REAL NOT NULL,
            PRIMARY KEY (key, scope),
            FOREIGN KEY (key, scope) REFERENCES results ON DELETE CASCADE
        ) STRICT
        """,
    )
    tables.table("observed").create_index(["scope", "project", "lineage", "settings", "created_at"])


def _verifications(tables: Tables) -> None:
    columns = {"build": str, "scope": str, "key": str, "images": str, "result": str, "value": bytes, "at": float}
    tables.table("verifications").create(columns, pk="build", not_null=set(columns), strict=True)
    tables.table("verifications").create_index(["scope", "key"])
    tables.table("verifications").create_index(["result"])


STEPS: Steps = (
    ("0001_first", _first),
    ("0002_owners", _owners),
    ("0003_builds_by_scope", _builds_by_scope),
    ("0004_workspaces", _workspaces),
    ("0005_units", _units),
    ("0006_holdings", _holdings),
    ("0008_kept_packages", _kept_packages),
    ("0009_uses", _uses),
    ("0010_differences", _differences),
    ("0010_costs", _costs),
    ("0011_observed", _observed),
    ("0012_verifications", _verifications),
)


def bring_up_to_date(tables: Tables, steps: Steps = STEPS) -> None:
    """Apply the steps that are missing, in the caller's transaction; `StoreTooNew` for a database of newer code."""
    known = Migrations("bloomery")
    for name, step in steps:
        known(name=name)(step)
    applied = [migration.name for migration in known.applied(tables)]
    if unknown := sorted(set(applied) - {name for name, _ in steps}):
        raise StoreTooNew(
            f"The database holds the migration {', '.join(unknown)}, which this version does not know. Start the "
            "version that wrote it, or a newer one, or choose another state directory.",
            unknown=list(unknown),
        )
    known.apply(tables)
