"""What the files of an image may `dlopen`, and the image does not hold.

A guess from content: names of libraries found in files that can open libraries. The C library's own wishes are known
and left out: it opens character set modules (`gconv`), name services other than files and DNS, and libidn2, each only
when told to.
"""

import posixpath
from collections.abc import Iterable, Sequence

from daemon.image.closure import Library, Root
from daemon.image.elf import Elf
from daemon.image.rootfs import RootFile

_GLIBC = frozenset(
    {
        "libc.so",
        "libc.so.6",
        "libdl.so.2",
        "libm.so.6",
        "libpthread.so.0",
        "librt.so.1",
        "libutil.so.1",
        "libresolv.so.2",
        "libanl.so.1",
        "libc-ld.so",
    }
)
_GLIBC_OPENS = frozenset({"libgcc_s.so", "libgcc_s.so.1", "libidn2.so.0", "libnss_files.so.2", "libnss_dns.so.2"})


def unmet(roots: Sequence[Root], libraries: Iterable[Library], files: Iterable[RootFile]) -> tuple[str, ...]:
    """One sentence for each file of the image that may open libraries which are not there."""
    found = tuple(libraries)
    there = {posixpath.basename(file.path) for file in files} | {one.elf.soname for one in found}
    openers: list[tuple[str, Elf]] = [(root.path, root.elf) for root in roots]
    openers += [(one.path, one.elf) for one in found if not one.loader and one.elf.soname not in _GLIBC]
    sentences = []
    for path, elf in openers:
        known = there | _GLIBC | {elf.soname} | (_GLIBC_OPENS if elf.static else set())
        missing = [name for name in elf.candidates if name not in known]
        if missing:
            sentences.append(f"{path} may dlopen {', '.join(missing)}, which the image does not hold")
    return tuple(sentences)
