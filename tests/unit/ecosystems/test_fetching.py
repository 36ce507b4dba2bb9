"""What comes out of the fetch sandbox and is kept."""

import os
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.rust.steps import BROUGHT
from daemon.ecosystems.step import SOURCE_TIME
from daemon.errors import BadOutput, FetchFailed
from tests.fakes.rust_projects import BYTES, BYTES_CRATE, REGISTRY, SIMPLE, crate, lock, locked, planned

GIT = "/cargo/git"
HOME = "index.example-1949cf8c6b5b557f"


def tar(path: Path, entries: Iterable[tuple[str, bytes | None]], **more: object) -> Path:
    """An archive as an engine makes it: names from the taken directory's own on."""
    with tarfile.open(path, "w") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.uid, entry.uname = 1_799_999_999, 10001, "builder"
            if content is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(content)
            for field, value in more.items():
                setattr(entry, field, value)
            archive.addfile(entry, BytesIO(content or b""))
    return path


def test_archives_are_kept_by_the_locks_checksum_at_the_place_they_came_from(blobs: BlobStore, tmp_path: Path):
    archive = tar(
        tmp_path / "a.tar",
        [
            ("brought", None),
            ("brought/cache", None),
            (f"brought/cache/{HOME}/bytes-1.0.0.crate", BYTES_CRATE),
            (f"brought/cache/{HOME}/other-1.0.0.crate", b"?"),
        ],
    )

    fetched = planned(blobs).fetching.admit(BROUGHT, archive)

    (file,) = fetched.files
    assert file.path == f"cargo/registry/cache/{HOME}/bytes-1.0.0.crate"
    assert (file.digest, file.size) == (str(Digest.of(BYTES_CRATE)), len(BYTES_CRATE))
    assert blobs.read(Digest.parse(file.digest)) == BYTES_CRATE


def test_an_archive_that_is_not_what_the_lock_says_is_refused_and_nothing_of_it_kept(blobs: BlobStore, tmp_path: Path):
    archive = tar(tmp_path / "a.tar", [(f"brought/cache/{HOME}/bytes-1.0.0.crate", b"something else")])

    with pytest.raises(FetchFailed, match=r"bytes-1\.0\.0\.crate is not what Cargo\.lock says"):
        planned(blobs).fetching.admit(BROUGHT, archive)
    assert not blobs.has(Digest.of(b"something else"))


def test_archives_of_one_name_from_two_registries_are_told_apart_by_checksum(blobs: BlobStore, tmp_path: Path):
    theirs = locked("bytes", "1.0.0", source="sparse+https://r.example.org/", checksum=Digest.of(b"theirs").hex)
    files = {
        "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\n'),
        "Cargo.lock": lock(locked("app", "0.3.0", f"bytes 1.0.0 ({REGISTRY})", source=""), BYTES, theirs),
        "src/main.rs": "fn main() {}\n",
    }
    names = [
        (f"brought/cache/{HOME}/bytes-1.0.0.crate", BYTES_CRATE),
        ("brought/cache/r-1/bytes-1.0.0.crate", b"theirs"),
    ]

    fetched = planned(blobs, files).fetching.admit(BROUGHT, tar(tmp_path / "a.tar", names))

    assert [file.path.split("/")[3] for file in fetched.files] == [HOME, "r-1"]


def test_the_index_is_kept_as_it_came(blobs: BlobStore, tmp_path: Path):
    names = [(f"brought/index/{HOME}/config.json", b"{}"), (f"brought/index/{HOME}/.cache/by/te/bytes", b"\x03entry")]

    fetched = planned(blobs).fetching.admit(BROUGHT, tar(tmp_path / "a.tar", names))

    assert [file.path for file in fetched.files] == [
        f"cargo/registry/index/{HOME}/.cache/by/te/bytes",
        f"cargo/registry/index/{HOME}/config.json",
    ]


def test_a_name_that_leads_elsewhere_is_passed_over(blobs: BlobStore, tmp_path: Path):
    names = [(f"brought/index/{HOME}/../../../../usr/bin/cc", b"evil"), (f"brought/index/{HOME}/config.json", b"{}")]

    fetched = planned(blobs).fetching.admit(BROUGHT, tar(tmp_path / "a.tar", names))

    assert [file.path for file in fetched.files] == [f"cargo/registry/index/{HOME}/config.json"]


def test_what_is_neither_archive_nor_index_is_passed_over(blobs: BlobStore, tmp_path: Path):
    names = [("brought", b"a file"), ("brought/src/x", b"?"), (f"brought/index/{HOME}/config.json", b"{}")]

    fetched = planned(blobs).fetching.admit(BROUGHT, tar(tmp_path / "a.tar", names))

    assert [file.path for file in fetched.files] == [f"cargo/registry/index/{HOME}/config.json"]


