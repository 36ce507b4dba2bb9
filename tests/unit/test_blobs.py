"""The store of blobs: what is at a name is what the name says, whole, or it is not there."""

import ctypes
import errno
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cache.blobs import BlobStore, room_on_disk
from cache.digest import Digest, DigestMismatch
from cache.errors import NoSpace


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def leftovers(tmp_path: Path) -> list[str]:
    root = tmp_path / "blobs"
    return [str(path.relative_to(root)) for area in ("staging", "incoming") for path in (root / area).rglob("*")]


def test_what_is_put_is_read(store: BlobStore, tmp_path: Path):
    digest = store.put(b"content")
    assert digest == Digest.of(b"content")
    assert store.has(digest)
    assert store.size(digest) == 7
    assert store.read(digest) == b"content"
    assert store.path(digest) == tmp_path / "blobs" / "sha256" / digest.hex[:2] / digest.hex
    assert leftovers(tmp_path) == []


def test_what_is_left_of_a_stream_is_stored_as_bytes_are(store: BlobStore):
    expected = store.put(b"content")
    stream = io.BytesIO(b"before content")
    stream.seek(len(b"before "))
    assert store.put_stream(stream) == expected


def test_what_is_missing_is_said_once_in_order(store: BlobStore):
    here, one, two = store.put(b"here"), Digest.of(b"1"), Digest.of(b"2")
    assert store.missing([two, here, one, two]) == (two, one)
    assert not store.has(one)
    with pytest.raises(FileNotFoundError):
        store.read(one)
    with pytest.raises(FileNotFoundError):
        store.size(one)


def test_a_damaged_blob_is_noticed_when_it_is_read_and_is_gone_then(store: BlobStore):
    digest = store.put(b"content")
    store.path(digest).write_bytes(b"CONTENT")
    with pytest.raises(DigestMismatch):
        store.read(digest)
    assert not store.has(digest)
    assert store.put(b"content") == digest
    assert store.read(digest) == b"content"


def test_a_blob_that_lost_its_end_is_written_anew(store: BlobStore):
    digest = store.put(b"content")
    os.truncate(store.path(digest), 0)
    store.put(b"content")
    assert store.read(digest) == b"content"


def test_a_blob_is_removed_wherever_it_is(store: BlobStore):
    settled, waiting = store.put(b"settled"), Digest.of(b"waiting")
    with store.staging() as directory:
        (directory / "x").write_bytes(b"waiting")
        store.receive(waiting, directory / "x")
    for digest in (settled, waiting, waiting):
        store.remove(digest)
        assert not store.has(digest)


@pytest.mark.parametrize("number", [1, 3, 700])
def test_staged_files_are_adopted_together(store: BlobStore, tmp_path: Path, number: int):
    with store.staging() as directory:
        staged = {}
        for n in range(number):
            content = f"file {n}".encode()
            staged[Digest.of(content)] = directory / str(n)
            (directory / str(n)).write_bytes(content)
        store.adopt(staged)
    assert store.missing(staged) == ()
    assert store.read(Digest.of(b"file 0")) == b"file 0"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("number", [2, 50])
def test_content_is_on_the_disk_before_its_name(
    store: BlobStore, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
):
    steps: list[str] = []
    flush: Callable[..., None] = BlobStore._flush
    rename = Path.rename

    def flushed(self: BlobStore, paths: list[Path]) -> None:
        paths = list(paths)
        steps.append("content" if all(path.is_file() for path in paths) else "names")
        flush(self, paths)

    def renamed(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(BlobStore, "_flush", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    with store.staging() as directory:
        staged = {Digest.of(bytes([n])): directory / str(n) for n in range(number)}
        for n in range(number):
            (directory / str(n)).write_bytes(bytes([n]))
        store.adopt(staged)
    assert steps == ["content", *["rename"] * number, "names"]


def test_a_received_blob_is_settled_when_it_is_needed(store: BlobStore):
    digest, other = Digest.of(b"content"), Digest.of(b"other")
    for content in (b"content", b"other"):
        with store.staging() as directory:
            (directory / "x").write_bytes(content)
            store.receive(Digest.of(content), directory / "x")
    assert store.missing([digest, other]) == ()
    assert store.size(digest) == 7
    assert not store.path(digest).exists()
    store.settle([digest, Digest.of(b"never came")])
    assert store.read(digest) == b"content"
    assert not store.path(other).exists()


def test_a_start_after_a_crash_removes_what_was_unfinished(store: BlobStore, tmp_path: Path):
    kept = store.put(b"kept")
    root = tmp_path / "blobs"
    (root / "staging" / "half").mkdir()
    (root / "staging" / "half" / "file").write_bytes(b"ha")
    (root / "incoming" / Digest.of(b"x").hex).write_bytes(b"")
    again = BlobStore(root)
    assert leftovers(tmp_path) == []
    assert again.read(kept) == b"kept"
    assert not again.has(Digest.of(b"x"))


def test_a_full_disk_has_its_own_failure(store: BlobStore, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace):
        store.put(b"content")
    assert not store.has(Digest.of(b"content"))
    with pytest.raises(PermissionError), room_on_disk():
        raise PermissionError(errno.EACCES, "not about space")


def test_a_flush_that_fails_keeps_the_names_away(store: BlobStore, monkeypatch: pytest.MonkeyPatch):
    def syncfs(_: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    monkeypatch.setattr(store, "_libc", SimpleNamespace(syncfs=syncfs))
    with store.staging() as directory:
        staged = {Digest.of(bytes([n])): directory / str(n) for n in range(10)}
        for n in range(10):
            (directory / str(n)).write_bytes(bytes([n]))
        with pytest.raises(OSError, match="Input/output"):
            store.adopt(staged)
    assert store.missing(staged) == tuple(staged)


def test_threads_may_store_the_same_files_at_once(store: BlobStore):
    wanted = [f"file {n}".encode() for n in range(40)]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with store.staging() as directory:
                for content in wanted:
                    (directory / "x").write_bytes(content)
                    store.receive(Digest.of(content), directory / "x")
                store.settle(map(Digest.of, wanted))
        except BaseException as problem:  # noqa: BLE001 - shown by the assertion below
            failures.append(problem)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [store.read(Digest.of(content)) for content in wanted] == wanted


def test_hundreds_of_small_files_are_not_flushed_one_by_one(store: BlobStore, monkeypatch: pytest.MonkeyPatch):
    single: list[int] = []
    monkeypatch.setattr(os, "fsync", single.append)
    with store.staging() as directory:
        staged = {}
        for n in range(700):
            content = os.urandom(2000)
            staged[Digest.of(content)] = directory / str(n)
            (directory / str(n)).write_bytes(content)
        store.adopt(staged)
    assert single == []
