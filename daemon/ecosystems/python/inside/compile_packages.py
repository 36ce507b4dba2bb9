"""Compiles the bytecode of installed packages, each entry of their directory in a process of its own.

Run as `python3 -B -s -S -m inside.compile_packages DIRECTORY`. What is marked in bytecode as used more than once
depends on what its process holds; so each entry is compiled by a copy of the same process, which has compiled
nothing, and no package's bytecode depends on which others are installed beside it. A source that is no Python of this
version stays without bytecode: packages hold such, and never import them. Ends with 1 where bytecode could not be
written or a process was killed.

Source: https://docs.python.org/3/library/py_compile.html, https://peps.python.org/pep-0552/
"""

import os
import py_compile
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

_CACHE = "__pycache__"


def main(directory: str) -> int:
    """Returns what the program ends with: 0, or 1 where one of the processes did not do its work."""
    waiting = [sources for entry in sorted(os.scandir(directory), key=_name) if (sources := _sources(entry))]
    at_once = len(os.sched_getaffinity(0))
    running, failed = 0, 0
    while waiting or running:
        if waiting and running < at_once:
            _begin(waiting.pop(0))
            running += 1
            continue
        _, status = os.wait()
        running -= 1
        failed |= status
    return 1 if failed else 0


def compiled(sources: Sequence[str]) -> None:
    """Compile in this process; no file's time plays a part in it. Raises `OSError`."""
    for source in sources:
        with suppress(py_compile.PyCompileError):
            py_compile.compile(
                source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, optimize=0
            )


def _begin(sources: Sequence[str]) -> None:
    if os.fork():
        return
    code = 1  # pragma: no cover - from here on in the copy, where nobody counts
    try:  # pragma: no cover
        compiled(sources)
        code = 0
    except OSError as error:  # pragma: no cover
        os.write(2, f"error: bytecode could not be written: {error}\n".encode())
    finally:  # pragma: no cover
        os._exit(code)


def _sources(entry: "os.DirEntry[str]") -> list[str]:
    """Its sources, in the order of their paths."""
    if entry.is_dir(follow_symlinks=False):
        return sorted(_below(entry.path))
    return [entry.path] if _is_source(entry.name) and entry.is_file(follow_symlinks=False) else []


def _below(directory: str) -> Iterator[str]:
    for home, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name != _CACHE]
        paths = (os.path.join(home, name) for name in names if _is_source(name))  # noqa: PTH118 - thousands of them
        yield from (path for path in paths if not os.path.islink(path))  # noqa: PTH114 - thousands of them


def _is_source(name: str) -> bool:
    return name.endswith(".py")


def _name(entry: "os.DirEntry[str]") -> str:
    return entry.name


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
