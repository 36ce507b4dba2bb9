"""Law 13 on values and in the store: whether a change can be in an image, and what results have opened."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cache.digest import Digest
from cache.index import ResultRecord
from cache.keys import Key, KeyKind, KeyPart
from cache.observations import ObservedRecord
from cache.observed import noticed
from cache.store import Store
from cache.tree import EntryKind, SourceTree, TreeEntry

KEY = Key(KeyKind.RESULT, (KeyPart("source tree", "1"),))
RESULT = ResultRecord(
    key=KEY, scope="s", project="p", lineage="main", outcome=b"{}", seconds=1.0, created_at=1.0, build_id="b"
)
RECORD = ObservedRecord(
    key=KEY.digest,
    scope="s",
    project="p",
    lineage="main",
    settings=Digest.of(b"settings"),
    tree=Digest.of(b"tree"),
    opened=frozenset({"src/main.rs", "a täxt.txt"}),
    created_at=1.0,
)


def file(path: str, text: str = "x", *, executable: bool = False) -> TreeEntry:
    return TreeEntry(path, EntryKind.FILE, len(text), executable, Digest.of(text.encode()))


def tree(*entries: TreeEntry) -> SourceTree:
    return SourceTree.of(entries)


MAIN, README = file("src/main.rs"), file("README.md")
BEFORE = tree(MAIN, README, TreeEntry("link", EntryKind.SYMLINK, target="README.md"))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (BEFORE, ()),
        (tree(MAIN, file("README.md", "other"), BEFORE.entries[1]), ()),
        (tree(file("src/main.rs", "other"), README, BEFORE.entries[1]), ("src/main.rs",)),
        (tree(MAIN, file("README.md", executable=True), BEFORE.entries[1]), ("README.md",)),
        (tree(MAIN, BEFORE.entries[1]), ("README.md",)),
        (tree(MAIN, README, BEFORE.entries[1], file("NEWS.md")), ("NEWS.md",)),
        (tree(MAIN, BEFORE.entries[1], file("READYOU.md")), ("README.md", "READYOU.md")),
        (tree(MAIN, README, TreeEntry("link", EntryKind.SYMLINK, target="src")), ("link",)),
        (tree(MAIN, TreeEntry("README.md", EntryKind.DIRECTORY), BEFORE.entries[1]), ("README.md",)),
    ],
    ids=["nothing", "documentation", "opened", "mode", "removed", "added", "renamed", "a link", "another kind"],
)
def test_law_13_what_may_be_in_an_image(after: SourceTree, expected: tuple[str, ...]) -> None:
    assert BEFORE.entries[1].path == "link"
    assert noticed(BEFORE, after, {"src/main.rs"}) == expected


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


async def test_what_was_opened_comes_back_for_its_own_lineage_and_settings(store: Store):
    await store.record_result(RESULT)
    await store.record_observed(RECORD)

    assert await store.observed("s", "p", "main", RECORD.settings) == RECORD
    for other in (("t", "p", "main"), ("s", "q", "main"), ("s", "p", "branch")):
        assert await store.observed(*other, RECORD.settings) is None
    assert await store.observed("s", "p", "main", Digest.of(b"other")) is None


async def test_the_last_of_several_answers(store: Store):
    later = Key(KeyKind.RESULT, (KeyPart("source tree", "2"),))
    for key, created_at in ((later, 2.0), (KEY, 1.0)):
        await store.record_result(replace(RESULT, key=key, created_at=created_at))
        await store.record_observed(replace(RECORD, key=key.digest, created_at=created_at))

    found = await store.observed("s", "p", "main", RECORD.settings)
    assert found is not None
    assert found.key == later.digest


async def test_it_goes_with_its_result_and_a_new_one_knows_nothing(store: Store):
    await store.record_observed(RECORD)
    assert await store.observed("s", "p", "main", RECORD.settings) is None, "there is no result"
    for forget in (store.forget_result(KEY.digest, "s"), store.record_result(replace(RESULT, lineage="branch"))):
        await store.record_result(RESULT)
        await store.record_observed(RECORD)
        await forget
        assert await store.observed("s", "p", "main", RECORD.settings) is None
