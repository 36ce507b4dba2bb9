from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.http.bodies import BodyLimits
from cache.archive_limits import ArchiveLimits
from cache.blobs import BlobStore
from tests.fakes.api import Daemon, MakeDaemon, running


@pytest.fixture
def make_daemon(tmp_path: Path) -> MakeDaemon:
    def make(**settings: Any) -> Daemon:
        given: dict[str, Any] = {"limits": BodyLimits(), "archive_limits": ArchiveLimits(), "tokens": {}, **settings}
        return Daemon(directory=tmp_path / "blobs", blobs=BlobStore(tmp_path / "blobs"), **given)

    return make


@pytest.fixture
async def daemon(make_daemon: MakeDaemon) -> AsyncIterator[Daemon]:
    async with running(make_daemon()) as started:
        yield started


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(daemon.url) as session:
        yield session
