"""What an ELF file asks of the system around it, as the dynamic loader sees it.

The files are hostile: they are read in a child process (`daemon.image.elf_child`) with limits on memory and CPU time
that is killed when it takes too long. Facts follow from content alone, so they are remembered by digest.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cache.digest import Digest
from daemon.engine.settled import uninterrupted
from daemon.errors import BadOutput
from daemon.image import elf_child

LARGEST_FILE = 1 << 30
"""Bytes; a stripped binary or library that is larger is refused."""

_TIMEOUT = 30.0
_LARGEST_ANSWER = 32 << 20
_REMEMBERED = 2048
_TLS_LIBRARIES = ("libssl.so", "libgnutls.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """One ELF file. Machine and type are named as in elf.h."""

    bits: int
    machine: str
    """Such as `EM_X86_64`."""
    type: str
    """`ET_EXEC`, or `ET_DYN` for position-independent executables and shared libraries."""
    interpreter: str | None
    """The loader's path."""
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    soname: str | None
    required: Mapping[str, tuple[str, ...]]
    """By library, the symbol versions that the loader insists on."""
    defined: tuple[str, ...]
    """The symbol versions that it offers."""
    dynamic: bool
    """It has a dynamic segment; so has a static binary that is position-independent."""
    pie: bool
    default_directories: bool
    """False: the loader must not look into its default directories for what this file needs."""
    dlopens: bool
    """It imports `dlopen`, or is static and may hold it."""
    candidates: tuple[str, ...]
    """Names of libraries found in the content of a file that `dlopens`."""
    tls: tuple[str, ...]
    """Marks of a TLS library found in the content: see `speaks_tls`."""
    system_directories: tuple[str, ...] = ()
    """A glibc loader's own: where it looks when nothing else says where."""

    @property
    def static(self) -> bool:
        """It runs without a loader."""
        return self.interpreter is None and not self.needed

    @property
    def executable(self) -> bool:
        """The kernel can start it, as far as its headers tell: a shared library is neither of these."""
        return self.type == "ET_EXEC" or self.interpreter is not None or self.pie

    @property
    def is_tls_library(self) -> bool:
        """It is itself a library for TLS."""
        return self.soname is not None and self.soname.startswith(_TLS_LIBRARIES)

    @property
    def speaks_tls(self) -> str | None:
        """What shows that TLS is linked in, or None.

        A heuristic from content: libssl or libgnutls among the needed libraries; or the names of the places where
        certificates are looked for (`SSL_CERT_FILE`, `/etc/ssl/certs`: openssl-probe, rustls-native-certs and OpenSSL
        hold them); or the source paths that Rust leaves in panic messages of rustls, native-tls and webpki-roots. It
        may see TLS where a program never uses it; the price is a CA bundle of 200 kB.
        """
        linked = (name for name in self.needed if name.startswith(_TLS_LIBRARIES))
        return next(linked, None) or next(iter(self.tls), None)


@dataclass(frozen=True, slots=True)
class _Answer:
    elf: Elf | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class ElfInput:
    """A file to be read: its content's name, where it is, and what to call it in a refusal."""

    digest: Digest
    source: Path
    name: str


class ElfReader:
    """Reads ELF files in a child process, several in one, and remembers what they are."""

    def __init__(self, *, timeout: float = _TIMEOUT) -> None:
        self._timeout = timeout
        self._known: dict[Digest, _Answer] = {}

    @contextlib.asynccontextmanager
    async def ahead(self) -> AsyncIterator["ElfChild"]:
        """A child process for one call of `look`, which starts while the caller does something else."""
        child = ElfChild()
        try:
            yield child
        finally:
            await uninterrupted(child.end())

    async def read(self, files: Sequence[ElfInput]) -> tuple[Elf, ...]:
        """The facts about each file, in order; `BadOutput` for one that is no sound ELF file."""
        answers = await self._answers(files)
        for file, answer in zip(files, answers, strict=True):
            if answer.elf is None:
                raise BadOutput(f"{file.name} cannot be put into an image: {answer.refused}", file=file.name)
        return tuple(answer.elf for answer in answers if answer.elf is not None)

    async def look(self, files: Sequence[ElfInput], child: "ElfChild | None" = None) -> tuple[Elf | None, ...]:
        """The facts about each file that is a sound ELF file, None for each that is not."""
        return tuple(answer.elf for answer in await self._answers(files, child))

    async def _answers(self, files: Sequence[ElfInput], child: "ElfChild | None" = None) -> tuple[_Answer, ...]:
        unknown = {file.digest: file for file in files if file.digest not in self._known}
        if unknown:
            async with contextlib.AsyncExitStack() as unless_ahead:
                if child is None:
                    child = await unless_ahead.enter_async_context(self.ahead())
                self._known.update(zip(unknown, await self._ask(tuple(unknown.values()), child), strict=True))
        answers = tuple(self._known[file.digest] for file in files)
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return answers

    async def _ask(self, files: Sequence[ElfInput], child: "ElfChild") -> tuple[_Answer, ...]:
        for file in files:
            if (size := file.source.stat().st_size) > LARGEST_FILE:
                raise BadOutput(
                    f"{file.name} has {size} bytes; a binary may have {LARGEST_FILE}", file=file.name, size=size
                )
        try:
            async with asyncio.timeout(self._timeout):
                text = await child.ask([file.source for file in files])
            return msgspec.json.decode(text, type=tuple[_Answer, ...])
        except (TimeoutError, ValueError) as error:
            names = ", ".join(file.name for file in files)
            raise BadOutput(f"{names}: reading it as an ELF file takes too long or too much", file=names) from error


class ElfChild:
    """A child process that reads files once, and then ends; starting it does not wait for it to be up."""

    def __init__(self) -> None:
        self._start = asyncio.create_task(_started())

    async def ask(self, sources: Sequence[Path]) -> bytes:
        """What the child prints about these files; `ValueError` where it does not come to an end."""
        process = await asyncio.shield(self._start)
        assert process.stdin is not None
        assert process.stdout is not None
        largest = max(source.stat().st_size for source in sources)
        process.stdin.write(json.dumps([largest, *map(str, sources)]).encode())
        process.stdin.close()
        text = await _counted(process.stdout)
        await process.wait()
        return text

    async def end(self) -> None:
        """Kill it, if it has not ended."""
        with contextlib.suppress(OSError):
            process = await self._start
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _started() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        elf_child.__file__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _counted(stream: asyncio.StreamReader) -> bytes:
    text = bytearray()
    while piece := await stream.read(1 << 16):
        text += piece
        if len(text) > _LARGEST_ANSWER:
            raise ValueError("the answer does not end")
    return bytes(text)
