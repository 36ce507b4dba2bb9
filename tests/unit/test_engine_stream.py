import struct
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.engine.engine import OutputStream
from daemon.engine.names import repository_and_tag
from daemon.engine.stream import Demultiplexer, ProgressLines, TarEnd, plain, progress_error
from daemon.errors import EngineRefused
from daemon.tarball import Member, pieces


def frame(number: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", number, len(data)) + data


@given(frames=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40))), cut=st.integers(1, 20))
def test_output_cut_anywhere_comes_out_whole(frames: list[tuple[int, bytes]], cut: int):
    data = b"".join(frame(number, content) for number, content in frames)
    demultiplexer = Demultiplexer()
    found = {OutputStream.STDOUT: b"", OutputStream.STDERR: b""}
    for start in range(0, len(data), cut):
        for stream, piece in demultiplexer.feed(data[start : start + cut]):
            found[stream] += piece
    assert found[OutputStream.STDOUT] == b"".join(content for number, content in frames if number == 1)
    assert found[OutputStream.STDERR] == b"".join(content for number, content in frames if number == 2)
    assert demultiplexer.between_frames


def test_a_frame_that_claims_four_gigabytes_is_passed_on_as_it_comes():
    demultiplexer = Demultiplexer()
    assert list(demultiplexer.feed(struct.pack(">BxxxL", 1, 0xFFFFFFFF) + b"some")) == [(OutputStream.STDOUT, b"some")]
    assert list(demultiplexer.feed(b"more")) == [(OutputStream.STDOUT, b"more")]
    assert not demultiplexer.between_frames


@pytest.mark.parametrize("header", [b"\x04\0\0\0\0\0\0\1", b"\x01\1\0\0\0\0\0\1", b"Error: s"])
def test_what_is_no_frame_is_refused(header: bytes):
    with pytest.raises(EngineRefused):
        list(Demultiplexer().feed(header))


@given(cut=st.integers(1, 50))
def test_lines_of_progress_cut_anywhere_come_out_whole(cut: int):
    data = b'{"status":"one"}\r\n\r\n{"status":"t\\nwo"}\n{"last":{"a":1}}'
    lines = ProgressLines()
    found = [line for start in range(0, len(data), cut) for line in lines.feed(data[start : start + cut])]
    found += lines.finish()
    assert found == [{"status": "one"}, {"status": "t\nwo"}, {"last": {"a": 1}}]


def test_a_line_of_a_megabyte_is_read():
    lines = ProgressLines()
    (line,) = lines.feed(b'{"stream":"' + b"x" * (1 << 20) + b'"}\n')
    assert line["stream"] == "x" * (1 << 20)


def test_a_line_without_end_is_refused():
    lines = ProgressLines()
    assert list(lines.feed(b"x" * (16 << 20))) == []
    with pytest.raises(EngineRefused, match="16 MiB"):
        list(lines.feed(b"x"))


@pytest.mark.parametrize("line", [b"<html>\n", b"[]\n", b'"text"\n', b"\xff\n"])
def test_a_line_that_is_no_object_is_refused(line: bytes):
    with pytest.raises(EngineRefused):
        list(ProgressLines().feed(line))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"status": "fine"}, None),
        ({"error": "plain"}, "plain"),
        ({"error": "plain", "errorDetail": {"message": "detailed"}}, "detailed"),
        ({"error": "plain", "errorDetail": {"code": 1}}, "plain"),
    ],
)
def test_an_error_in_a_line_is_found(line: dict[str, object], error: str | None):
    assert progress_error(line) == error


async def pieces_of(*parts: bytes) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part


@pytest.mark.parametrize("magic", [b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"])
async def test_a_compressed_archive_is_seen_however_it_is_cut(magic: bytes):
    with pytest.raises(ValueError, match="uncompressed"):
        [_ async for _ in plain(pieces_of(magic[:1], magic[1:] + bytes(100)))]


async def test_a_plain_archive_passes_unchanged():
    data = b"".join(pieces([Member(path="f", mode=0o644, mtime=0, content=b"content")]))
    assert b"".join([piece async for piece in plain(pieces_of(data[:3], b"", data[3:]))]) == data


@pytest.mark.parametrize("size", [1, 511, 512, 1024, 100_000])
def test_the_end_of_a_tar_is_seen_however_it_is_cut(size: int):
    data = b"".join(pieces([Member(path="f", mode=0o644, mtime=0, content=b"content")]))
    end = TarEnd()
    for start in range(0, len(data), size):
        end.feed(data[start : start + size])
    assert end.whole


@pytest.mark.parametrize("lost", [1, 512, 1024, 1030])
def test_a_tar_that_breaks_off_is_not_whole(lost: int):
    data = b"".join(pieces([Member(path="f", mode=0o644, mtime=0, content=b"content")]))
    end = TarEnd()
    end.feed(data[:-lost])
    assert not end.whole


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("name", ("name", "latest")),
        ("name:1", ("name", "1")),
        ("host:5000/name", ("host:5000/name", "latest")),
        ("host:5000/some/name:1.2", ("host:5000/some/name", "1.2")),
    ],
)
def test_a_reference_has_a_repository_and_a_tag(reference: str, parts: tuple[str, str]):
    assert repository_and_tag(reference) == parts
