from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.pipeline.workspaces import WorkspaceBounds
from tests.fakes.elves import HELLO, compile_c
from tests.fakes.workshop import Workshop, workshop


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program that needs nothing."""
    return compile_c(tmp_path_factory.mktemp("program") / "hello", HELLO, "-static", "-s").read_bytes()


@pytest.fixture
async def shop(tmp_path: Path, program: bytes) -> AsyncIterator[Workshop]:
    """One that keeps no workspaces: what is built stands on layers."""
    async with workshop(tmp_path, program) as made:
        made.bounds = WorkspaceBounds(count=0)
        made.compose()
        yield made


@pytest.fixture
async def yard(tmp_path: Path, program: bytes) -> AsyncIterator[Workshop]:
    """One that keeps workspaces."""
    async with workshop(tmp_path, program) as made:
        yield made