def test_a_sparse_entry_is_refused(blobs: BlobStore, tmp_path: Path):
    archive = tar(tmp_path / "a.tar", [(f"brought/index/{HOME}/config.json", b"")], type=tarfile.GNUTYPE_SPARSE)

    with pytest.raises(BadOutput):
        planned(blobs).fetching.admit(BROUGHT, archive)


def test_git_is_kept_as_one_archive_in_which_every_time_is_the_constant(blobs: BlobStore, tmp_path: Path):
    """Law 1: a git checkout is a source."""
    entries = [("git", None), ("git/db/x/HEAD", b"ref"), ("git/checkouts/x/1/src/lib.rs", b"pub fn x() {}")]
    archive = tar(tmp_path / "a.tar", entries)

    fetched = planned(blobs).fetching.admit(GIT, archive)

    (name,) = fetched.archives
    with tarfile.open(blobs.path(Digest.parse(name))) as kept:
        members = kept.getmembers()
        assert [member.name for member in members] == [name for name, _ in entries]
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {
            (SOURCE_TIME, 10001, 10001, "")
        }
        content = kept.extractfile("git/checkouts/x/1/src/lib.rs")
        assert content is not None
        assert content.read() == b"pub fn x() {}"


def test_the_same_checkout_at_another_time_is_the_same_archive(blobs: BlobStore, tmp_path: Path):
    entries = [("git/db/x/HEAD", b"ref")]
    project = planned(blobs)

    first = project.fetching.admit(GIT, tar(tmp_path / "a.tar", entries))
    second = project.fetching.admit(GIT, tar(tmp_path / "b.tar", entries, mtime=5, uid=7))

    assert first == second


def test_a_whole_fetch_is_brought_to_the_disk_at_once(
    blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = [(f"brought/index/{HOME}/.cache/{number}", str(number).encode()) for number in range(200)]
    archive = tar(tmp_path / "a.tar", names)
    flushes: list[int] = []
    monkeypatch.setattr(os, "fsync", flushes.append)

    fetched = planned(blobs).fetching.admit(BROUGHT, archive)

    assert len(fetched.files) == 200
    assert not blobs.missing(Digest.parse(file.digest) for file in fetched.files)
    assert len(flushes) < 50, "blobs of the sources apart, which this test put one by one"


def test_git_is_taken_only_where_the_lock_names_a_repository(blobs: BlobStore):
    repository = locked("x", "1.0.0", source="git+https://example.org/x#" + "1" * 40)
    files = {**SIMPLE, "Cargo.lock": lock(locked("app", "0.3.0", "bytes", source=""), BYTES, repository)}

    plain, with_git = planned(blobs).fetching.step(Fetched()), planned(blobs, files).fetching.step(Fetched())

    assert plain is not None
    assert with_git is not None
    assert plain.take == (BROUGHT,)
    assert with_git.take == (BROUGHT, GIT)


def test_what_the_lock_names_is_fetched_and_nothing_else(blobs: BlobStore):
    """Law 8."""
    files = {f"service/{path}": text for path, text in SIMPLE.items()}

    step = planned(blobs, files, directory="service").fetching.step(Fetched())

    assert step is not None
    assert "cd /work/service\ncargo fetch --locked --target x86_64-unknown-linux-gnu\n" in step.step.script


def test_a_project_without_dependencies_fetches_nothing(blobs: BlobStore):
    files = {**SIMPLE, "Cargo.toml": crate("app", "0.3.0"), "Cargo.lock": lock(locked("app", "0.3.0", source=""))}

    assert planned(blobs, files).fetching.step(Fetched()) is None


UNLOCKED = {path: text for path, text in SIMPLE.items() if path != "Cargo.lock"}


def test_the_lock_that_cargo_made_is_taken_from_beside_the_manifest(blobs: BlobStore, tmp_path: Path):
    files = {f"service/{path}": text for path, text in UNLOCKED.items()}
    fetching = planned(blobs, files, directory="service").fetching

    step = fetching.lock_step()

    assert step.take == ("/work/service/Cargo.lock",)
    assert "cd /work/service\ncargo generate-lockfile" in step.step.script
    assert fetching.made_lock(tar(tmp_path / "a.tar", [("Cargo.lock", b"version = 4\n")])) == b"version = 4\n"
    with pytest.raises(FetchFailed):
        fetching.made_lock(tar(tmp_path / "b.tar", [("Cargo.lock", None)]))


def test_a_lock_is_made_of_the_real_versions(blobs: BlobStore):
    put = {member.path: member for member in planned(blobs, UNLOCKED).fetching.lock_step().step.members}

    assert b'version = "0.3.0"' in (put["work/Cargo.toml"].content or b"")
