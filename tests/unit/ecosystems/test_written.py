"""Listings as `find` prints them, and what they say of a tree that was put."""

import pytest

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.ecosystems.rust.written import UnreadableListing, links, read_listing, written

TREE = SourceTree.of(
    [
        TreeEntry("a/one.rs", EntryKind.FILE, 3, digest=Digest.of(b"one")),
        TreeEntry("a/run.sh", EntryKind.FILE, 2, executable=True, digest=Digest.of(b"sh")),
        TreeEntry("link", EntryKind.SYMLINK, target="a"),
        TreeEntry("empty", EntryKind.DIRECTORY),
    ]
)
AS_PUT = {
    "a": "=d 777 4096 978307200.0000000000 978307201.0000000000 a\0\0",
    "a/one.rs": "=f 666 3 978307200.0000000000 978307201.0000000000 a/one.rs\0\0",
    "a/run.sh": "=f 777 2 978307200.0000000000 978307201.0000000000 a/run.sh\0\0",
    "link": "=l 777 1 978307200.0000000000 978307201.0000000000 link\0a\0",
    "empty": "=d 777 4096 978307200.0000000000 978307201.0000000000 empty\0\0",
}


def listing(**changes: str | None) -> bytes:
    lines = {**AS_PUT, **changes}
    return "".join(line for line in lines.values() if line is not None).encode()


def differing(lines: bytes) -> tuple[str, ...]:
    return written(read_listing(lines), TREE)


def test_a_tree_as_it_was_put_has_nothing_written() -> None:
    assert differing(listing()) == ()


def test_a_directory_s_time_says_nothing() -> None:
    assert differing(listing(a="+d 755 4096 1790000000.5 1790000000.5 a\0\0")) == ()


@pytest.mark.parametrize(
    "line",
    [
        "=f 666 4 978307200.0000000000 978307201.0000000000 a/one.rs\0\0",
        "=f 666 3 978307200.5000000000 978307201.0000000000 a/one.rs\0\0",
        "=f 666 3 978307199.0000000000 978307201.0000000000 a/one.rs\0\0",
        "+f 666 3 978307200.0000000000 978307201.0000000000 a/one.rs\0\0",
        "=f 676 3 978307200.0000000000 978307201.0000000000 a/one.rs\0\0",
        "=l 777 3 978307200.0000000000 978307201.0000000000 a/one.rs\0one\0",
        "=d 777 3 978307200.0000000000 978307201.0000000000 a/one.rs\0\0",
        "=p 666 3 978307200.0000000000 978307201.0000000000 a/one.rs\0\0",
        None,
    ],
    ids=["size", "later", "earlier", "inode", "mode", "a link", "a directory", "a pipe", "gone"],
)
def test_a_file_that_is_not_as_it_was_put_is_written(line: str | None) -> None:
    assert differing(listing(**{"a/one.rs": line})) == ("a/one.rs",)


def test_other_kinds_of_entries_are_compared_too() -> None:
    assert differing(listing(link="=l 777 1 978307200.0 1.0 link\0b\0", empty=None)) == ("empty", "link")


def test_what_the_build_made_is_told_with_its_directories() -> None:
    made = "+d 755 4096 1.0 1.0 gen\0\0+f 644 9 1.0 1.0 gen/new\nline.rs\0\0+s 644 0 1.0 1.0 socket\0\0"

    assert differing(listing() + made.encode()) == ("gen/", "gen/new\nline.rs", "socket")


def test_a_directory_that_became_a_file_takes_its_files_along() -> None:
    gone = {"a/one.rs": None, "a/run.sh": None}

    assert differing(listing(a="+f 644 0 1.0 1.0 a\0\0", **gone)) == ("a", "a/one.rs", "a/run.sh")


def test_links_are_those_that_stand_there_now() -> None:
    assert links(read_listing(listing() + b"+l 777 1 1.0 1.0 made\0../x y\0")) == {"link": "a", "made": "../x y"}


@pytest.mark.parametrize(
    "text",
    [b"=f 666 3 1.0 1.0 a", b"=f 666 3 1.0 1.0 a\0", b"f 666\0\0", b"=f x 3 1.0 1.0 a\0\0", b"=f 6 3 1.0 1.0 \xff\0\0"],
)
def test_what_is_no_listing_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableListing):
        read_listing(text)


def test_an_empty_tree_has_an_empty_listing() -> None:
    assert read_listing(b"") == ()
