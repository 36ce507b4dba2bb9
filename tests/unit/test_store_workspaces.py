"""Workspaces in the store: one for each lineage, taken by one build alone, and gone while it is in use."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cache import workspaces
from cache.database import Database
from cache.digest import Digest
from cache.keys import Key, KeyKind, KeyPart
from cache.schema import STEPS
from cache.store import Store
from cache.workspaces import WorkspaceRecord

LINEAGE = ("default", "shop", "main")
WORKSPACE = WorkspaceRecord(
    scope="default",
    project="shop",
    lineage="main",
    key=Key(KeyKind.EXACT, (KeyPart("lock", "1"), KeyPart("profile", "release"))),
    sandbox="5f1c",
    generation="2024-05-01T10:00:00.123456789Z",
    tree=Digest.of(b"tree"),
    ledger=b'{"inputs": {}}',
    seconds=92.5,
    size=1 << 33,
    created_at=100.0,
    used_at=200.0,
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


def other(lineage: str, **changes: object) -> WorkspaceRecord:
    return replace(WORKSPACE, lineage=lineage, sandbox=f"of-{lineage}", **changes)


async def test_a_workspace_comes_back_with_all_parts_of_its_key_and_stays(store: Store):
    await store.record_workspace(WORKSPACE)

    assert await store.workspace(*LINEAGE) == WORKSPACE
    assert await store.workspace(*LINEAGE) == WORKSPACE


async def test_a_workspace_that_is_taken_is_gone_until_it_is_recorded_again(store: Store):
    await store.record_workspace(WORKSPACE)

    assert await store.take_workspace(*LINEAGE) == WORKSPACE
    assert await store.take_workspace(*LINEAGE) is None
    assert await store.workspace(*LINEAGE) is None
    assert await store.workspaces() == ()
    newer = replace(WORKSPACE, generation="2024-05-02T00:00:00Z", tree=Digest.of(b"newer"), used_at=300.0)
    await store.record_workspace(newer)
    assert await store.take_workspace(*LINEAGE) == newer


async def test_of_many_takers_one_gets_it(store: Store):
    await store.record_workspace(WORKSPACE)
    taken = await asyncio.gather(*(store.take_workspace(*LINEAGE) for _ in range(20)))

    assert [found for found in taken if found is not None] == [WORKSPACE]


@pytest.mark.parametrize("place", range(3), ids=["scope", "project", "lineage"])
async def test_a_workspace_is_its_lineages_alone(store: Store, place: int):
    await store.record_workspace(WORKSPACE)
    theirs = tuple("theirs" if number == place else word for number, word in enumerate(LINEAGE))

    assert await store.workspace(*theirs) is None
    assert await store.take_workspace(*theirs) is None
    assert await store.workspace(*LINEAGE) == WORKSPACE


async def test_a_take_that_fails_takes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch):
    await store.record_workspace(WORKSPACE)

    def unreadable(_content: bytes) -> Key:
        raise LookupError

    with monkeypatch.context() as broken:
        broken.setattr(workspaces, "_key", unreadable)
        with pytest.raises(LookupError):
            await store.take_workspace(*LINEAGE)

    assert await store.workspace(*LINEAGE) == WORKSPACE


async def test_a_workspace_recorded_again_takes_the_place_of_the_first(store: Store):
    await store.record_workspace(WORKSPACE)
    await store.record_workspace(replace(WORKSPACE, sandbox="another"))

    assert await store.workspaces() == (replace(WORKSPACE, sandbox="another"),)


async def test_a_container_is_one_lineages(store: Store):
    await store.record_workspace(WORKSPACE)
    await store.record_workspace(replace(WORKSPACE, lineage="feature"))

    assert await store.workspaces() == (replace(WORKSPACE, lineage="feature"),)


async def test_a_workspace_is_forgotten_by_its_container(store: Store):
    await store.record_workspace(WORKSPACE)
    await store.record_workspace(other("feature"))
    await store.forget_workspace(WORKSPACE.sandbox)
    await store.forget_workspace("never-was")

    assert await store.workspaces() == (other("feature"),)


async def test_the_one_used_last_comes_last(store: Store):
    for lineage, used_at in (("b", 20.0), ("c", 30.0), ("a", 10.0)):
        await store.record_workspace(other(lineage, used_at=used_at))

    assert [found.lineage for found in await store.workspaces()] == ["a", "b", "c"]


async def test_workspaces_outlive_a_restart(tmp_path: Path):
    first = await Store.open(tmp_path)
    await first.record_workspace(WORKSPACE)
    await first.close()
    second = await Store.open(tmp_path)

    assert await second.workspaces() == (WORKSPACE,)
    await second.close()


async def test_a_workspace_that_was_in_use_when_the_daemon_was_killed_has_no_record(tmp_path: Path):
    first = await Store.open(tmp_path)
    await first.record_workspace(WORKSPACE)
    await first.record_workspace(other("feature"))
    await first.close()
    program = f"""
import asyncio, os, signal
from pathlib import Path
from cache.store import Store

async def main():
    store = await Store.open(Path({str(tmp_path)!r}))
    assert await store.take_workspace(*{LINEAGE!r})
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[2]
    )
    assert ended.returncode == -signal.SIGKILL
    second = await Store.open(tmp_path)

    assert await second.workspaces() == (other("feature"),)
    await second.close()


async def test_a_database_from_before_workspaces_gains_them_and_keeps_what_it_has(tmp_path: Path):
    before = await Database.open(tmp_path / "bloomery.sqlite", STEPS[:3])
    await before.write(lambda tables: tables.execute("INSERT INTO identity VALUES ('instance', 'kept')"))
    assert not await before.read(lambda tables: "workspaces" in tables.table_names())
    await before.close()
    store = await Store.open(tmp_path)
    await store.record_workspace(WORKSPACE)

    assert store.instance == "kept"
    assert await store.workspace(*LINEAGE) == WORKSPACE
    await store.close()


OTHER_KEY = Key(KeyKind.EXACT, (KeyPart("lock", "2"), KeyPart("profile", "release")))


@pytest.mark.parametrize(
    ("held", "chosen"),
    [
        ([("main", WORKSPACE.key, 1.0), ("late", WORKSPACE.key, 2.0)], "main"),
        ([("early", WORKSPACE.key, 1.0), ("late", WORKSPACE.key, 2.0)], "late"),
        ([("main", OTHER_KEY, 3.0), ("early", WORKSPACE.key, 1.0)], "early"),
        ([("main", OTHER_KEY, 1.0), ("late", OTHER_KEY, 2.0)], "main"),
        ([("new", WORKSPACE.key, 1.0)], None),
        ([], None),
    ],
    ids=["main", "the last", "the key before the name", "none has the key", "only its own", "none"],
)
async def test_a_lineage_without_one_is_told_whose_it_would_fork(
    store: Store, held: list[tuple[str, Key, float]], chosen: str | None
):
    for lineage, key, used_at in held:
        await store.record_workspace(other(lineage, key=key, used_at=used_at))

    found = await store.parent_workspace("default", "shop", "new", WORKSPACE.key, "main")

    assert (found.lineage if found else None) == chosen


@pytest.mark.parametrize("strange", [{"scope": "another"}, {"project": "another"}])
async def test_what_another_scope_or_project_has_is_nobodys_parent(store: Store, strange: dict[str, str]):
    await store.record_workspace(replace(WORKSPACE, **strange))

    assert await store.parent_workspace("default", "shop", "new", WORKSPACE.key, "main") is None
