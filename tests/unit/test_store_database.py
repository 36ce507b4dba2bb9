"""The database itself: one writer, durable commits, one daemon a directory, and refusals that say what to do."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlite_utils import Database as Tables

from cache.database import Database, StateDirInUse, StateDirLock, StateDirUnusable, StoreDamaged, StoreUnavailable
from cache.errors import NoSpace
from cache.schema import STEPS, StoreTooNew
from cache.store import Store

INSERT = "INSERT INTO identity VALUES (?, 'x')"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "b.sqlite")
    yield opened
    await opened.close()


def pragma(name: str):
    return lambda tables: tables.execute(f"PRAGMA {name}").fetchone()[0]


async def names(database: Database) -> list[str]:
    rows = await database.read(lambda tables: tables.execute("SELECT name FROM identity ORDER BY 1").fetchall())
    return [row[0] for row in rows]


@pytest.mark.parametrize("side", ["write", "read"])
async def test_every_connection_is_durable_and_patient(database: Database, side: str):
    run = getattr(database, side)

    assert await run(pragma("journal_mode")) == "wal"
    assert await run(pragma("synchronous")) == 2  # FULL
    assert await run(pragma("busy_timeout")) == 5000
    assert await run(pragma("foreign_keys")) == 1


async def test_a_reader_cannot_write(database: Database):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.read(lambda tables: tables.execute(INSERT, ["a"]))

    assert await names(database) == []


async def test_a_write_that_fails_leaves_nothing(database: Database):
    def work(tables: Tables) -> None:
        tables.execute(INSERT, ["a"])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.write(work)
    await database.write(lambda tables: tables.execute(INSERT, ["b"]))

    assert await names(database) == ["b"]


async def test_writes_come_in_the_order_of_their_calls_from_one_thread(database: Database):
    threads, order = set(), []

    def work(number: int) -> Callable[[Tables], None]:
        def note(_: Tables) -> None:
            threads.add(threading.get_ident())
            order.append(number)

        return note

    await asyncio.gather(*(database.write(work(number)) for number in range(50)))

    assert order == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_reader_goes_on_while_a_write_is_under_way(database: Database):
    writing, go_on = threading.Event(), threading.Event()

    def slow(tables: Tables) -> None:
        tables.execute(INSERT, ["a"])
        writing.set()
        go_on.wait(10)

    write = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(writing.wait, 10)
    during = await names(database)
    go_on.set()
    await write

    assert (during, await names(database)) == ([], ["a"])


async def test_a_full_disk_is_no_space_and_passes(database: Database):
    pages = await database.write(pragma("page_count"))
    await database.write(pragma(f"max_page_count = {pages}"))
    with pytest.raises(NoSpace, match="free some space"):
        await database.write(lambda tables: tables.execute(INSERT, ["a" * 100_000]))
    await database.write(pragma("max_page_count = 100000"))
    await database.write(lambda tables: tables.execute(INSERT, ["a" * 100_000]))

    assert len(await names(database)) == 1


async def test_a_database_that_another_program_holds_is_unavailable_and_comes_back(database: Database, tmp_path: Path):
    await database.write(pragma("busy_timeout = 10"))
    other = sqlite3.connect(tmp_path / "b.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="another program"):
        await database.write(lambda tables: tables.execute(INSERT, ["a"]))
    other.close()
    await database.write(lambda tables: tables.execute(INSERT, ["b"]))

    assert await names(database) == ["b"]


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path):
    newer = (*STEPS, ("0999_from_the_future", lambda tables: tables.execute("CREATE TABLE later (x)")))
    await (await Database.open(tmp_path / "b.sqlite", newer)).close()

    with pytest.raises(StoreTooNew, match="0999_from_the_future"):
        await Database.open(tmp_path / "b.sqlite")
    await (await Database.open(tmp_path / "b.sqlite", newer)).close()


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path):
    def broken(tables: Tables) -> None:
        tables.execute("CREATE TABLE half (x)")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await Database.open(tmp_path / "b.sqlite", (*STEPS, ("0002_broken", broken)))
    with sqlite3.connect(tmp_path / "b.sqlite") as raw:
        tables = raw.execute("SELECT name FROM sqlite_master").fetchall()
    raw.close()

    assert tables == []


async def test_an_older_database_gains_what_is_new(tmp_path: Path):
    first = await Database.open(tmp_path / "b.sqlite")
    await first.write(lambda tables: tables.execute(INSERT, ["kept"]))
    await first.close()
    newer = (*STEPS, ("0002_more", lambda tables: tables.execute("CREATE TABLE more (x)")))
    second = await Database.open(tmp_path / "b.sqlite", newer)

    assert await names(second) == ["kept"]
    assert await second.read(lambda tables: "more" in tables.table_names())
    await second.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / "b.sqlite").write_bytes(b"no database at all " * 1000)

    with pytest.raises(StoreDamaged, match="is damaged"):
        await Database.open(tmp_path / "b.sqlite")


async def test_a_second_daemon_is_refused_until_the_first_has_ended(tmp_path: Path):
    first = await Store.open(tmp_path)
    unfinished = tmp_path / "blobs" / "staging" / "upload"
    unfinished.mkdir()
    with pytest.raises(StateDirInUse, match=f"process id {os.getpid()}"):
        await Store.open(tmp_path)

    assert unfinished.exists()
    await first.close()
    await (await Store.open(tmp_path)).close()


async def test_a_start_that_was_refused_lets_the_directory_go(tmp_path: Path):
    (tmp_path / "bloomery.sqlite").write_bytes(b"no database at all " * 1000)
    with pytest.raises(StoreDamaged):
        await Store.open(tmp_path)

    StateDirLock(tmp_path).release()


def test_a_state_directory_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StateDirUnusable, match="--state-dir"):
        StateDirLock(tmp_path / "file" / "state")


def test_what_was_committed_survives_a_kill_and_the_rest_is_gone_whole(tmp_path: Path):
    program = f"""
import asyncio, os, signal
from pathlib import Path
from cache.store import Store

def half(tables):
    tables.execute({INSERT!r}, ["half"])
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store = await Store.open(Path({str(tmp_path)!r}))
    await store._database.write(lambda tables: tables.execute({INSERT!r}, ["whole"]) and None)
    await store._database.write(half)

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[2])

    assert ended.returncode == -signal.SIGKILL

    async def look() -> list[str]:
        store = await Store.open(tmp_path)
        try:
            check = await store._database.read(pragma("integrity_check"))
            return [check, *await names(store._database)]
        finally:
            await store.close()

    assert asyncio.run(look()) == ["ok", "instance", "whole"]
