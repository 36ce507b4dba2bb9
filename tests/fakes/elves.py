"""Real ELF files for tests, made by the C compiler on the spot, and a toolchain image that is this machine."""

import struct
import subprocess
from pathlib import Path

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.tree import TreeEntry
from daemon.image.elf import Elf, ElfInput, ElfReader
from daemon.image.toolchain_files import ToolchainFile

E_PHOFF, E_PHNUM, PT_DYNAMIC = 32, 56, 2
DT_NEEDED, DT_STRTAB, DT_VERNEED, DT_VERNEEDNUM = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF
HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'


def compile_c(output: Path, source: str, *flags: str | Path) -> Path:
    """Compile a C program or, with `-shared`, a library."""
    output.parent.mkdir(parents=True, exist_ok=True)
    source_file = output.with_name(output.name + ".c")
    source_file.write_text(source)
    subprocess.run(["gcc", "-o", output, source_file, *flags], check=True, capture_output=True)
    source_file.unlink()
    return output


def library(output: Path, *flags: str | Path, soname: str | None = None, function: str = "answer") -> Path:
    """A shared library with one function."""
    name = f"-Wl,-soname,{soname or output.name}"
    return compile_c(output, f"int {function}(void) {{ return 42; }}\n", "-shared", "-fPIC", name, *flags)


def compile_rust(output: Path, source: str = 'fn main() { println!("hello"); }', *flags: str) -> Path:
    """Compile a Rust program."""
    source_file = output.with_name(output.name + ".rs")
    source_file.write_text(source)
    subprocess.run(["rustc", "-C", "strip=symbols", *flags, "-o", output, source_file], check=True, capture_output=True)
    source_file.unlink()
    return output


def dynamic_segment(content: bytes) -> tuple[int, int]:
    """Where the dynamic segment lies in the file, and its size."""
    (headers,), (count,) = struct.unpack_from("<Q", content, E_PHOFF), struct.unpack_from("<H", content, E_PHNUM)
    for number in range(count):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", content, headers + 56 * number)
        if kind == PT_DYNAMIC:
            return offset, size
    raise AssertionError("no dynamic segment")


def with_tag(content: bytes, tag: int, value: int) -> bytes:
    """The file with another value under one tag of its dynamic segment."""
    changed, (start, size) = bytearray(content), dynamic_segment(content)
    for at in range(start, start + size, 16):
        if struct.unpack_from("<Q", content, at)[0] == tag:
            struct.pack_into("<Q", changed, at + 8, value)
            return bytes(changed)
    raise AssertionError("no such tag")


def tag_value(content: bytes, tag: int) -> int:
    """What one tag of its dynamic segment says; of these small files, an offset in the file."""
    start, size = dynamic_segment(content)
    pairs = (struct.unpack_from("<QQ", content, at) for at in range(start, start + size, 16))
    return next(value for found, value in pairs if found == tag)


def stored(blobs: BlobStore, file: Path) -> Digest:
    """A copy of a file."""
    with file.open("rb") as stream:
        return blobs.put_stream(stream)


async def read(reader: ElfReader, blobs: BlobStore, path: Path) -> Elf:
    """The facts about one file."""
    (elf,) = await reader.read([ElfInput(stored(blobs, path), path, path.name)])
    return elf


class HostFiles:
    """`ToolchainFiles` of this machine, with the files below `root` laid over it."""

    def __init__(self, root: Path, blobs: BlobStore, *, configured: tuple[str, ...] = ()) -> None:
        self._root = root
        self._blobs = blobs
        self._configured = configured
        self.hidden: set[str] = set()
        """Paths that are not there."""

    async def file(self, path: str) -> ToolchainFile | None:
        for place in (self._root / path.lstrip("/"), Path(path)):
            if place.is_file() and path not in self.hidden:
                digest = stored(self._blobs, place)
                source = self._blobs.path(digest)
                return ToolchainFile(path=path, digest=digest, size=source.stat().st_size, source=source)
        return None

    async def directory(self, path: str) -> tuple[TreeEntry, ...] | None:
        raise NotImplementedError(path)

    async def library_directories(self) -> tuple[str, ...]:
        return self._configured
