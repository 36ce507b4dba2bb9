"""With tokens a digest alone opens nothing: what a scope can name is what it sent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.store import Store
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.admission import require_tree
from daemon.builds import BuildRequest
from daemon.errors import UnknownTree
from daemon.ownership import OwnSources, SharedSources

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
TREE = SourceTree.of(
    [TreeEntry("a", EntryKind.FILE, size=3, digest=ONE), TreeEntry("b", EntryKind.FILE, size=3, digest=ONE)]
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


async def test_a_tree_is_named_by_the_scopes_that_sent_it(store: Store):
    sources = OwnSources(store)
    await sources.put_tree(TREE, "theirs")
    assert await sources.tree(TREE.digest, "theirs") == TREE
    assert await sources.tree(TREE.digest, "ours") is None
    await sources.put_tree(TREE, "ours")
    assert await sources.tree(TREE.digest, "ours") == TREE


async def test_a_build_and_a_plan_of_another_scope_s_tree_are_refused(store: Store):
    sources = OwnSources(store)
    await sources.put_tree(TREE, "theirs")
    await require_tree(sources, BuildRequest(tree=str(TREE.digest), scope="theirs"))
    with pytest.raises(UnknownTree):
        await require_tree(sources, BuildRequest(tree=str(TREE.digest), scope="ours"))


async def test_files_of_a_scope_s_trees_are_its_own_also_after_a_restart(store: Store):
    await OwnSources(store).put_tree(TREE, "theirs")
    assert await OwnSources(store).unproven([TWO, ONE, TWO], "theirs") == (TWO,)
    assert await OwnSources(store).unproven([TWO, ONE, TWO], "ours") == (TWO, ONE)


async def test_a_file_counts_as_sent_before_a_tree_names_it(store: Store):
    sources = OwnSources(store, most_sent=1)
    sources.received(ONE, "ours")
    assert await sources.unproven([ONE], "ours") == ()
    assert await sources.unproven([ONE], "theirs") == (ONE,)
    sources.received(TWO, "ours")
    assert await sources.unproven([ONE, TWO], "ours") == (ONE,)


async def test_without_tokens_what_is_here_is_everyone_s(store: Store):
    sources = SharedSources(store)
    await sources.put_tree(TREE, "theirs")
    assert await sources.tree(TREE.digest, "ours") == TREE
    assert await sources.unproven([ONE, TWO], "ours") == ()


async def test_asking_for_many_files_does_not_take_the_square_of_them(store: Store):
    digests = [Digest.of(b"%d" % number) for number in range(20_000)]
    tree = SourceTree.of(TreeEntry(f"d/{at}", EntryKind.FILE, size=1, digest=each) for at, each in enumerate(digests))
    sources = OwnSources(store)
    await sources.put_tree(tree, "ours")

    async with asyncio.timeout(10):  # a fraction of a second in truth, and a minute without the index
        assert await sources.unproven(digests, "ours") == ()
