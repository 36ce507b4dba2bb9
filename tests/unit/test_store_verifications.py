"""Verifications on record: of builds, of the same images, and what of a project can be reused."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.gc import EntryKind, EntryName
from cache.index import LayerRecord, ResultRecord
from cache.keys import Key, KeyKind, KeyPart
from cache.store import Store
from cache.verifications import VerificationRecord
from daemon.build_records import BuildRecords
from daemon.builds import BuildRequest, Verified

A, B = Digest.of(b"a"), Digest.of(b"b")
RECORD = VerificationRecord(
    build="b1", scope="s", key=A, images="sha256:1 sha256:2", result="waiting", value=b'{"result":"waiting"}', at=1.0
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


async def test_a_build_has_one_and_it_is_the_last_that_was_recorded(store: Store):
    await store.record_verification(RECORD)
    await store.record_verification(replace(RECORD, build="b2"))
    done = replace(RECORD, result="equal", value=b'{"result":"equal","seconds":2.5}', at=2.0)

    await store.record_verification(done)

    assert await store.verifications_in("equal") == (done,)
    assert [one.build for one in await store.verifications_in("waiting")] == ["b2"]


async def test_it_stands_in_its_build_s_record_and_in_no_other(store: Store):
    records = BuildRecords(store)
    for name in ("b1", "b2"):
        await records.create(name, BuildRequest(tree="sha256:1"), at=1.0, bound=9)
    await store.record_verification(replace(RECORD, value=b'{"result":"unstable","seconds":2.5}'))

    one, other = await records.build("b1"), await records.build("b2")

    assert one.verification is not None
    assert (one.verification.result, one.verification.seconds) == (Verified.UNSTABLE, 2.5)
    assert other.verification is None
    assert [build.verification is None for build in (await records.builds()).builds] == [True, False]


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ({}, True),
        ({"scope": "other"}, False),
        ({"key": B}, False),
        ({"images": "sha256:1"}, False),
        ({"results": ["equal"]}, False),
        ({"results": []}, False),
    ],
)
async def test_the_same_images_of_a_key_are_known_in_their_scope(store: Store, asked: dict[str, object], known: bool):  # noqa: FBT001 - expected
    await store.record_verification(RECORD)
    given = {"scope": "s", "key": A, "images": RECORD.images, "results": ["equal", "waiting"], **asked}
    assert await store.is_verified(**given) is known


def of(project: str) -> Key:
    return Key(KeyKind.EXACT, (KeyPart("lock", project),))


async def test_what_of_projects_can_be_reused_is_told_by_scope_and_project(store: Store):
    made = {"seconds": 1.0, "created_at": 1.0}
    for scope, project in (("s", "shop"), ("s", "other"), ("t", "shop")):
        whose = {"key": of(project), "scope": scope, "project": project, **made}
        cook = b"not json" if project == "other" else b"{}"
        await store.record_layer(LayerRecord(**whose, image_id=f"i-{project}", reference="r", size=1, cook=cook))
        await store.record_result(ResultRecord(**whose, lineage="main", outcome=b"{}", build_id="b"))
    shop = str(of("shop").digest)

    assert await store.reusable_of("s", ["shop", "unknown"]) == {
        EntryName(EntryKind.LAYER, ("s", shop, "", "i-shop")),
        EntryName(EntryKind.RESULT, ("s", shop)),
    }
    assert len(await store.reusable_of("s", ["shop", "other"])) == 4
    assert sorted(await store.cooks_of_layers("s")) == [("other", b"not json"), ("shop", b"{}")]
