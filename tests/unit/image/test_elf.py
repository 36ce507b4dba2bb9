"""What a binary needs is read from files that a real compiler made."""

import struct
from pathlib import Path

import pytest

from cache.blobs import BlobStore
from daemon.errors import BadOutput
from daemon.image.elf import ElfInput, ElfReader
from tests.fakes.elves import DT_VERNEED, HELLO, compile_c, compile_rust, library, read, stored, tag_value

LOADER = "/lib64/ld-linux-x86-64.so.2"


async def test_a_dynamic_program_names_its_loader_its_libraries_and_their_versions(
    tmp_path: Path, blobs: BlobStore, reader: ElfReader
):
    elf = await read(reader, blobs, compile_c(tmp_path / "hello", HELLO))
    assert elf.interpreter == LOADER
    assert elf.needed == ("libc.so.6",)
    assert "GLIBC_2.2.5" in elf.required["libc.so.6"]
    assert (elf.bits, elf.machine) == (64, "EM_X86_64")
    assert elf.executable
    assert not elf.static
    assert elf.tls == ()
    assert elf.speaks_tls is None


@pytest.mark.parametrize(("flags", "kind"), [(["-static"], "ET_EXEC"), (["-static-pie"], "ET_DYN")])
async def test_a_static_program_needs_nothing(
    tmp_path: Path, blobs: BlobStore, reader: ElfReader, flags: list[str], kind: str
):
    elf = await read(reader, blobs, compile_c(tmp_path / "hello", HELLO, *flags))
    assert elf.type == kind
    assert elf.static
    assert elf.executable
    assert elf.interpreter is None


async def test_a_shared_library_is_nothing_that_can_be_started(tmp_path: Path, blobs: BlobStore, reader: ElfReader):
    elf = await read(reader, blobs, library(tmp_path / "libanswer.so.1"))
    assert elf.soname == "libanswer.so.1"
    assert not elf.executable


@pytest.mark.parametrize(
    ("flag", "where"),
    [("--enable-new-dtags", "runpath"), ("--disable-new-dtags", "rpath")],
)
async def test_search_paths_are_read_apart(tmp_path: Path, blobs: BlobStore, reader: ElfReader, flag: str, where: str):
    program = compile_c(tmp_path / "p", HELLO, f"-Wl,{flag}", "-Wl,-rpath,$ORIGIN/lib:/opt/lib")
    elf = await read(reader, blobs, program)
    paths = {"rpath": elf.rpath, "runpath": elf.runpath}
    assert paths.pop(where) == ("$ORIGIN/lib", "/opt/lib")
    assert set(paths.values()) == {()}


async def test_versions_that_a_library_defines(tmp_path: Path, blobs: BlobStore, reader: ElfReader):
    script = tmp_path / "versions"
    script.write_text("ANSWER_1 { global: answer; };\nANSWER_2 { global: other; } ANSWER_1;\n")
    elf = await read(reader, blobs, library(tmp_path / "libanswer.so.1", f"-Wl,--version-script={script}"))
    assert set(elf.defined) == {"libanswer.so.1", "ANSWER_1", "ANSWER_2"}


def weakened(program: Path) -> Path:
    """Mark the first version that is asked for as weak (VER_FLG_WEAK of its Elf_Vernaux)."""
    content = bytearray(program.read_bytes())
    need = tag_value(bytes(content), DT_VERNEED)
    auxiliary = need + struct.unpack_from("<I", content, need + 8)[0]
    struct.pack_into("<H", content, auxiliary + 4, 2)
    program.write_bytes(content)
    return program


async def test_a_weak_version_is_not_insisted_on(tmp_path: Path, blobs: BlobStore, reader: ElfReader):
    firm = compile_c(tmp_path / "firm", HELLO)
    insisted = (await read(reader, blobs, firm)).required["libc.so.6"]
    assert (await read(reader, blobs, weakened(firm))).required["libc.so.6"] == insisted[1:]


async def test_what_a_program_may_dlopen_is_found_in_its_content(tmp_path: Path, blobs: BlobStore, reader: ElfReader):
    source = '#include <dlfcn.h>\nint main(void) { return dlopen("libplugin-x.so.3", RTLD_NOW) == 0; }\n'
    elf = await read(reader, blobs, compile_c(tmp_path / "p", source))
    assert elf.dlopens
    assert "libplugin-x.so.3" in elf.candidates


async def test_a_name_is_no_wish_of_a_program_that_cannot_dlopen(tmp_path: Path, blobs: BlobStore, reader: ElfReader):
    source = '#include <stdio.h>\nint main(void) { puts("libplugin-x.so.3"); return 0; }\n'
    elf = await read(reader, blobs, compile_c(tmp_path / "p", source))
    assert not elf.dlopens
    assert elf.candidates == ()


@pytest.mark.parametrize("mark", ["SSL_CERT_FILE", "/etc/ssl/certs", "x/rustls-0.23.1/src/lib.rs"])
async def test_tls_is_seen_in_the_content(tmp_path: Path, blobs: BlobStore, reader: ElfReader, mark: str):
    source = f'#include <stdio.h>\nint main(void) {{ puts("{mark}"); return 0; }}\n'
    assert (await read(reader, blobs, compile_c(tmp_path / "p", source))).speaks_tls


async def test_tls_is_seen_among_the_needed_libraries(tmp_path: Path, blobs: BlobStore, reader: ElfReader):
    made = library(tmp_path / "libssl.so.3")
    source = "int answer(void);\nint main(void) { return answer(); }\n"
    program = await read(reader, blobs, compile_c(tmp_path / "p", source, made))
    assert program.speaks_tls == "libssl.so.3"
    assert (await read(reader, blobs, made)).is_tls_library


async def test_what_rustc_makes(tmp_path: Path, blobs: BlobStore, reader: ElfReader):
    elf = await read(reader, blobs, compile_rust(tmp_path / "hello"))
    assert elf.interpreter == LOADER
    assert set(elf.needed) <= {"libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"}
    assert elf.speaks_tls is None


async def test_the_loader_says_where_it_looks(blobs: BlobStore, reader: ElfReader):
    elf = await read(reader, blobs, Path("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
    assert elf.system_directories == ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib")


async def test_facts_are_remembered_by_content(tmp_path: Path, blobs: BlobStore):
    program = compile_c(tmp_path / "hello", HELLO)
    digest = stored(blobs, program)
    impatient = ElfReader()
    first = await impatient.read([ElfInput(digest, program, "hello")])
    program.unlink()
    assert await impatient.read([ElfInput(digest, program, "hello again")]) == first


async def test_many_files_are_read_in_order_and_one_bad_one_is_named(
    tmp_path: Path, blobs: BlobStore, reader: ElfReader
):
    program = compile_c(tmp_path / "hello", HELLO)
    text = tmp_path / "notes"
    text.write_text("no program at all")
    inputs = [ElfInput(stored(blobs, path), path, path.name) for path in (program, text, program)]
    looked = await reader.look(inputs)
    assert [elf is None for elf in looked] == [False, True, False]
    with pytest.raises(BadOutput, match=r"notes cannot be put into an image: it is no well-formed ELF file") as refused:
        await reader.read(inputs)
    assert refused.value.evidence["file"] == "notes"
