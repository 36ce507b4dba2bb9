"""A tiny root filesystem out of the host's own programs: a shell and a few tools.

For tests that need a container, not a toolchain, and have no network to get it from.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from daemon.tarball import Member

PROGRAMS = ("sh", "cat", "id", "sleep", "head", "ls", "mkdir", "kill", "perl", "touch", "cp", "chmod")


def rootfs(programs: Iterable[str] = PROGRAMS) -> Iterator[Member]:
    """`/bin` with these programs, the libraries they need, and `/work` of user 10001."""
    found = {f"bin/{name}": Path(_which(name)).resolve() for name in programs}
    for program in list(found.values()):
        for library in _libraries(program):
            found[str(library).lstrip("/")] = library.resolve()
    directories = {str(parent) for path in found for parent in Path(path).parents} - {"."}
    for path in sorted(directories):
        yield Member(path=path, mode=0o755, mtime=0)
    yield Member(path="work", mode=0o755, mtime=0, uid=10001, gid=10001)
    for path, source in sorted(found.items()):
        yield Member(path=path, mode=0o755, mtime=0, source=source, size=source.stat().st_size)


def _which(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"the tests need {name} on this host"
    return path


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", listed)]
