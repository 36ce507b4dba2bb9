"""A rustup toolchain of the host as the members of an image's tar: what compiles, without its documentation.

A rustup home holds one directory per toolchain, `toolchains/<channel>-<host triple>`, and each of them is a complete
sysroot (https://rust-lang.github.io/rustup/concepts/toolchains.html). Everything needed to compile lies in its `bin`,
`lib` and `libexec`; `share` is 800 MB of documentation and `etc` shell completions.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from daemon.tarball import Member
from daemon.toolchains.errors import NoHostToolchain

HOST_TRIPLE = "x86_64-unknown-linux-gnu"
SYSROOT = "usr/local/rust"
"""Where the toolchain lies in the image, relative to its root."""

_PARTS = ("bin", "lib", "libexec")


def installed(rustup_home: Path) -> dict[str, Path]:
    """The toolchains of a rustup home that can compile for this machine, by name without the host triple."""
    directory = rustup_home / "toolchains"
    if not directory.is_dir():
        return {}
    return {
        path.name.removesuffix(f"-{HOST_TRIPLE}"): path.resolve()
        for path in sorted(directory.iterdir())
        if (path / "bin/cargo").is_file() and (path / "bin/rustc").is_file()
    }


def find(rustup_home: Path, name: str) -> Path:
    """The sysroot of an installed toolchain; `NoHostToolchain` says which there are."""
    toolchains = installed(rustup_home)
    sysroot = toolchains.get(name.removesuffix(f"-{HOST_TRIPLE}"))
    if sysroot is None:
        have = ", ".join(toolchains) or "none"
        raise NoHostToolchain(
            f"there is no toolchain {name!r} under {rustup_home}/toolchains (there: {have}); run "
            f"`rustup toolchain install {name} --profile minimal`, name another one with --from-rustup, or make the "
            "toolchain from an image with --from-image",
            offered=list(toolchains),
        )
    return sysroot


def members(sysroot: Path) -> Iterator[Member]:
    """The toolchain's entries under `SYSROOT`, sorted, owned by root, with their own modes and mtimes."""
    yield _directory(sysroot, SYSROOT)
    for part in _PARTS:
        if (sysroot / part).is_dir():
            yield from _walk(sysroot / part, f"{SYSROOT}/{part}")


def _directory(path: Path, name: str) -> Member:
    return Member(path=name, mode=0o755, mtime=int(path.stat().st_mtime))


def _walk(directory: Path, name: str) -> Iterator[Member]:
    yield _directory(directory, name)
    with os.scandir(directory) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        inner, mtime = f"{name}/{entry.name}", int(status.st_mtime)
        if entry.is_symlink():
            yield Member(path=inner, mode=0o777, mtime=mtime, target=os.readlink(entry.path))  # noqa: PTH115 - a string is what is written
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), inner)
        elif stat.S_ISREG(status.st_mode):
            executable = bool(status.st_mode & 0o111)
            yield Member(
                path=inner,
                mode=0o755 if executable else 0o644,
                mtime=mtime,
                source=Path(entry.path),
                size=status.st_size,
            )
