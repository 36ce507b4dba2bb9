"""A directory as a tree: what is in it, what is left out, and what is not read again."""

import os
import socket
import time
from pathlib import Path

import pytest

from api.client import worktree as module
from api.client.bounds import Bounds, no_bounds
from api.client.stamps import Stamps, place_of
from api.client.worktree import FileChanged, NotADirectory, UnreadableFile, Worktree
from cache.archive_errors import BadIgnoreFile, UnsafeEntry, UploadTooLarge
from cache.archive_limits import ArchiveLimits
from cache.digest import Digest
from cache.ignore import CACHE_SIGNATURE
from cache.tree import EntryKind, TreeEntry

LATER = time.time_ns() + 3_600_000_000_000
"""A walk that begins an hour from now finds nothing that was written just before."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = place_of("/a/project", {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert found is not None
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were read."""
    seen: list[str] = []
    real = module._read

    def counted(path: str, place: str) -> str:
        seen.append(path)
        return real(path, place)

    monkeypatch.setattr(module, "_read", counted)
    return seen


def walk(root: Path, place: Path | None = None, began: int = LATER) -> Worktree:
    stamps = Stamps(place, began)
    found = Worktree(str(root), stamps)
    stamps.save()
    return found


def paths(root: Path) -> list[str]:
    return [entry.path for entry in walk(root).tree]


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


# --- what is in it


def test_files_links_and_empty_directories_are_entries(project: Path):
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o755)
    (project / "link").symlink_to("src/main.rs")
    (project / "to-directory").symlink_to("src")
    (project / "empty").mkdir()

    entries = {entry.path: entry for entry in walk(project).tree}

    assert entries["src/main.rs"] == TreeEntry(
        "src/main.rs", EntryKind.FILE, size=13, digest=Digest.of(b"fn main() {}\n")
    )
    assert entries["run.sh"].executable
    assert entries["link"] == TreeEntry("link", EntryKind.SYMLINK, target="src/main.rs")
    assert entries["to-directory"].kind is EntryKind.SYMLINK
    assert entries["empty"] == TreeEntry("empty", EntryKind.DIRECTORY)
    assert "src" not in entries


def test_what_is_never_part_is_left_out_and_a_source_directory_named_target_stays(project: Path):
    put(project, ".git/HEAD", "sub/.git/HEAD", "target/debug/x", "sub/target/mod.rs")

    assert paths(project) == ["Cargo.toml", "src/main.rs", "sub/target/mod.rs"]


