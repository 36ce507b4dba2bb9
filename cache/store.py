"""The store: all that Bloomery remembers, in one state directory that one daemon holds at a time.

`bloomery.sqlite` holds the records, and blobs lie beside it as files. A blob is on disk before a row names it, so a
crash leaves at most a blob that no row names.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from sqlite_utils import Database as Tables

from cache.blobs import BlobStore
from cache.costs import Costs
from cache.database import Database, StateDirLock
from cache.fetched import Fetched
from cache.history import History
from cache.index import Index
from cache.inventory import Inventory
from cache.observations import Observations
from cache.trees import Trees
from cache.units import Units
from cache.verifications import Verifications
from cache.workspaces import Workspaces


class Store(Trees, Index, Observations, Workspaces, Units, Costs, Fetched, History, Verifications, Inventory):
    """All that is on record, a class for each kind; `blobs` are the files that records name."""

    def __init__(self, database: Database, blobs: BlobStore, lock: StateDirLock, instance: str) -> None:
        super().__init__(database)
        self.blobs = blobs
        self.instance = instance
        """Names this state directory among all that one engine serves; the same for ever."""
        self._lock = lock

    @classmethod
    async def open(cls, state_dir: Path, blobs: Callable[[Path], BlobStore] = BlobStore) -> Self:
        """Take a state directory, making it where there is none; its blobs are under `blobs/`.

        The blobs are opened here, because opening them removes what is unfinished, and so needs the directory to be
        held. Raises `StateDirInUse`, `StateDirUnusable`, `StoreTooNew`, `StoreDamaged` or `NoSpace`.
        """
        async with AsyncExitStack() as undo:
            lock = StateDirLock(state_dir)
            undo.callback(lock.release)
            database = await Database.open(state_dir / "bloomery.sqlite")
            undo.push_async_callback(database.close)
            files = await asyncio.to_thread(blobs, state_dir / "blobs")
            store = cls(database, files, lock, await database.write(_instance))
            undo.pop_all()
        return store

    async def close(self) -> None:
        """Finish what is being written, and let the state directory go."""
        await self._database.close()
        self._lock.release()


def _instance(tables: Tables) -> str:
    tables.execute("INSERT OR IGNORE INTO identity VALUES ('instance', ?)", [secrets.token_hex(6)])
    name: str = tables.execute("SELECT value FROM identity WHERE name = 'instance'").fetchone()[0]
    return name
