"""What a build leaves as its binary is hostile: each is refused or read, in a child that cannot hang or grow."""

import asyncio
import os
import random
import struct
import time
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.tree import SourceTree
from daemon.builds import ImageSettings, Link
from daemon.errors import BadOutput, NotStatic
from daemon.image.architecture import AMD64
from daemon.image.elf import Elf, ElfInput, ElfReader
from daemon.image.library_source import LibrarySource
from daemon.pipeline.assemble import Assembler, CompiledBinary
from tests.fakes.elves import (
    DT_NEEDED,
    DT_STRTAB,
    DT_VERNEED,
    DT_VERNEEDNUM,
    E_PHNUM,
    HELLO,
    compile_c,
    dynamic_segment,
    library,
    stored,
    tag_value,
    with_tag,
)
from tests.fakes.engine import FakeEngine
from tests.fakes.images import MemoryIndex, toolchain

E_MACHINE = 18


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return compile_c(tmp_path / "program", HELLO)


@pytest.fixture
def whole(program: Path) -> bytes:
    return program.read_bytes()


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def look(*contents: bytes, where: Path) -> tuple[Elf | None, ...]:
    inputs = []
    for number, content in enumerate(contents):
        path = _write(where / f"mutant{number}", content)
        inputs.append(ElfInput(Digest.of(content + bytes([number & 255, number >> 8])), path, path.name))
    return await ElfReader().look(inputs)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x7fELF", b"hello\n", b"#!/bin/sh\necho hello\n", b"\x7fELF\x02\x01\x01" + b"\xff" * 200, bytes(4096)],
)
async def test_what_is_no_elf_file_is_refused(tmp_path: Path, content: bytes):
    assert await look(content, where=tmp_path) == (None,)


async def test_a_truncated_file_is_refused_or_read_wherever_it_ends(tmp_path: Path, whole: bytes):
    cuts = [whole[:length] for length in range(0, len(whole), len(whole) // 150)]
    found = await look(*cuts, where=tmp_path)
    assert found[0] is None
    assert found[1] is None
    assert any(elf is not None for elf in found[-3:])


async def test_a_file_with_flipped_bytes_is_refused_or_read(tmp_path: Path, whole: bytes):
    chance = random.Random(7)
    start, size = dynamic_segment(whole)
    mutants = []
    for _ in range(300):
        mutant = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            area = chance.choice([range(64), range(64, 64 + 13 * 56), range(start, start + size), range(0x300, 0x700)])
            mutant[chance.choice(area)] = chance.randrange(256)
        mutants.append(bytes(mutant))
    begun = time.monotonic()
    found = await look(*mutants, where=tmp_path)
    assert {elf is None for elf in found} == {True, False}
    assert time.monotonic() - begun < 30


async def test_a_chain_of_versions_without_end_is_read_within_bounds(tmp_path: Path, whole: bytes):
    """Every entry of the chain is four bytes after the one before, as many as a count can say."""
    start = tag_value(whole, DT_VERNEED)
    endless = bytearray(with_tag(whole, DT_VERNEEDNUM, (1 << 64) - 1))
    struct.pack_into("<I", endless, start + 12, 1)
    far = bytearray(whole)
    struct.pack_into("<I", far, start + 12, 0xFFFFFFF0)
    struct.pack_into("<H", far, start + 2, 0xFFFF)
    struct.pack_into("<I", far, start + 8, 0)
    found = await asyncio.wait_for(look(bytes(endless), bytes(far), where=tmp_path), 30)
    assert len(found) == 2


@pytest.mark.parametrize("tag", [DT_STRTAB, DT_VERNEED])
@pytest.mark.parametrize("address", [0xFFFFFFFFFFFFFFF0, 1 << 40])
async def test_a_table_outside_the_file_is_refused(tmp_path: Path, whole: bytes, tag: int, address: int):
    assert await look(with_tag(whole, tag, address), where=tmp_path) == (None,)


async def test_a_name_outside_its_table_is_refused(tmp_path: Path, whole: bytes):
    assert await look(with_tag(whole, DT_NEEDED, 1 << 50), where=tmp_path) == (None,)


async def test_too_many_program_headers_are_refused(tmp_path: Path, whole: bytes):
    content = bytearray(whole)
    struct.pack_into("<H", content, E_PHNUM, 0xFFFF)
    with pytest.raises(BadOutput, match="65535 program headers"):
        await ElfReader().read([ElfInput(Digest.of(content), _write(tmp_path / "p", content), "p")])


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def test_a_sparse_file_of_terabytes_is_refused_by_its_size(tmp_path: Path, program: Path):
    os.truncate(program, 8 << 40)
    with pytest.raises(BadOutput, match="8796093022208 bytes"):
        await ElfReader().read([ElfInput(Digest.of(b"sparse"), program, "program")])


async def test_reading_that_takes_too_long_is_given_up_and_its_process_ended(program: Path):
    before = children()  # what earlier tests of this process started is not looked at
    with pytest.raises(BadOutput, match="takes too long"):
        await ElfReader(timeout=0.001).read([ElfInput(Digest.of(b"slow"), program, "program")])
    assert children() <= before


async def test_a_process_that_was_started_ahead_reads_once_and_is_gone_whatever_happens(program: Path):
    before = children()
    reader, asked = ElfReader(), [ElfInput(Digest.of(b"ahead"), program, "program")]

    async with reader.ahead() as child:
        (found,) = await reader.look(asked, child)
        assert found is not None
        assert await reader.look(asked, child) == (found,), "what is known needs no process"
    assert children() <= before

    with pytest.raises(ZeroDivisionError):
        async with reader.ahead():
            raise ZeroDivisionError
    assert children() <= before


# --- what the assembler refuses


async def assemble(tmp_path: Path, output: Path, link: Link = Link.DYNAMIC) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    source = LibrarySource(FakeEngine().sandboxes, blobs, MemoryIndex(), {})
    digest = stored(blobs, output)
    compiled = CompiledBinary(name="program", digest=digest, size=blobs.size(digest))
    assembler = Assembler(blobs, source, ElfReader(), AMD64)
    await assembler.assemble(compiled, ImageSettings(), link, SourceTree.of(()), toolchain("sha256:none"))


async def test_a_binary_for_another_machine_is_refused(tmp_path: Path, whole: bytes):
    content = bytearray(whole)
    struct.pack_into("<H", content, E_MACHINE, 183)
    with pytest.raises(BadOutput, match=r"program is for EM_AARCH64, and images here are for EM_X86_64"):
        await assemble(tmp_path, _write(tmp_path / "arm", content))


async def test_a_shared_library_is_refused_as_a_binary(tmp_path: Path):
    with pytest.raises(BadOutput, match="a library, not a program"):
        await assemble(tmp_path, library(tmp_path / "libanswer.so"))


async def test_a_text_is_refused_as_a_binary(tmp_path: Path):
    with pytest.raises(BadOutput, match="no well-formed ELF file"):
        await assemble(tmp_path, _write(tmp_path / "script", b"#!/bin/sh\n"))


async def test_a_dynamic_binary_is_refused_where_a_static_one_was_asked_for(tmp_path: Path, program: Path):
    with pytest.raises(NotStatic, match=r"libc\.so\.6") as refused:
        await assemble(tmp_path, program, Link.STATIC)
    assert refused.value.evidence["libraries"] == ["libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