def test_a_tagged_cache_is_left_out_and_an_untagged_file_of_that_name_is_not(project: Path):
    put(project, "build/out.o", "docs/CACHEDIR.TAG")
    (project / "build/CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE + b"\n")

    assert paths(project) == ["Cargo.toml", "docs/CACHEDIR.TAG", "src/main.rs"]


def test_dockerignore_leaves_out_and_takes_back(project: Path):
    put(project, "docs/a.md", "docs/keep/b.md", "notes.md", "README.md")
    (project / ".dockerignore").write_text("docs\n!docs/keep\n*.md\n!README.md\n")

    assert paths(project) == [".dockerignore", "Cargo.toml", "README.md", "docs/keep/b.md", "src/main.rs"]


def test_directory_whose_files_are_all_left_out_is_empty(project: Path):
    put(project, "static/a.map")
    (project / ".dockerignore").write_text("**/*.map\n")

    assert "static" in paths(project)


def test_names_are_sent_in_normal_form_and_read_as_they_are(project: Path):
    put(project, "src/cafe\u0301.rs")

    found = walk(project)

    assert [entry.path for entry in found.tree][-2] == "src/caf\u00e9.rs"
    assert Path(found.place("src/caf\u00e9.rs")).read_text() == "src/cafe\u0301.rs"


def test_same_sources_give_the_same_tree_wherever_they_are(project: Path, tmp_path: Path):
    put(tmp_path / "other", "src/main.rs", "Cargo.toml")
    (tmp_path / "other/src/main.rs").write_text("fn main() {}\n")
    (tmp_path / "other/Cargo.toml").write_bytes((project / "Cargo.toml").read_bytes())

    assert walk(project).tree.digest == walk(tmp_path / "other").tree.digest


# --- what is refused


def test_path_that_is_no_directory_is_named(project: Path):
    with pytest.raises(NotADirectory, match="nowhere"):
        walk(project / "nowhere")


def test_bad_ignore_pattern_names_its_line(project: Path):
    (project / ".dockerignore").write_text("ok\n[\n")

    with pytest.raises(BadIgnoreFile, match="line 2"):
        walk(project)


def test_fifo_is_named_and_may_be_ignored(project: Path):
    os.mkfifo(project / "pipe")

    with pytest.raises(UnsafeEntry, match="`pipe` is a named pipe"):
        walk(project)

    (project / ".dockerignore").write_text("pipe\n")
    assert "pipe" not in paths(project)


def test_fifo_named_as_a_cache_tag_does_not_stop_the_walk(project: Path):
    (project / "sub").mkdir()
    os.mkfifo(project / "sub/CACHEDIR.TAG")

    with pytest.raises(UnsafeEntry, match="named pipe"):
        walk(project)


def test_socket_is_named(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")

        with pytest.raises(UnsafeEntry, match="`s` is of an unknown type"):
            walk(project)


def test_name_that_is_not_utf8_is_named(project: Path):
    Path(os.fsdecode(bytes(project) + b"/\xff.rs")).touch()

    with pytest.raises(UnsafeEntry, match=r"\\xff.rs"):
        walk(project)


@pytest.mark.parametrize("name", ["src", "src/main.rs", ".dockerignore"])
def test_what_cannot_be_read_is_named(project: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    put(project, ".dockerignore")
    refused = str(project / name)

    def refusing(real):  # noqa: ANN001, ANN202 - stands in for scandir and two kinds of open
        def call(path, *rest, **named):  # noqa: ANN001, ANN002, ANN003, ANN202
            if path == refused:
                raise PermissionError(13, "Permission denied")  # as root, no mode would refuse
            return real(path, *rest, **named)

        return call

    monkeypatch.setattr(module, "open", refusing(open), raising=False)
    monkeypatch.setattr(module.os, "open", refusing(os.open))
    monkeypatch.setattr(module.os, "scandir", refusing(os.scandir))

    with pytest.raises(UnreadableFile, match=f"`{name}/?`: Permission denied"):
        walk(project)


def test_file_that_is_written_to_while_it_is_read_is_named(project: Path, monkeypatch: pytest.MonkeyPatch):
    real = module._read

    def racing(path: str, place: str) -> str:
        digest = real(path, place)
        Path(place).write_text("something else, and longer than it was before\n")
        return digest

    monkeypatch.setattr(module, "_read", racing)

    with pytest.raises(FileChanged, match=r"Cargo\.toml|main\.rs"):
        walk(project)


# --- what is not read again


def test_unchanged_tree_is_not_read_again(project: Path, place: Path, reads: list[str]):
    first = walk(project, place)
    reads.clear()

    assert walk(project, place).tree == first.tree
    assert reads == []


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("fn main(){ }\n"),  # as long as before
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: (path.with_name("new").write_text("fn mine() {}\n"), path.with_name("new").rename(path)),
        lambda path: path.chmod(0o755),
    ],
    ids=["content", "mtime", "inode", "mode"],
)
def test_changed_file_is_read_again_and_no_other(project: Path, place: Path, reads: list[str], change):  # noqa: ANN001
    put(project, "src/other.rs")
    walk(project, place)
    reads.clear()
    change(project / "src/main.rs")

    found = walk(project, place)

    assert reads == ["src/main.rs"]
    assert found.tree.digest == walk(project).tree.digest


def test_change_that_keeps_size_and_mtime_is_seen_by_its_ctime(project: Path, place: Path, reads: list[str]):
    main = project / "src/main.rs"
    os.utime(main, ns=(10**18, 10**18))
    walk(project, place)
    main.write_text("fn mine() {}\n")
    os.utime(main, ns=(10**18, 10**18))

    found = walk(project, place)

    assert Digest.of(b"fn mine() {}\n") in [entry.digest for entry in found.tree]


def test_file_that_had_just_changed_is_read_again(project: Path, place: Path, reads: list[str]):
    walk(project, place, began=time.time_ns())
    reads.clear()

    walk(project, place, began=time.time_ns())

    assert sorted(reads) == ["Cargo.toml", "src/main.rs"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[:-3],
        lambda text: text.replace(b'"src/main.rs":[13', b'"src/main.rs":[14'),
        lambda text: b"\xff\x00",
        lambda text: b"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n{}",
    ],
    ids=["empty", "cut", "changed", "binary", "another-format"],
)
def test_damaged_memory_is_as_good_as_none(project: Path, place: Path, reads: list[str], damage):  # noqa: ANN001
    walk(project, place)
    place.write_bytes(damage(place.read_bytes()))
    reads.clear()

    walk(project, place)
    assert sorted(reads) == ["Cargo.toml", "src/main.rs"]

    reads.clear()
    walk(project, place)
    assert reads == []


