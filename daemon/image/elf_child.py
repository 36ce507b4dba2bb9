"""Reads hostile ELF files; runs as a child process of its own (`daemon.image.elf` starts it) and prints JSON.

It may be started before there is anything to read, and then waits.

Only program headers and the dynamic segment are looked at, because the loader looks at nothing else (System V gABI,
"Program Loading and Dynamic Linking"; symbol versions: https://www.akkadia.org/drepper/symbol-versioning). Every walk
is bounded; what the bounds do not catch, the limits on CPU time and memory end.
"""

import json
import mmap
import os
import re
import resource
import sys
from collections.abc import Iterator
from typing import IO, Any, cast

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.elf.elffile import ELFFile

_CPU_SECONDS = 20
_MEMORY = 256 << 20
_MOST_HEADERS = 512
_MOST_TAGS = 4096
_MOST_VERSIONS = 20_000
_LONGEST_NAME = 4096
_MOST_CANDIDATES = 64
_WEAK = 0x2
_DF_1_NODEFLIB = 0x800
_DF_1_PIE = 0x08000000

_LIBRARY_NAME = re.compile(rb"lib[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,62}?\.so(?:\.[0-9]+)*")
_SYSTEM_DIRECTORIES = re.compile(rb"(?:/(?:usr/)?lib[A-Za-z0-9_/-]*/\0){2,12}")
_TLS_MARKS = {
    b"SSL_CERT_FILE": "SSL_CERT_FILE",
    b"/etc/ssl/certs": "/etc/ssl/certs",
    b"SSL_CTX_new": "SSL_CTX_new",
    b"/rustls-": "rustls",
    b"/native-tls-": "native-tls",
    b"/webpki-roots-": "webpki-roots",
}


class Refused(Exception):  # noqa: N818 - reads as what is printed
    """The file is not an ELF that can be shipped."""


