"""One SQLite file with one writer: every write goes through one thread, reads have their own thread and connection.

Write-ahead logging lets the two work side by side; `synchronous=FULL` makes a commit survive a power cut. A state
directory belongs to one daemon at a time, which a lock on a file in it holds.

Source: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from sqlite_utils import Database as Tables

from cache.errors import Failure, NoSpace
from cache.schema import STEPS, Steps, bring_up_to_date

T = TypeVar("T")

# A quota that is used up is a failed write; a full disk may show first when the shared index cannot grow.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_PRIMARY = 0xFF


class StateDirInUse(Failure):
    """Another daemon works in this state directory."""

    kind = "state_dir_in_use"
    title = "Another daemon uses this state directory"


class StateDirUnusable(Failure):
    """The state directory cannot be made, read or written."""

    kind = "state_dir_unusable"
    title = "The state directory cannot be used"


class StoreDamaged(Failure):
    """The database is not a database, or not a whole one."""

    kind = "store_damaged"
    title = "The store's database is damaged"


class StoreUnavailable(Failure):
    """The database cannot be read or written for now: another program holds it, or its disk fails."""

    kind = "store_unavailable"
    title = "The store's database does not answer"


class StateDirLock:
    """Holds a state directory for this process until released or until the process ends, however it ends."""

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / "lock"
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateDirUnusable(
                f"{state_dir}: {error.strerror}. Make it a directory that the daemon's user may write, or choose "
                "another with --state-dir.",
            ) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._handle)
            raise StateDirInUse(
                f"{state_dir} is held by the daemon with process id {holder}: stop it, or choose another state "
                "directory.",
                holder=holder,
            ) from error
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self._handle)


class Database:
    """Runs functions of a connection: `write` in a transaction that commits when they return, `read` in a snapshot.

    Both raise `NoSpace` for a full disk, `StoreDamaged` for a broken file and `StoreUnavailable` for one that another
    program holds. A write that was started is finished even
    when its caller is cancelled meanwhile; one that was not started by then never happens.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._write_tables: Tables | None = None
        self._read_tables: Tables | None = None

    @classmethod
    async def open(cls, path: Path, steps: Steps = STEPS) -> Self:
        """Connect and bring the tables up to date; the directory exists and is held."""
        database = cls(path)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(database._writer, database._connect_writer, steps)
            await loop.run_in_executor(database._reader, database._connect_reader)
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Finish what was started, and close both connections."""
        loop = asyncio.get_running_loop()
        for executor, disconnect in ((self._reader, self._disconnect_reader), (self._writer, self._disconnect_writer)):
            await loop.run_in_executor(executor, disconnect)
            executor.shutdown(wait=False)

    async def write(self, work: Callable[[Tables], T]) -> T:
        """Run `work` in the writer's thread, in a transaction of its own; it commits unless `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, work)

    async def read(self, work: Callable[[Tables], T]) -> T:
        """Run `work` in the reader's thread; all that it reads is of one moment."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, work)

    def _connect_writer(self, steps: Steps) -> None:
        with _translated(self._path):
            self._write_tables = tables = _connect(self._path)
            with _transaction(tables, "BEGIN IMMEDIATE"):
                bring_up_to_date(tables, steps)

    def _connect_reader(self) -> None:
        with _translated(self._path):
            self._read_tables = _connect(self._path)
            self._read_tables.execute("PRAGMA query_only = ON")

    def _disconnect_reader(self) -> None:
        if self._read_tables is not None:
            self._read_tables.close()
            self._read_tables = None

    def _disconnect_writer(self) -> None:
        if self._write_tables is not None:
            self._write_tables.close()
            self._write_tables = None

    def _write(self, work: Callable[[Tables], T]) -> T:
        assert self._write_tables is not None, "the database is closed"
        with _translated(self._path), _transaction(self._write_tables, "BEGIN IMMEDIATE") as tables:
            return work(tables)

    def _read(self, work: Callable[[Tables], T]) -> T:
        assert self._read_tables is not None, "the database is closed"
        with _translated(self._path), _transaction(self._read_tables, "BEGIN") as tables:
            return work(tables)


class Shelf:
    """One part of the store: methods over the database that all parts share."""

    def __init__(self, database: Database) -> None:
        self._database = database


def _connect(path: Path) -> Tables:
    # Without an isolation level the driver begins no transactions by itself: ours say IMMEDIATE.
    tables = Tables(sqlite3.connect(path, isolation_level=None), execute_plugins=False)
    tables.execute("PRAGMA busy_timeout = 5000")
    tables.execute("PRAGMA journal_mode = WAL").fetchall()
    tables.execute("PRAGMA synchronous = FULL")
    tables.execute("PRAGMA foreign_keys = ON")
    return tables


@contextmanager
def _transaction(tables: Tables, begin: str) -> Iterator[Tables]:
    tables.conn.execute(begin)
    try:
        yield tables
        tables.conn.execute("COMMIT")
    except BaseException:
        tables.rollback()
        raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if {code, code & _PRIMARY} & _FULL:
            raise NoSpace(f"The disk of {path.parent} is full: free some space there.") from error
        if code & _PRIMARY in _DAMAGED:
            raise StoreDamaged(
                f"{path} is damaged ({error}). Move it away, or restore a copy of it; without it Bloomery starts with "
                "an empty cache and no history.",
            ) from error
        if code & _PRIMARY in _PASSING:
            raise StoreUnavailable(
                f"{path}: {error}. See whether another program has it open, and whether its disk is well.",
            ) from error
        raise
