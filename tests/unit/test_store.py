"""What is put into the store comes out again: trees, layers, results, facts, tags; scopes and projects keep apart."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.index import LayerRecord, ResultRecord, TagMove, TagOwner
from cache.keys import Key, KeyKind, KeyPart
from cache.store import Store
from cache.tree import EntryKind, SourceTree, TreeEntry

A, B = Digest.of(b"a"), Digest.of(b"b")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


def key(value: str, kind: KeyKind = KeyKind.EXACT) -> Key:
    return Key(kind, (KeyPart("lock", value), KeyPart("profile", "release")))


def layer(value: str = "1", **other: object) -> LayerRecord:
    record = LayerRecord(
        key=key(value),
        scope="default",
        project="shop",
        image_id=f"sha256:{value}",
        reference=f"bloomery/layer:{value}",
        seconds=42.5,
        size=1000,
        created_at=100.0,
        cook=b'{"packages": []}',
    )
    return replace(record, **other)


def result(value: str = "1", **other: object) -> ResultRecord:
    record = ResultRecord(
        key=key(value, KeyKind.RESULT),
        scope="default",
        project="shop",
        lineage="main",
        outcome=b"{}",
        seconds=60.0,
        created_at=100.0,
        build_id="b1",
    )
    return replace(record, **other)


def tree_of(count: int) -> SourceTree:
    files = (
        TreeEntry(f"src/module_{n:04}/é.rs", EntryKind.FILE, n, n % 2 == 0, Digest.of(b"%d" % n)) for n in range(count)
    )
    return SourceTree.of(
        [*files, TreeEntry("link", EntryKind.SYMLINK, target="src"), TreeEntry("void", EntryKind.DIRECTORY)]
    )


# --- trees


async def test_a_tree_comes_back_equal(store: Store):
    tree = tree_of(10)
    await store.put_tree(tree)
    await store.put_tree(tree)

    found = await store.tree(tree.digest)
    assert found == tree
    assert found.digest == tree.digest


async def test_a_tree_that_was_never_put_is_none(store: Store):
    assert await store.tree(A) is None


# --- layers


async def test_a_layer_comes_back_with_all_parts_of_its_key(store: Store):
    await store.record_layer(layer())

    assert await store.layer(key("1").digest, "default") == layer()
    assert await store.layer(key("2").digest, "default") is None


async def test_a_layer_of_another_scope_is_not_seen(store: Store):
    await store.record_layer(layer(scope="theirs"))

    assert await store.layer(key("1").digest, "default", "shop") is None
    assert await store.latest_layer("default", "shop") is None


async def test_a_private_layer_is_its_projects_alone(store: Store):
    await store.record_layer(layer(private="shop", image_id="sha256:shops"))

    assert await store.layer(key("1").digest, "default") is None
    assert await store.layer(key("1").digest, "default", "bank") is None
    assert await store.layer(key("1").digest, "default", "shop") == layer(private="shop", image_id="sha256:shops")


async def test_private_layers_of_two_projects_stand_side_by_side(store: Store):
    await store.record_layer(layer(private="shop"))
    await store.record_layer(layer(project="bank", private="bank", image_id="sha256:banks"))
    await store.forget_layer(key("1").digest, "default", "bank")

    assert await store.layer(key("1").digest, "default", "shop") == layer(private="shop")
    assert await store.layer(key("1").digest, "default", "bank") is None


async def test_a_layer_recorded_again_takes_the_place_of_the_first(store: Store):
    await store.record_layer(layer())
    await store.record_layer(layer(image_id="sha256:again", size=5))

    assert await store.layer(key("1").digest, "default") == layer(image_id="sha256:again", size=5)
    assert await store.layer_images() == {"sha256:again"}
    assert await store.layer_bytes() == 5


async def test_a_forgotten_layer_is_gone_from_its_scope_alone(store: Store):
    await store.record_layer(layer())
    await store.record_layer(layer(scope="theirs"))
    await store.forget_layer(key("1").digest, "default")

    assert await store.layer(key("1").digest, "default") is None
    assert await store.layer(key("1").digest, "theirs") == layer(scope="theirs")


async def test_the_latest_layer_is_the_one_cooked_last(store: Store):
    await store.record_layer(layer("new", created_at=200.0))
    await store.record_layer(layer("old", created_at=100.0))
    await store.record_layer(layer("other", created_at=300.0, project="bank"))

    assert await store.latest_layer("default", "shop") == layer("new", created_at=200.0)


# --- results


async def test_a_result_comes_back_and_is_forgotten(store: Store):
    await store.record_result(result())
    digest = key("1", KeyKind.RESULT).digest

    assert await store.result(digest, "default") == result()
    assert await store.result(digest, "theirs") is None
    await store.forget_result(digest, "default")
    assert await store.result(digest, "default") is None


async def test_the_latest_result_is_of_its_lineage(store: Store):
    await store.record_result(result("1", created_at=1.0))
    await store.record_result(result("2", created_at=2.0))
    await store.record_result(result("3", created_at=3.0, lineage="feature"))

    assert await store.latest_result("default", "shop", "main") == result("2", created_at=2.0)
    assert await store.latest_result("default", "shop", "gone") is None


# --- what was fetched and learned


async def test_facts_are_kept_by_name(store: Store):
    await store.record_fetched(A, B)
    await store.record_made_lock(B, A)
    await store.record_toolchain_facts("sha256:t", b'{"rustc": "1.95"}')
    await store.record_library("sha256:t", "/lib/libc.so.6", b"[]")

    assert (await store.fetched(A), await store.fetched(B)) == (B, None)
    assert (await store.made_lock(B), await store.made_lock(A)) == (A, None)
    assert await store.toolchain_facts("sha256:t") == b'{"rustc": "1.95"}'
    assert await store.toolchain_facts("sha256:u") is None
    assert await store.library("sha256:t", "/lib/libc.so.6") == b"[]"
    assert await store.library("sha256:u", "/lib/libc.so.6") is None


async def test_packages_are_kept_by_place_and_name(store: Store):
    await store.keep_packages(A, {"itoa": b"1", "bytes": b"2"})
    await store.keep_packages(A, {"itoa": b"3"})
    await store.keep_packages(B, {"paste": b"4"})

    assert await store.kept_packages(A, ["itoa", "bytes", "paste"]) == {"itoa": b"3", "bytes": b"2"}
    assert await store.kept_packages(A, ["none"]) == {}
    assert await store.kept_packages(B, ["itoa", "paste"]) == {"paste": b"4"}


# --- tags


async def test_a_tag_moves_to_newer_builds_and_never_back(store: Store):
    assert await store.tag_owner("shop:latest") is None
    assert await store.move_tag("shop:latest", 5, "sha256:five") is TagMove.MOVE
    assert await store.move_tag("shop:latest", 4, "sha256:four") is TagMove.KEEP
    assert await store.tag_owner("shop:latest") == TagOwner("shop:latest", 5, "sha256:five")
    assert await store.move_tag("shop:latest", 6, "sha256:six") is TagMove.MOVE
    assert await store.tag_owner("shop:latest") == TagOwner("shop:latest", 6, "sha256:six")


async def test_a_build_may_claim_its_tag_again(store: Store):
    await store.move_tag("shop:latest", 5, "sha256:five")

    assert await store.move_tag("shop:latest", 5, "sha256:five-again") is TagMove.MOVE


# --- the whole


async def test_all_is_there_after_a_restart(tmp_path: Path):
    first = await Store.open(tmp_path)
    await first.record_layer(layer())
    blob = first.blobs.put(b"content")
    await first.close()
    second = await Store.open(tmp_path)

    assert second.instance == first.instance
    assert await second.layer(key("1").digest, "default") == layer()
    assert second.blobs.read(blob) == b"content"
    await second.close()


async def test_two_state_directories_are_two_instances(tmp_path: Path):
    one, two = await Store.open(tmp_path / "1"), await Store.open(tmp_path / "2")

    assert one.instance != two.instance
    await one.close()
    await two.close()