class _Image:
    """One mapped ELF file, with its dynamic segment's tags."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.stream = cast("IO[bytes]", data)
        self.elf = ELFFile(self.stream)
        if self.elf.header["e_phnum"] > _MOST_HEADERS:
            raise Refused(f"it has {self.elf.header['e_phnum']} program headers")
        self.tags: dict[str, list[int]] = {}
        for tag, value in self._tags():
            self.tags.setdefault(tag, []).append(value)
        self.strings = self._offset("DT_STRTAB")

    def _headers(self, kind: str) -> Iterator[Any]:
        for number in range(self.elf.header["e_phnum"]):
            entry = self.elf.header["e_phoff"] + number * self.elf.header["e_phentsize"]
            segment = struct_parse(self.elf.structs.Elf_Phdr, self.stream, stream_pos=entry)
            if segment["p_type"] == kind:
                yield segment

    def _tags(self) -> Iterator[tuple[str, int]]:
        segment = next(self._headers("PT_DYNAMIC"), None)
        if segment is None:
            return
        size = self.elf.structs.Elf_Dyn.sizeof()
        for number in range(min(segment["p_filesz"] // size, _MOST_TAGS)):
            entry = struct_parse(self.elf.structs.Elf_Dyn, self.stream, stream_pos=segment["p_offset"] + number * size)
            if entry["d_tag"] == "DT_NULL":
                return
            yield str(entry["d_tag"]), entry["d_val"]

    def first(self, tag: str) -> int:
        return self.tags.get(tag, [0])[0]

    def _offset(self, tag: str) -> int | None:
        """Where in the file the table is that a tag's address names."""
        if tag not in self.tags:
            return None
        address = self.first(tag)
        for load in self._headers("PT_LOAD"):
            if load["p_vaddr"] <= address < load["p_vaddr"] + load["p_filesz"]:
                return int(address - load["p_vaddr"] + load["p_offset"])
        raise Refused(f"its {tag} points outside the file")

    def text(self, start: int) -> str:
        end = self.data.find(b"\0", start, start + _LONGEST_NAME)
        if end < 0:
            raise Refused("a name in it does not end")
        return self.data[start:end].decode("utf-8")

    def name(self, offset: int) -> str:
        if self.strings is None:
            raise Refused("it has names and no table of them")
        return self.text(self.strings + offset)

    def names(self, tag: str) -> list[str]:
        return [self.name(offset) for offset in self.tags.get(tag, [])]

    def interpreter(self) -> str | None:
        segment = next(self._headers("PT_INTERP"), None)
        return None if segment is None else self.text(segment["p_offset"])

    def _chain(self, kind: str, start: int, following: str, count: int) -> Iterator[tuple[int, Any]]:
        layout = getattr(self.elf.structs, kind)
        for _ in range(min(count, _MOST_VERSIONS)):
            entry = struct_parse(layout, self.stream, stream_pos=start)
            yield start, entry
            if not entry[following]:
                return
            start += entry[following]

    def required(self) -> dict[str, list[str]]:
        """By library, the versions without which the loader refuses to start; weak ones only make it grumble."""
        start, required, seen = self._offset("DT_VERNEED"), dict[str, list[str]](), 0
        if start is None:
            return required
        for at, need in self._chain("Elf_Verneed", start, "vn_next", self.first("DT_VERNEEDNUM")):
            versions = required.setdefault(self.name(need["vn_file"]), [])
            for _, version in self._chain("Elf_Vernaux", at + need["vn_aux"], "vna_next", need["vn_cnt"]):
                seen += 1
                if seen > _MOST_VERSIONS:
                    raise Refused("it asks for too many symbol versions")
                if not version["vna_flags"] & _WEAK:
                    versions.append(self.name(version["vna_name"]))
        return required

    def defined(self) -> list[str]:
        """The symbol versions that this library offers."""
        start = self._offset("DT_VERDEF")
        if start is None:
            return []
        return [
            self.name(
                struct_parse(self.elf.structs.Elf_Verdaux, self.stream, stream_pos=at + entry["vd_aux"])["vda_name"]
            )
            for at, entry in self._chain("Elf_Verdef", start, "vd_next", self.first("DT_VERDEFNUM"))
        ]

    def dlopens(self) -> bool:
        """A dynamic object names the function in its string table; a static one holds it, or not: assume it does."""
        if self.strings is None:
            return True
        end = self.strings + min(self.first("DT_STRSZ"), len(self.data))
        return self.data.find(b"\0dlopen\0", self.strings, end) >= 0 or not self.tags.get("DT_NEEDED")

    def candidates(self) -> list[str]:
        names: dict[str, None] = {}
        for found in _LIBRARY_NAME.finditer(self.data):
            names[found.group().decode()] = None
            if len(names) == _MOST_CANDIDATES:
                break
        return sorted(names)

    def facts(self) -> dict[str, object]:
        header, soname, flags = self.elf.header, self.names("DT_SONAME"), self.first("DT_FLAGS_1")
        dlopens = self.dlopens()
        name = soname[0] if soname else ""
        directories = _SYSTEM_DIRECTORIES.search(self.data) if name.startswith("ld-linux") else None
        return {
            "bits": self.elf.elfclass,
            "machine": str(header["e_machine"]),
            "type": str(header["e_type"]),
            "interpreter": self.interpreter(),
            "needed": self.names("DT_NEEDED"),
            "rpath": [part for text in self.names("DT_RPATH") for part in text.split(":")],
            "runpath": [part for text in self.names("DT_RUNPATH") for part in text.split(":")],
            "soname": soname[0] if soname else None,
            "required": self.required(),
            "defined": self.defined(),
            "dynamic": bool(self.tags),
            "pie": bool(flags & _DF_1_PIE),
            "default_directories": not flags & _DF_1_NODEFLIB,
            "dlopens": dlopens,
            "candidates": self.candidates() if dlopens else [],
            "tls": [name for mark, name in _TLS_MARKS.items() if self.data.find(mark) >= 0],
            "system_directories": [part.decode().rstrip("/") for part in directories.group().split(b"\0")[:-1]]
            if directories
            else [],
        }


def read(path: str) -> dict[str, object]:
    """What one file is: `{"elf": facts}`, or `{"refused": why}`."""
    try:
        with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:  # noqa: PTH123 - pathlib would be imported for this alone
            return {"elf": _Image(data).facts()}
    except Refused as error:
        return {"refused": str(error)}
    except ELFError as error:
        return {"refused": f"it is no well-formed ELF file ({error})"}
    except MemoryError:
        return {"refused": "reading it takes too much memory"}
    except Exception as error:  # noqa: BLE001 - the parser meets hostile bytes: whatever it trips over is a refusal
        return {"refused": f"it is no well-formed ELF file ({type(error).__name__})"}


def main() -> None:
    """Wait for `[SIZE, PATH...]` on stdin; SIZE is the largest file's, in bytes, mapped over and above the memory."""
    asked = sys.stdin.buffer.read()
    if not asked:
        return
    size, *paths = json.loads(asked)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY + size,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(json.dumps([read(path) for path in paths]))
    sys.stdout.flush()
    os._exit(0)  # somebody waits, and an interpreter takes longer to be taken down than to read a file


if __name__ == "__main__":
    main()
