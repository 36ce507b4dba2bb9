"""Units in the store: written once, closed, apart by scope and unit key, revoked with what came after them."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.store import Store
from cache.units import RecordedUnits, UnitKind, UnitOrigin, UnitRecord

KEY, OTHER_KEY = Digest.of(b"key"), Digest.of(b"other key")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


def unit(name: str, *dependencies: UnitRecord, **other: object) -> UnitRecord:
    """A library; its hash and fingerprint follow from its name, its bytes from `content`."""
    content = str(other.pop("content", name))
    record = UnitRecord(
        scope="default",
        unit_key=KEY,
        digest=Digest.of(content.encode()),
        blob=Digest.of(f"packed {content}".encode()),
        home="release",
        unit_hash=Digest.of(name.encode()).hex[:16],
        fingerprint=Digest.of(f"fingerprint {name}".encode()).hex[:16],
        origin=UnitOrigin(name=name, version="1.0.0", source="registry+here", proof="ab" * 32),
        kind=UnitKind.LIBRARY,
        features=("default", "std"),
        profile="2040997289075261528",
        platform="host",
        dependencies=tuple(sorted(each.digest for each in dependencies)),
        cook="first",
        seconds=1.5,
        size=100,
        unpacked=300,
        created_at=10.0,
        used_at=10.0,
    )
    return replace(record, **other)


SYN = unit("syn")
SERDE = unit("serde", SYN)
SHOP = unit("shop", SERDE)
ITOA = unit("itoa")
NAMES = ("syn", "serde", "shop", "itoa")


async def names(store: Store, scope: str = "default", key: Digest = KEY) -> set[str]:
    return {each.origin.name for each in await store.units(scope, key, NAMES)}


async def test_a_unit_comes_back_as_it_was_with_what_it_was_compiled_against(store: Store):
    recorded = await store.record_units([SYN, SERDE, replace(ITOA, created_at=20.0)])

    assert recorded == RecordedUnits(stored=(SYN.digest, SERDE.digest, ITOA.digest), differing=(), unfounded=())
    found = await store.units("default", KEY, ["serde", "syn", "itoa", "nothing"])
    assert found == (replace(ITOA, created_at=20.0), SERDE, SYN)
    assert await store.units("default", KEY, ["itoa"]) == found[:1]
    assert await store.unit_bytes() == 300


async def test_law_7_another_scope_and_another_unit_key_see_nothing(store: Store):
    await store.record_units([SYN, SERDE])

    assert await names(store, scope="theirs") == set()
    assert await names(store, key=OTHER_KEY) == set()
    stranger = replace(SERDE, scope="theirs")
    assert (await store.record_units([stranger])).unfounded == (SERDE.digest,)


async def test_law_11_a_unit_is_never_replaced_and_what_stands_on_the_other_is_not_stored(store: Store):
    await store.record_units([SYN])
    again = unit("syn", content="another syn", cook="second")

    recorded = await store.record_units([again, unit("serde", again, cook="second")])

    assert recorded == RecordedUnits(stored=(), differing=(again.digest,), unfounded=(SERDE.digest,))
    assert await store.units("default", KEY, NAMES) == (SYN,)


async def test_a_unit_that_another_cook_made_with_the_same_bytes_stays_the_first_ones(store: Store):
    await store.record_units([SYN])

    recorded = await store.record_units([replace(SYN, cook="second", created_at=99.0), replace(SERDE, cook="second")])

    assert recorded.stored == (SYN.digest, SERDE.digest)
    assert {each.origin.name: each.cook for each in await store.units("default", KEY, NAMES)} == {
        "syn": "first",
        "serde": "second",
    }


async def test_one_unit_hash_with_two_fingerprints_is_two_units(store: Store):
    await store.record_units([SYN, unit("syn", content="other features", fingerprint="0" * 16)])

    assert len(await store.units("default", KEY, ["syn"])) == 2


async def test_law_11_a_unit_without_what_it_was_compiled_against_is_not_stored(store: Store):
    assert (await store.record_units([SERDE])).unfounded == (SERDE.digest,)
    assert await names(store) == set()


async def test_law_11_the_database_itself_refuses_to_lose_what_a_stored_unit_depends_on(store: Store):
    await store.record_units([SYN, SERDE])

    with pytest.raises(sqlite3.IntegrityError):
        await store._database.write(lambda tables: tables.execute("DELETE FROM units WHERE name = 'syn'"))
    assert await names(store) == {"syn", "serde"}


async def test_forgetting_a_unit_forgets_what_was_compiled_against_it(store: Store):
    await store.record_units([SYN, SERDE, SHOP, ITOA])

    removed = await store.forget_units("default", KEY, [SERDE.digest])

    assert removed.units == (SERDE, SHOP)
    assert removed.blobs == (SERDE.blob, SHOP.blob)
    assert await names(store) == {"syn", "itoa"}
    assert (await store.forget_units("default", KEY, [SERDE.digest])).units == ()


async def test_a_blob_that_another_scope_names_is_not_given_up(store: Store):
    await store.record_units([SYN])
    await store.record_units([replace(SYN, scope="theirs")])

    assert (await store.forget_units("default", KEY, [SYN.digest])).blobs == ()
    assert (await store.forget_units("theirs", KEY, [SYN.digest])).blobs == (SYN.blob,)


async def test_law_7_a_cook_is_revoked_with_all_that_stands_on_it_and_no_other(store: Store):
    await store.record_units([SYN])
    await store.record_units([replace(SERDE, cook="second"), replace(ITOA, cook="third")])

    removed = await store.revoke_cook("default", "first")

    assert {each.origin.name for each in removed.units} == {"syn", "serde"}
    assert removed.cooks == ("first",)
    assert await names(store) == {"itoa"}


async def test_law_7_a_cook_that_was_given_a_revoked_unit_goes_with_it_however_far_away(store: Store):
    """What ran in the first cook may have been in the sandbox of the third, though no unit says so."""
    await store.record_units([SYN])
    await store.record_units([replace(SERDE, cook="second")], given=["first"])
    await store.forget_units("default", KEY, [])
    await store.record_units([replace(ITOA, cook="third")], given=["second"])
    await store.forget_units("default", KEY, [SERDE.digest])

    removed = await store.revoke_cook("default", "first")

    assert set(removed.cooks) == {"first", "third"}
    assert await names(store) == set()


async def test_a_cook_is_revoked_in_its_own_scope_alone(store: Store):
    await store.record_units([SYN])
    await store.record_units([replace(SYN, scope="theirs")])

    await store.revoke_cook("default", "first")

    assert await names(store, scope="theirs") == {"syn"}


async def test_a_revoked_unit_may_be_stored_again_from_another_cook(store: Store):
    await store.record_units([SYN])
    await store.revoke_cook("default", "first")

    again = unit("syn", content="an honest syn", cook="second")
    assert (await store.record_units([again])).stored == (again.digest,)


async def test_the_longest_unused_unit_is_evicted_first(store: Store):
    await store.record_units([SYN, ITOA])
    await store.touch_units("default", KEY, [SYN.digest], 50.0)
    await store.touch_units("default", KEY, [SYN.digest], 40.0)

    removed = await store.evict_units(150)

    assert [each.origin.name for each in removed.units] == ["itoa"]
    (left,) = await store.units("default", KEY, NAMES)
    assert left.used_at == 50.0


async def test_law_11_a_unit_is_evicted_only_after_what_was_compiled_against_it(store: Store):
    await store.record_units([SYN, SERDE, SHOP, ITOA])
    await store.touch_units("default", KEY, [SERDE.digest, SHOP.digest], 50.0)
    await store.touch_units("default", KEY, [ITOA.digest], 40.0)

    for keep, left in [(400, set(NAMES)), (300, {"syn", "serde", "shop"}), (150, {"syn"}), (0, set())]:
        await store.evict_units(keep)
        assert await names(store) == left


async def test_a_chain_that_is_older_goes_before_a_unit_that_was_used_since(store: Store):
    await store.record_units([SYN, SERDE, ITOA])
    await store.touch_units("default", KEY, [ITOA.digest], 50.0)

    await store.evict_units(100)

    assert await names(store) == {"itoa"}