def test_memory_that_cannot_be_kept_costs_nothing_but_speed(project: Path, tmp_path: Path):
    (tmp_path / "file").touch()

    assert len(walk(project, tmp_path / "file" / "place").tree) == 2


def test_removed_file_is_forgotten(project: Path, place: Path):
    walk(project, place)
    (project / "src/main.rs").unlink()
    walk(project, place)

    assert b"main.rs" not in place.read_bytes()


def test_unchanged_memory_is_not_written_again(project: Path, place: Path):
    walk(project, place)
    before = place.stat().st_ino

    walk(project, place)

    assert place.stat().st_ino == before


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/bloomery/worktrees"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/bloomery/worktrees"),
        ({"HOME": "/h"}, "/h/.cache/bloomery/worktrees"),
    ],
)
def test_memory_is_kept_where_the_user_keeps_caches(environment: dict[str, str], expected: str):
    place = place_of("/a", environment)

    assert place is not None
    assert str(place.parent) == expected
    assert place != place_of("/b", environment)


def test_without_a_home_nothing_is_remembered():
    assert place_of("/a", {}) is None


# --- what is too much


@pytest.mark.parametrize(
    ("bounds", "limit"), [(Bounds(entries=4), "entries"), (Bounds(expanded=30), "expanded")], ids=["entries", "bytes"]
)
def test_more_than_the_bounds_is_refused_with_what_weighs_most(
    tmp_path: Path, reads: list[str], bounds: Bounds, limit: str
):
    put(tmp_path, "Cargo.toml", *(f"data/{number}" for number in range(9)))

    with pytest.raises(UploadTooLarge, match=r"`data/`.*\.dockerignore.*--any-size") as caught:
        Worktree(str(tmp_path), Stamps(None, LATER), bounds)

    assert caught.value.evidence["limit"] == limit
    assert len(reads) < 9


def test_a_file_beyond_the_bounds_is_not_read(tmp_path: Path, reads: list[str]):
    put(tmp_path, "huge")

    with pytest.raises(UploadTooLarge):
        Worktree(str(tmp_path), Stamps(None, LATER), Bounds(expanded=3))

    assert reads == []


def test_what_is_ignored_does_not_count(tmp_path: Path):
    put(tmp_path, "Cargo.toml", *(f"data/{number}" for number in range(9)))
    (tmp_path / ".dockerignore").write_text("data\n")

    assert Worktree(str(tmp_path), Stamps(None, LATER), Bounds(entries=2)).tree


def test_the_bounds_are_those_that_a_daemon_has_by_default(tmp_path: Path):
    limits = ArchiveLimits()
    bounds = Bounds()
    bounds.add("a", limits.expanded)
    for number in range(limits.entries - 1):
        bounds.add(f"b/{number}", 0)
    with pytest.raises(UploadTooLarge, match="20,000 files"):
        bounds.add("c", 0)
    with pytest.raises(UploadTooLarge, match="512 MiB"):
        Bounds().add("a", limits.expanded + 1)


def test_without_bounds_anything_is_admitted():
    bounds = no_bounds()
    bounds.add("a", 1 << 50)


def test_each_file_that_is_read_is_told_of(tmp_path: Path):
    put(tmp_path, "a", "b")
    told: list[int] = []

    Worktree(str(tmp_path), Stamps(None, LATER), reading=told.append)

    assert told == [1, 2]
