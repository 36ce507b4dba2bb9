"""The files of a Python interpreter in an image: its program, its standard library, and the environment's own frame.

The standard library is the toolchain image's as it stands, with its bytecode, which is compiled there so that no file's
time plays a part in it (PEP 552, unchecked hashes). What no service runs is left out: tests, editors, installers, and
what is for compiling extensions.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator

from cache.digest import Digest
from cache.tree import EntryKind, TreeEntry
from daemon.errors import ImageGone
from daemon.image.blobs import Blobs
from daemon.image.rootfs import Origin, RootFile, stored, symlink
from daemon.image.toolchain_files import ToolchainFiles
from daemon.toolchains.toolchain import PythonFacts

ENVIRONMENT = "/env"
"""Where packages are installed, in sandboxes and in images."""
_USUAL = "python3"
"""By which name programs ask for it."""
_LEFT_OUT = re.compile(
    r"(.*/)?(test|tests|idle_test|idlelib|turtledemo|tkinter|ensurepip|lib2to3|pydoc_data|config-[^/]*)(/.*)?"
    r"|lib-dynload/(_test|_xxtest|_tkinter|xxlimited|_ctypes_test)[^/]*"
    r"|(.*/)?(turtle|sitecustomize|EXTERNALLY-MANAGED)[^/]*"
)


def left_out(path: str) -> bool:
    """Whether a file of the standard library, by its path there, is of no use in an image."""
    return _LEFT_OUT.fullmatch(path) is not None


async def interpreter(python: PythonFacts, files: ToolchainFiles, blobs: Blobs) -> tuple[RootFile, ...]:
    """The program first, then its library; `ImageGone` where the toolchain image has lost them."""
    program, library = await files.file(python.executable), await files.directory(python.library)
    if program is None or library is None:
        raise ImageGone(f"the toolchain image has no {python.executable} or no {python.library} any more")
    reason = f"interpreter: Python {python.version}"
    home, name = posixpath.split(python.executable)
    return (
        stored(
            python.executable,
            Origin.INTERPRETER,
            reason,
            digest=program.digest,
            size=program.size,
            source=program.source,
            mode=0o755,
        ),
        *([symlink(f"{home}/{_USUAL}", name, Origin.INTERPRETER, reason)] if name != _USUAL else ()),
        *_library(python.library, library, blobs, f"standard library of Python {python.version}"),
    )


def frame(python: PythonFacts) -> Iterator[RootFile]:
    """What makes a virtual environment of a directory (https://docs.python.org/3/library/venv.html)."""
    reason = "environment: what makes it one"
    home = posixpath.dirname(python.executable)
    text = f"home = {home}\ninclude-system-site-packages = false\nversion = {python.version}\n"
    content = text.encode()
    yield RootFile(
        path=f"{ENVIRONMENT}/pyvenv.cfg",
        kind=EntryKind.FILE,
        mode=0o644,
        origin=Origin.PACKAGE,
        reason=reason,
        size=len(content),
        digest=Digest.of(content),
        content=content,
    )
    yield symlink(f"{ENVIRONMENT}/bin/python", python.executable, Origin.PACKAGE, reason)
    for name in dict.fromkeys((_USUAL, posixpath.basename(python.executable))):
        yield symlink(f"{ENVIRONMENT}/bin/{name}", "python", Origin.PACKAGE, reason)


def _library(directory: str, entries: Iterable[TreeEntry], blobs: Blobs, reason: str) -> Iterator[RootFile]:
    for entry in entries:
        if entry.kind is not EntryKind.FILE or entry.digest is None or left_out(entry.path):
            continue
        yield stored(
            posixpath.join(directory, entry.path),
            Origin.INTERPRETER,
            reason,
            digest=entry.digest,
            size=entry.size,
            source=blobs.path(entry.digest),
        )
