"""A source tree is a value, and the rules for what may be in one."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.archive_errors import UnsafeEntry, UploadTooLarge
from cache.archive_limits import ArchiveLimits
from cache.digest import Digest
from cache.paths import admitted, clean_path, clean_target
from cache.tree import EntryKind, SourceTree, TreeEntry

LIMITS = ArchiveLimits()
E_ACUTE = "\N{LATIN SMALL LETTER E WITH ACUTE}"


def file(path: str, content: bytes = b"x") -> TreeEntry:
    return TreeEntry(path, EntryKind.FILE, size=len(content), digest=Digest.of(content))


def link(path: str, target: str) -> TreeEntry:
    return TreeEntry(path, EntryKind.SYMLINK, target=target)


def directory(path: str) -> TreeEntry:
    return TreeEntry(path, EntryKind.DIRECTORY)


def rule(*entries: TreeEntry, limits: ArchiveLimits = LIMITS) -> str:
    with pytest.raises(UnsafeEntry) as refusal:
        admitted(entries, limits)
    return str(refusal.value.evidence["rule"])


def test_the_same_entries_in_any_order_are_one_tree():
    entries = [file("src/main.rs"), file("Cargo.toml"), link("a", "src"), directory("empty")]
    tree = SourceTree.of(entries)
    assert tree == SourceTree.of(reversed(entries))
    assert [entry.path for entry in tree] == ["Cargo.toml", "a", "empty", "src/main.rs"]
    assert (len(tree), tree.size, [entry.path for entry in tree.files()]) == (4, 2, ["Cargo.toml", "src/main.rs"])


@pytest.mark.parametrize(
    "changed",
    [
        replace(file("src/main.rs"), executable=True),
        file("src/main.rs", b"y"),
        file("src/Main.rs"),
        link("src/main.rs", "x"),
        directory("src/main.rs"),
    ],
)
def test_whatever_a_tree_holds_is_in_its_digest(changed: TreeEntry):
    assert SourceTree.of([changed]).digest != SourceTree.of([file("src/main.rs")]).digest


def test_a_digest_is_the_same_everywhere_and_for_ever():
    tree = SourceTree.of([file("src/main.rs", b"fn main() {}\n"), link("current", "src")])
    assert str(tree.digest) == "sha256:b22ecc86b7a02c5290406de53a0c15e876d64a2305c4109a1056c1456f69defb"


@pytest.mark.parametrize(
    ("name", "path"),
    [("./a/b", "a/b"), ("a//b/", "a/b"), ("a/./b", "a/b"), ("./", ""), ("", ""), ("e\u0301", E_ACUTE), ("a b", "a b")],
)
def test_a_path_is_cleaned(name: str, path: str):
    assert clean_path(name, LIMITS) == path


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("/etc/passwd", "absolute"),
        ("//x", "absolute"),
        ("../x", "parent"),
        ("a/../../x", "parent"),
        ("a/..", "parent"),
        ("a\nb", "control_character"),
        ("a\0b", "control_character"),
        ("a\x7fb", "control_character"),
        ("a\u0085b", "control_character"),
        ("a\u2028b", "control_character"),
        ("a\ud800b", "control_character"),
    ],
)
def test_a_path_that_no_tree_may_hold_is_refused(name: str, broken: str):
    with pytest.raises(UnsafeEntry) as refusal:
        clean_path(name, LIMITS)
    assert refusal.value.evidence["rule"] == broken
    assert str(refusal.value.evidence["entry"]).isprintable()


@pytest.mark.parametrize(
    ("name", "limit"),
    [("a" * 256, "component"), (E_ACUTE * 128, "component"), ("abc/" * 300, "path"), ("a/" * 65, "depth")],
)
def test_a_path_longer_than_a_bound_is_refused(name: str, limit: str):
    with pytest.raises(UploadTooLarge) as refusal:
        clean_path(name, replace(LIMITS, depth=64 if limit == "depth" else 1000))
    assert refusal.value.evidence["limit"] == limit


@given(st.text(max_size=40))
def test_a_cleaned_path_is_clean(name: str):
    try:
        path = clean_path(name, LIMITS)
    except UnsafeEntry:
        return
    assert clean_path(path, LIMITS) == path
    assert unicodedata.is_normalized("NFC", path)
    assert not {"", ".", ".."} & set(path.split("/")) or not path


def test_only_empty_directories_are_entries():
    tree = admitted([directory("a"), directory("a/b"), file("a/c"), directory("d"), directory("e/f")], LIMITS)
    assert [entry.path for entry in tree] == ["a/b", "a/c", "d", "e/f"]


@pytest.mark.parametrize(
    ("entries", "broken"),
    [
        ([file("a"), file("a")], "duplicate"),
        ([directory("a"), directory("a")], "duplicate"),
        ([directory("a"), file("a")], "duplicate"),
        ([file("README"), file("readme")], "collision"),
        ([file("src/a"), file("SRC/b")], "collision"),
        ([directory("Src"), file("src/b")], "collision"),
        ([file("stra\u00dfe"), file("STRASSE")], "collision"),
        ([file("a"), file("a/b")], "below_a_file"),
        ([file("a/b/c"), file("a")], "below_a_file"),
        ([directory("d"), link("a", "d"), file("a/b")], "below_a_link"),
        ([file("a/b/c"), link("a/b", "x")], "below_a_link"),
    ],
)
def test_entries_that_cannot_stand_together_are_refused(entries: list[TreeEntry], broken: str):
    assert rule(*entries) == broken


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "b"),
        ("a/b", "../c"),
        ("a/b/c", "../../x"),
        ("a", "."),
        ("a/b", "./.."),
        ("a", "missing/dir/"),
        ("a", "b/../c"),
    ],
)
def test_a_link_that_stays_inside_is_taken(path: str, target: str):
    assert [entry.target for entry in admitted([link(path, target)], LIMITS)] == [target]


@pytest.mark.parametrize(
    "links",
    [
        [link("a", "/etc/passwd")],
        [link("a", "..")],
        [link("a/b", "../../x")],
        [link("a", "b/../../c")],
        [link("p/q/up", "../.."), link("out", "p/q/up/../x")],
        [link("d", "p/q"), link("e", "d/../../..")],
    ],
)
def test_a_link_that_leads_out_is_refused_also_through_other_links(links: list[TreeEntry]):
    assert rule(*links) == "link_outside"


def test_links_that_go_in_circles_are_refused():
    assert rule(link("a", "b"), link("b", "a")) == "link_loop"


def test_links_that_are_endless_to_follow_are_refused_soon():
    maze = [link("l0", "x"), *(link(f"l{n}", "/".join(["."] * 400)) for n in range(1, 3000))]
    assert rule(*maze) == "link_loop"


def test_a_link_target_is_text():
    with pytest.raises(UnsafeEntry):
        clean_target("a", "b\nc", LIMITS)
    with pytest.raises(UnsafeEntry):
        clean_target("a", "", LIMITS)
    with pytest.raises(UploadTooLarge):
        clean_target("a", "x" * 2000, LIMITS)
    assert clean_target("a", "e\u0301", LIMITS) == E_ACUTE


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (replace(LIMITS, entries=1), "entries"),
        (replace(LIMITS, names=3), "names"),
        (replace(LIMITS, expanded=5), "expanded"),
    ],
)
def test_a_tree_over_a_bound_is_refused(limits: ArchiveLimits, limit: str):
    with pytest.raises(UploadTooLarge) as refusal:
        admitted([file("aa", b"123"), file("bb", b"456")], limits)
    assert refusal.value.evidence["limit"] == limit


def test_a_tree_of_as_many_entries_as_there_may_be_is_admitted():
    tree = admitted([file(f"src/module{n % 100}/file{n}.rs") for n in range(20_000)], LIMITS)
    assert len(tree) == LIMITS.entries
