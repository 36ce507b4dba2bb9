"""Law 5 on values: who is dirty after a change, and what is put and deleted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.ecosystems.rust.dependents import Edge
from daemon.ecosystems.rust.dirtiness import Dirt, Ledger, dirty, read_ledger, write_ledger
from daemon.ecosystems.rust.inputs import Inputs
from daemon.ecosystems.rust.written import Found, written

MEMBERS = {"root": "", "app": "app", "app-two": "app-two", "inner": "app/inner"}
ALL = tuple(sorted(MEMBERS))
LEDGER = Ledger(
    environment="e",
    members=MEMBERS,
    inputs={
        "root": Inputs(files=("src/main.rs",)),
        "app": Inputs(files=("app/src/lib.rs", "shared.txt"), watched=("proto",)),
        "app-two": Inputs(files=("app-two/src/lib.rs", "app/side.txt", "app-two/link")),
        "inner": Inputs(files=("app/inner/src/lib.rs", "shared.txt")),
    },
)


def file(path: str, text: str = "x", *, executable: bool = False) -> TreeEntry:
    return TreeEntry(path, EntryKind.FILE, len(text), executable, Digest.of(text.encode()))


def link(path: str, target: str = "x") -> TreeEntry:
    return TreeEntry(path, EntryKind.SYMLINK, target=target)


def directory(path: str) -> TreeEntry:
    return TreeEntry(path, EntryKind.DIRECTORY)


BEFORE = SourceTree.of(
    [
        *map(file, ("src/main.rs", "app/src/lib.rs", "app-two/src/lib.rs", "app/side.txt", "shared.txt", "README.md")),
        *map(file, ("app/inner/src/lib.rs", "app/notes.txt", "proto/api.txt", "app/src/unused.rs")),
        link("app-two/link"),
    ]
)


def after(*entries: TreeEntry, without: str = "") -> SourceTree:
    kept = {entry.path: entry for entry in BEFORE if entry.path != without}
    return SourceTree.of({**kept, **{entry.path: entry for entry in entries}}.values())


def of(tree: SourceTree, **ledger: object) -> Dirt:
    return dirty(BEFORE, tree, replace(LEDGER, **ledger), MEMBERS, environment="e")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("app/src/lib.rs", ("app",)),
        ("app-two/src/lib.rs", ("app-two",)),
        ("app/inner/src/lib.rs", ("inner",)),
        ("app/side.txt", ("app", "app-two")),
        ("shared.txt", ("app", "inner", "root")),
        ("src/main.rs", ("root",)),
    ],
)
def test_a_file_that_the_compiler_read_is_its_member_s_and_its_readers(path: str, expected: tuple[str, ...]) -> None:
    changed = file(path, "other")

    found = of(after(changed))

    assert found == Dirt(packages=expected, put=(changed,))


@pytest.mark.parametrize("path", ["app/notes.txt", "README.md", "app/src/unused.rs"])
def test_a_file_that_nobody_names_makes_everything_dirty(path: str) -> None:
    found = of(after(file(path, "other")))

    assert (found.packages, found.everything) == (ALL, True)


OPENED = frozenset(entry.path for entry in BEFORE) - {"README.md", "app/notes.txt", "proto/api.txt"}


@pytest.mark.parametrize("path", ["README.md", "app/notes.txt"])
def test_law_13_a_file_that_nobody_opened_makes_nothing_dirty(path: str) -> None:
    changed = file(path, "other")

    assert of(after(changed), opened=OPENED) == Dirt(put=(changed,))


def test_law_13_a_file_that_somebody_opened_and_nobody_names_makes_everything_dirty() -> None:
    assert of(after(file("app/src/unused.rs", "other")), opened=OPENED).everything


def test_law_13_a_file_that_is_named_is_its_namers_whether_it_was_opened_or_not() -> None:
    assert of(after(file("proto/api.txt", "other")), opened=OPENED).packages == ("app", "root")


@pytest.mark.parametrize(
    "tree",
    [
        after(file("README.md", executable=True)),
        after(link("README.md")),
        after(directory("README.md")),
        after(without="README.md"),
        after(file("README.txt"), without="README.md"),
        after(file("NEWS.md")),
    ],
    ids=["mode", "a link", "a directory", "removed", "renamed", "added"],
)
def test_law_13_more_than_a_content_may_be_seen_without_opening(tree: SourceTree) -> None:
    assert of(tree, opened=OPENED).everything


def test_law_13_what_the_build_has_written_itself_is_not_unread() -> None:
    assert of(BEFORE, opened=OPENED, written=("README.md",)).everything


@pytest.mark.parametrize(
    "changed", [file("app/src/lib.rs", executable=True), link("app/src/lib.rs"), link("app-two/link", "y")]
)
def test_mode_kind_and_target_are_changes(changed: TreeEntry) -> None:
    found = of(after(changed))

    assert found.put == (changed,)
    assert found.packages == (("app-two",) if changed.path == "app-two/link" else ("app",))


def test_a_file_that_goes_away_is_its_reader_s_alone() -> None:
    found = of(after(without="app/src/lib.rs"))

    assert found == Dirt(packages=("app",), remove=("app/src/lib.rs",))


def test_a_file_that_comes_makes_everything_dirty_even_where_the_compiler_once_read_it() -> None:
    inputs = {**LEDGER.inputs, "app": Inputs(files=("app/src/new.rs",))}

    assert of(after(file("app/src/new.rs")), inputs=inputs).everything
    assert of(after(file("app/src/new.rs"))).everything


def test_a_path_that_a_build_script_names_is_vouched_for_whether_it_was_there_or_not() -> None:
    found = of(after(file("flag")), inputs={**LEDGER.inputs, "app": Inputs(watched=("flag",))})

    assert (found.packages, found.everything) == (("app", "root"), False)


@pytest.mark.parametrize(("watched", "expected"), [("absent", ("app",)), ("app/src", ()), ("proto/api.txt", ())])
def test_a_build_script_that_names_what_is_absent_runs_every_time(watched: str, expected: tuple[str, ...]) -> None:
    """Cargo runs it, so it has to be marked: what it made the last time goes away with the mark."""
    assert of(BEFORE, inputs={**LEDGER.inputs, "app": Inputs(watched=(watched,))}).packages == expected


def test_a_directory_that_a_build_script_names_is_not_vouched_for() -> None:
    """A procedural macro of another member may list it, too."""
    found = of(after(file("proto/api.txt", "v2")))

    assert (found.packages, found.everything) == (ALL, True)


def test_a_package_from_outside_that_names_a_changed_path_is_dirty_too() -> None:
    inputs = {**LEDGER.inputs, "esp-config": Inputs(watched=("shared.txt",))}

    assert of(after(file("shared.txt", "y")), inputs=inputs).packages == ("app", "esp-config", "inner", "root")


def test_what_the_build_wrote_is_a_change_and_is_put_again_or_taken_out() -> None:
    made = ("app/gen/", "app/gen/deep/", "app/gen/deep/a.rs", "app/gen/b.rs", "app/src/lib.rs", "app/inner/x/")
    inputs = {**LEDGER.inputs, "app": Inputs(files=("app/src/lib.rs", "app/gen/deep/a.rs", "app/gen/b.rs"))}

    found = of(BEFORE, inputs=inputs, written=made[:-1])

    assert (found.packages, found.everything) == (("app",), False)
    assert found.put == (file("app/src/lib.rs"),)
    assert found.remove == ("app/gen/deep/a.rs", "app/gen/b.rs", "app/gen/deep", "app/src/lib.rs", "app/gen")
    assert of(BEFORE, inputs=inputs, written=made).everything


def test_where_no_member_has_the_root_a_manifest_there_is_everybody_s() -> None:
    members = {"app": "app", "app-two": "app-two"}
    ledger = Ledger(environment="e", members=members, inputs={})

    found = dirty(BEFORE, after(file("Cargo.toml")), ledger, members, environment="e")

    assert (found.packages, found.everything) == (("app", "app-two"), True)


def test_another_environment_or_other_members_make_everything_dirty_old_and_new() -> None:
    more = {**MEMBERS, "more": "more"}
    moved = {**MEMBERS, "inner": "inner"}

    assert dirty(BEFORE, BEFORE, LEDGER, MEMBERS, environment="f") == Dirt(packages=ALL, everything=True)
    assert dirty(BEFORE, BEFORE, LEDGER, moved, environment="e").everything
    assert dirty(BEFORE, BEFORE, LEDGER, more, environment="e").packages == (*ALL[:3], "more", "root")
    less = replace(LEDGER, members=more)
    assert dirty(BEFORE, BEFORE, less, MEMBERS, environment="e").packages == (*ALL[:3], "more", "root")


def test_what_stands_on_a_dirty_package_is_dirty_with_its_script_only_where_that_is_reached() -> None:
    edges = [Edge("app", "inner"), Edge("app-two", "app", script=True), Edge("root", "app-two"), Edge("x", "y")]

    found = dirty(BEFORE, after(file("app/inner/src/lib.rs", "y")), LEDGER, MEMBERS, environment="e", edges=edges)

    assert (found.packages, found.dependents) == (("app-two", "inner"), ("app", "root"))
    assert found.compiled == set(ALL)
    assert not found.everything


def test_two_ways_to_a_package_count_as_the_worse() -> None:
    edges = [Edge("root", "inner"), Edge("app", "inner"), Edge("root", "app", script=True), Edge("inner", "root")]

    found = dirty(BEFORE, after(file("app/inner/src/lib.rs", "y")), LEDGER, MEMBERS, environment="e", edges=edges)

    assert (found.packages, found.dependents) == (("inner", "root"), ("app",))


def test_a_ledger_is_read_as_it_was_written() -> None:
    ledger = replace(LEDGER, written=("a/", "b c"))

    assert read_ledger(write_ledger(ledger)) == ledger


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"\xff",
        write_ledger(LEDGER)[:-2],
        write_ledger(LEDGER).replace(b'"format":1', b'"format":2'),
        write_ledger(LEDGER).replace(b'"members"', b'"others"'),
        write_ledger(LEDGER).replace(b'"files":[', b'"files":[7,'),
        b'{"format":1,"ledger":[]}',
    ],
)
def test_a_ledger_that_is_damaged_or_of_another_version_is_none(text: bytes) -> None:
    assert read_ledger(text) is None


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
KINDS = st.sampled_from(["file", "other", "run", "link", "directory"])


def entries(paths: dict[str, str]) -> SourceTree:
    """A tree of the paths that nothing else stands in the way of."""
    made = {
        "file": file, "other": lambda path: file(path, "other"), "run": lambda path: file(path, executable=True),
        "link": link, "directory": directory,
    }  # fmt: skip
    free = {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}
    return SourceTree.of(made[paths[path]](path) for path in free)


TREES = st.dictionaries(NAMES, KINDS, max_size=6).map(entries)


def standing(tree: SourceTree) -> dict[str, TreeEntry | None]:
    """What is on a disk: entries by path, and None for a directory."""
    found: dict[str, TreeEntry | None] = {}
    for entry in tree:
        parts = entry.path.split("/")
        found |= {"/".join(parts[:number]): None for number in range(1, len(parts))}
        found[entry.path] = None if entry.kind is EntryKind.DIRECTORY else entry
    return found


def found(path: str, entry: TreeEntry | None, put: dict[str, TreeEntry | None]) -> Found:
    """What a listing says of a path on a disk."""
    kinds = {EntryKind.FILE: "f", EntryKind.SYMLINK: "l"}
    return Found(
        path=path,
        kind=kinds[entry.kind] if entry else "d",
        executable=entry is not None and entry.executable,
        size=entry.size if entry else 4096,
        untouched=put.get(path) == entry,
        target=entry.target if entry else "",
    )


@given(TREES, st.none() | TREES, TREES)
def test_after_deleting_and_putting_the_tree_stands_there_whatever_the_build_did(
    before: SourceTree, build: SourceTree | None, wanted: SourceTree
) -> None:
    put, disk = standing(before), standing(before if build is None else build)
    listing = [found(path, entry, put) for path, entry in disk.items()]
    ledger = replace(LEDGER, inputs={}, written=written(listing, before))

    dirt = dirty(before, wanted, ledger, MEMBERS, environment="e")

    for path in dirt.remove:
        disk = {there: entry for there, entry in disk.items() if there != path and not there.startswith(f"{path}/")}
    for path, entry in standing(SourceTree.of(dirt.put)).items():
        # What is put over something of another kind could fail, or be followed.
        assert path not in disk or (disk[path] is None) is (entry is None)
        disk[path] = entry
    assert disk == standing(wanted)
    assert bool(dirt.packages) is bool(ledger.written or before != wanted)
