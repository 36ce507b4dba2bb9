"""Builds and events as rows: admission, compare-and-set, pages, numbers."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlite_utils import Database as Tables

from cache.database import Database
from cache.differences import WithheldChanged
from cache.digest import Digest
from cache.history import BuildChange, BuildRow, EventRow, NewBuild, NewEvent, Verdict
from cache.schema import STEPS
from cache.store import Store
from daemon.builds import Outcome

A, B = Digest.of(b"a"), Digest.of(b"b")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


def new(name: str, **other: object) -> NewBuild:
    build = NewBuild(
        id=name, scope="default", project="shop", state="queued", created_at=1.0, request=b"{}", request_digest=A
    )
    return replace(build, **other)


def event(build: str, kind: str = "log", at: float = 1.0) -> NewEvent:
    return NewEvent(build, at, kind, b"{}")


async def create(store: Store, name: str, bound: int = 100, **other: object) -> BuildRow:
    row = (await store.create_build(new(name, **other), bound, event(name, "state"))).row
    assert row
    return row


async def numbers(store: Store, build: str, after: int = 0, limit: int = 100) -> list[int]:
    page = await store.events(build, after, limit)
    assert page
    return [row.number for row in page.events]


async def test_builds_are_numbered_in_the_order_of_their_acceptance(store: Store):
    first, second = await create(store, "b1"), await create(store, "b2")

    assert first.sequence < second.sequence
    assert await store.build("b1") == first
    assert await store.build("b3") is None
    assert await store.builds_in("queued") == (first, second)
    assert await store.count_builds() == {"queued": 2}


async def test_a_number_is_never_given_twice(store: Store):
    first = await create(store, "b1")
    await store._database.write(lambda tables: tables.execute("DELETE FROM builds"))

    assert (await create(store, "b2")).sequence > first.sequence


async def test_the_bound_counts_waiting_builds_alone(store: Store):
    await create(store, "b1", bound=1)
    refused = await store.create_build(new("b2"), 1, event("b2"))
    await store.change_build("b1", ["queued"], BuildChange(state="running"), [])
    accepted = await store.create_build(new("b3"), 1, event("b3"))

    assert (refused.verdict, refused.row) == (Verdict.FULL, None)
    assert accepted.verdict is Verdict.ACCEPTED
    assert await store.events("b2", 0, 10) is None


async def test_an_idempotency_key_finds_its_build_again_even_when_the_queue_is_full(store: Store):
    first = await create(store, "b1", idempotency_key="k")
    again = await store.create_build(new("b2", idempotency_key="k"), 1, event("b2"))
    other = await store.create_build(new("b3", idempotency_key="k", request_digest=B), 1, event("b3"))

    assert (again.verdict, again.row) == (Verdict.KNOWN, first)
    assert (other.verdict, other.row) == (Verdict.MISMATCH, first)
    assert await store.count_builds() == {"queued": 1}


async def test_idempotency_keys_of_two_scopes_are_two(store: Store):
    await create(store, "b1", idempotency_key="k")
    theirs = await store.create_build(new("b2", idempotency_key="k", scope="theirs"), 100, event("b2"))

    assert theirs.verdict is Verdict.ACCEPTED


async def test_a_change_comes_with_its_events_or_not_at_all(store: Store):
    await create(store, "b1")
    changed = await store.change_build(
        "b1", ["queued"], BuildChange(state="running", attempt=1, started_at=2.0), [event("b1", "state", 2.0)]
    )
    refused = await store.change_build("b1", ["queued"], BuildChange(state="cancelled"), [event("b1", "state", 3.0)])

    assert changed
    assert (changed.state, changed.attempt, changed.started_at) == ("running", 1, 2.0)
    assert refused is None
    page = await store.events("b1", 0, 10)
    assert page
    assert page.state == "running"
    assert page.events == (EventRow(1, 1.0, "state", b"{}"), EventRow(2, 2.0, "state", b"{}"))


async def test_a_change_leaves_what_it_does_not_name(store: Store):
    await create(store, "b1")
    await store.change_build("b1", ["queued"], BuildChange(state="running", started_at=2.0, progress=b"[]"), [])
    changed = await store.change_build("b1", ["running"], BuildChange(state="failed", failure=b'"why"'), [])

    assert changed
    assert (changed.started_at, changed.progress, changed.failure) == (2.0, b"[]", b'"why"')
    assert (changed.outcome, changed.finished_at) == (None, None)


async def test_events_are_numbered_by_build_and_read_after_a_number(store: Store):
    await create(store, "b1")
    await create(store, "b2")
    await store.append_events([event("b1"), event("b2"), event("b1"), event("b1")], {})

    assert await numbers(store, "b1") == [1, 2, 3, 4]
    assert await numbers(store, "b2") == [1, 2]
    assert await numbers(store, "b1", after=2, limit=1) == [3]
    assert await numbers(store, "b1", after=4) == []


async def test_progress_goes_into_the_record_with_the_events(store: Store):
    await create(store, "b1")
    await store.append_events([event("b1")], {"b1": b'{"stages": []}'})

    row = await store.build("b1")
    assert row
    assert row.progress == b'{"stages": []}'


async def test_pages_go_from_new_to_old_and_end(store: Store):
    rows = [await create(store, f"b{number}") for number in range(5)]
    first = await store.builds(limit=2)
    second = await store.builds(first.next, 2)
    third = await store.builds(second.next, 2)

    assert [row.id for page in (first, second, third) for row in page.rows] == ["b4", "b3", "b2", "b1", "b0"]
    assert first.next == rows[3].sequence
    assert third.next is None


async def test_a_page_that_is_just_full_is_the_last(store: Store):
    await create(store, "b1")
    await create(store, "b2")

    assert (await store.builds(limit=2)).next is None


async def test_pages_can_be_of_a_state_a_project_and_a_scope(store: Store):
    await create(store, "b1")
    await create(store, "b2", project="bank")
    await create(store, "b3", scope="theirs")
    await store.change_build("b1", ["queued"], BuildChange(state="running"), [])

    assert [row.id for row in (await store.builds(state="running")).rows] == ["b1"]
    assert [row.id for row in (await store.builds(project="bank")).rows] == ["b2"]
    assert [row.id for row in (await store.builds(scope="theirs")).rows] == ["b3"]
    assert (await store.builds(state="running", project="bank")).rows == ()


async def test_a_page_of_one_scope_or_project_is_read_from_an_index(store: Store):
    def plan(tables: Tables) -> str:
        sql = "EXPLAIN QUERY PLAN SELECT id FROM builds WHERE {} = 'x' ORDER BY sequence DESC LIMIT 50"
        return " ".join(
            str(row) for name in ("scope", "project") for row in tables.execute(sql.format(name)).fetchall()
        )

    plans = await store._database.read(plan)

    assert plans.count("SEARCH builds USING INDEX") == 2
    assert "TEMP B-TREE" not in plans


async def test_what_was_told_of_keys_before_there_were_types_of_differences_can_still_be_read(tmp_path: Path):
    before = await Database.open(tmp_path / "bloomery.sqlite", STEPS[:5])
    differences = [{"label": "Cargo.lock", "old": "a 1", "new": "a 2"}]
    refusal = {"rung": "layer", "why": "key_changed", "differences": differences}
    reuse = {"rung": "none", "refusals": [refusal]}
    outcome = {"images": [], "reuse": reuse, "project": "shop", "ecosystem": "rust", "toolchain": "stable"}
    row = {"id": "b1", "scope": "default", "project": "shop", "state": "succeeded", "created_at": 1.0, "request": b"{}"}
    row |= {"request_digest": "", "outcome": json.dumps(outcome).encode()}
    await before.write(lambda tables: tables.table("builds").insert(row))
    await before.close()
    store = await Store.open(tmp_path)

    found = await store.build("b1")

    assert found is not None
    assert found.outcome is not None
    (told,) = msgspec.json.decode(found.outcome, type=Outcome).reuse.refusals
    assert told.differences == (WithheldChanged(label="Cargo.lock", names=()),)
    await store.close()
