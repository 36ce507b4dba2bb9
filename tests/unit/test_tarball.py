import asyncio
import io
import os
import tarfile
import threading
from collections.abc import Generator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.tarball import Member, entries, pieces, stream, threaded

PIECE = 1 << 20


def read(members: list[Member]) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces(members))), mode="r:") as tar:
        return tar.getmembers()


def test_files_links_and_directories_come_back_as_they_were_given():
    found = read(
        [
            Member(path="/d", mode=0o755, mtime=5, uid=1, gid=2),
            Member(path="d/f", mode=0o644, mtime=6, content=b"content"),
            Member(path="d/l", mode=0o777, mtime=7, target="../x"),
            Member(path="d/empty", mode=0o600, mtime=8, content=b""),
        ]
    )

    assert [(it.name, it.type, it.mode, it.mtime, it.size) for it in found] == [
        ("d", tarfile.DIRTYPE, 0o755, 5, 0),
        ("d/f", tarfile.REGTYPE, 0o644, 6, 7),
        ("d/l", tarfile.SYMTYPE, 0o777, 7, 0),
        ("d/empty", tarfile.REGTYPE, 0o600, 8, 0),
    ]
    assert (found[0].uid, found[0].gid, found[2].linkname) == (1, 2, "../x")


names = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=300).filter(
    lambda name: name.strip("/") and name not in {".", ".."}
)


@given(
    name=names,
    content=st.binary(max_size=2000),
    mtime=st.integers(0, 2**33),
    atime=st.none() | st.integers(0, 2**33),
)
def test_any_name_and_content_come_back(name: str, content: bytes, mtime: int, atime: int | None):
    archive = b"".join(pieces([Member(path=name, mode=0o644, mtime=mtime, atime=atime, content=content)]))

    assert len(archive) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        (found,) = tar.getmembers()
        taken = tar.extractfile(found)
        assert taken is not None
        assert (found.name, found.mtime, taken.read()) == (name.strip("/"), mtime, content)
        assert found.pax_headers.get("atime") == (None if atime is None else str(atime))


def test_equal_members_make_equal_bytes_and_order_counts():
    one, two = Member(path="a", mode=0, mtime=0, content=b"1"), Member(path="b", mode=0, mtime=0, content=b"2")

    assert b"".join(pieces([one, two])) == b"".join(pieces([one, two]))
    assert b"".join(pieces([one, two])) != b"".join(pieces([two, one]))


def test_an_archive_without_its_end_can_be_followed_by_another():
    one, two = Member(path="a", mode=0, mtime=0, content=b"1"), Member(path="b", mode=0, mtime=0, content=b"2")

    assert b"".join([*entries([one]), *pieces([two])]) == b"".join(pieces([one, two]))


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17])
def test_a_file_on_disk_is_read_piece_by_piece_and_equals_one_in_memory(tmp_path: Path, size: int):
    content = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    on_disk = Member(path="f", mode=0o644, mtime=0, source=path, size=size)

    made = list(pieces([on_disk]))

    assert b"".join(made) == b"".join(pieces([Member(path="f", mode=0o644, mtime=0, content=content)]))
    assert max(len(piece) for piece in made) <= 2 * PIECE


@pytest.mark.parametrize("difference", [-1, 1, PIECE])
def test_a_file_of_another_size_than_was_said_is_an_error_and_no_broken_archive(tmp_path: Path, difference: int):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)

    with pytest.raises(ValueError, match="bytes long"):
        list(pieces([Member(path="f", mode=0o644, mtime=0, source=path, size=5000 + difference)]))


def test_a_file_that_is_gone_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        list(pieces([Member(path="f", mode=0o644, mtime=0, source=tmp_path / "gone", size=1)]))


async def test_a_stream_is_the_same_bytes_and_passes_errors_on(tmp_path: Path):
    members = [Member(path=str(number), mode=0o644, mtime=0, content=b"x" * 1000) for number in range(3000)]

    assert b"".join([piece async for piece in stream(members)]) == b"".join(pieces(members))
    with pytest.raises(FileNotFoundError):
        async for _ in stream([Member(path="f", mode=0o644, mtime=0, source=tmp_path / "gone", size=1)]):
            pass


async def test_members_are_asked_for_as_the_archive_is_read():
    asked: list[int] = []

    def many() -> Iterator[Member]:
        for number in range(100):
            asked.append(number)
            yield Member(path=str(number), mode=0o644, mtime=0, content=bytes(100_000))

    async for _ in threaded(pieces(many())):
        break

    assert len(asked) < 20


async def test_the_next_piece_is_made_while_one_is_read():
    made = threading.Event()

    def two() -> Generator[bytes, None, None]:
        yield b"first"
        made.set()
        yield b"second"

    async with aclosing(threaded(two())) as archive:
        first = await anext(archive)

        assert (first, await asyncio.to_thread(made.wait, 10)) == (b"first", True)


async def test_a_stream_that_is_closed_closes_its_source_in_a_thread():
    closed: list[int] = []

    def endless() -> Generator[bytes, None, None]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(threading.get_ident())

    async with aclosing(threaded(endless())) as archive:
        await anext(archive)
        before = list(closed)

    assert not before
    assert len(closed) == 1
    assert closed[0] != threading.get_ident()


async def test_a_cancelled_stream_ends_only_when_the_thread_has_left_its_source():
    inside, leave, left = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Generator[bytes, None, None]:
        inside.set()
        leave.wait(10)
        left.set()
        yield b"too late"

    async def read_it() -> None:
        async for _ in threaded(slow()):
            pass

    reading = asyncio.create_task(read_it())
    await asyncio.to_thread(inside.wait, 10)
    reading.cancel()
    await asyncio.sleep(0.05)
    before = reading.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert not before
    assert left.is_set()
