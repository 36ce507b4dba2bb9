"""One unit and one blob: the same files are the same archive, and what is damaged is never given away."""

import io
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cache.digest import Digest
from cache.tree import EntryKind, TreeEntry
from daemon.units.packing import DamagedUnit, Packed, identify, pack, unpack, unpack_in_memory

FILES = {
    "release/deps/libé.rlib": b"library" * 100_000,
    "release/deps/empty": b"",
    "release/b/" + "long/" * 40 + "x": b"1",
}
ENTRIES = (
    *(TreeEntry(path, EntryKind.FILE, len(content), path.endswith("x")) for path, content in FILES.items()),
    TreeEntry("release/build/soil/out/link", EntryKind.SYMLINK, target="../" * 60 + "x"),
    TreeEntry("release/build/soil/out/void", EntryKind.DIRECTORY),
)


def opened(path: str) -> IO[bytes]:
    return io.BytesIO(FILES[path])


def packed(directory: Path, name: str = "blob") -> tuple[Packed, bytes]:
    made = pack(ENTRIES, opened, directory / name)
    return made, (directory / name).read_bytes()


def pieces(content: bytes, size: int = 1000) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def unpacked(content: bytes, made: Packed, directory: Path, size: int = 1000) -> dict[str, tuple[TreeEntry, Path]]:
    directory.mkdir()
    return unpack(pieces(content, size), made.digest, made.unpacked, directory)


@pytest.mark.parametrize("size", [1, 1000, 10_000_000])
def test_what_was_packed_comes_out_again(tmp_path: Path, size: int):
    made, content = packed(tmp_path)

    found = unpacked(content, made, tmp_path / "out", size)

    assert {entry.path: (entry.kind, entry.size, entry.executable, entry.target) for entry, _ in found.values()} == {
        entry.path: (entry.kind, entry.size, entry.executable, entry.target) for entry in ENTRIES
    }
    for path, content in FILES.items():
        entry, place = found[path]
        assert (place.read_bytes(), entry.digest) == (content, Digest.of(content))


def test_in_memory_the_same_comes_out(tmp_path: Path):
    made, content = packed(tmp_path)

    found = unpack_in_memory(content, made.digest, made.unpacked)

    assert {entry for entry, _ in found.values()} == set(ENTRIES)
    assert {path: bytes(found[path][1]) for path in FILES} == FILES


def test_what_comes_again_far_behind_is_packed_once(tmp_path: Path):
    """An rlib's metadata are in it and beside it, further apart than a packer looks of itself."""
    once = random.Random(1).randbytes(5_000_000)
    entries = [TreeEntry(name, EntryKind.FILE, len(once)) for name in ("a.rlib", "a.rmeta")]

    made = pack(entries, lambda _: io.BytesIO(once), tmp_path / "blob")

    assert len(once) < made.size < 1.1 * len(once)
    found = unpack_in_memory((tmp_path / "blob").read_bytes(), made.digest, made.unpacked)
    assert [bytes(content) for _, content in found.values()] == [once, once]


def test_the_same_files_in_any_order_are_the_same_bytes(tmp_path: Path):
    made, content = packed(tmp_path)

    again = pack(tuple(reversed(ENTRIES)), opened, tmp_path / "again")

    assert (again, (tmp_path / "again").read_bytes()) == (made, content)
    assert identify(reversed(ENTRIES), opened) == made.digest
    assert (made.blob, made.size) == (Digest.of(content), len(content))
    assert made.digest == Digest.of(zstandard.ZstdDecompressor().decompressobj().decompress(content))


def test_the_form_of_an_archive_does_not_change():
    """What is stored is compared with what is compiled anew: another form would make every unit differ."""
    entry = TreeEntry("release/deps/liba.rlib", EntryKind.FILE, 3)

    found = identify([entry], lambda _: io.BytesIO(b"abc"))
    assert str(found) == "sha256:6f49f667c56b9957daa80a78ceb870cc54803bde4816437d6754367fd9c0a691"


@pytest.mark.parametrize("content", [b"ab", b"abcd"])
def test_a_file_that_is_not_as_long_as_was_said_is_not_packed(tmp_path: Path, content: bytes):
    entry = TreeEntry("file", EntryKind.FILE, 3)

    with pytest.raises(ValueError, match="not 3 bytes"):
        pack([entry], lambda _: io.BytesIO(content), tmp_path / "blob")


@given(st.data())
def test_no_damage_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    directory = tmp_path_factory.mktemp("damage")
    made, content = packed(directory)
    broken = bytearray(content)
    match data.draw(st.sampled_from(["flip", "cut", "grow"])):
        case "flip":
            broken[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del broken[data.draw(st.integers(0, len(content) - 1)) :]
        case "grow":
            broken += data.draw(st.binary(min_size=1, max_size=50))

    with suppress(DamagedUnit):
        whole = unpack_in_memory(bytes(broken), made.digest, made.unpacked)
        assert {path: bytes(content) for path, (_, content) in whole.items() if path in FILES} == FILES

    # A frame's header has bits that change nothing of what comes out; the blob's own digest covers those.
    try:
        found = unpacked(bytes(broken), made, directory / "out")
    except DamagedUnit:
        return
    assert {path: place.read_bytes() for path, (_, place) in found.items() if path in FILES} == FILES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no frame",
        zstandard.ZstdCompressor().compress(b""),
        zstandard.ZstdCompressor().compress(bytes(50_000_000)),
    ],
    ids=["nothing", "something else", "an empty archive", "a bomb"],
)
def test_another_blob_is_damage(tmp_path: Path, content: bytes):
    made, _ = packed(tmp_path)

    with pytest.raises(DamagedUnit):
        unpacked(content, made, tmp_path / "out")
    with pytest.raises(DamagedUnit):
        unpack_in_memory(content, made.digest, made.unpacked)


def test_a_whole_unit_that_is_another_one_is_damage(tmp_path: Path):
    made, _ = packed(tmp_path)
    pack(ENTRIES[1:], opened, tmp_path / "other")

    with pytest.raises(DamagedUnit):
        unpacked((tmp_path / "other").read_bytes(), made, tmp_path / "out")
    with pytest.raises(DamagedUnit):
        unpack_in_memory((tmp_path / "other").read_bytes(), made.digest, made.unpacked)
