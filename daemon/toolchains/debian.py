"""A Debian root file system with compilers and Python, from the host's own package sources.

It is kept as one compressed tar per set of sources and packages, so that a second toolchain takes seconds.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from daemon.toolchains import bytecode
from daemon.toolchains.host_apt import host_apt
from daemon.toolchains.mmdebstrap import PATH_RULES, Progress, command, compressed

PYTHON = ("python3", "python3-dev")
"""What of the packages an image need not have that brings a Python of its own."""

PACKAGES = (
    "gcc",
    "g++",
    "make",
    "cmake",
    "pkg-config",
    "perl",
    "git",
    "ca-certificates",
    "libssl-dev",
    "libpq-dev",
    "libc6-dev",
    "binutils",
    "findutils",
    *PYTHON,
)
"""What every toolchain image holds beside Debian's minimal base."""

USER_STEPS = (
    "groupadd --gid 10001 build",
    "useradd --uid 10001 --gid 10001 --create-home --home-dir /home/build --shell /bin/bash build",
    "mkdir -p /work /target /cargo /env /etc/bloomery",
    "chmod 0755 /work /target /cargo /env /etc/bloomery",
    "chown 10001:10001 /target /cargo /env",
)
"""Run as root inside: the build's user and the constant paths."""

_RECIPE = 1
_STEPS = (*USER_STEPS, bytecode.STEP)
_HOOKS = tuple(f'--customize-hook=chroot "$1" {step}' for step in _STEPS)
_USERINFO = re.compile(r"//[^/@\s]*@")


class Cached(StrEnum):
    """Whether a root file system that was made before may serve."""

    USE = "use"
    REMAKE = "remake"


def cache_name(lines: tuple[str, ...], packages: tuple[str, ...]) -> str:
    """The file name under which a root file system of these sources and packages is kept."""
    public = [_USERINFO.sub("//", line) for line in lines]
    parts = json.dumps([_RECIPE, public, sorted(packages), PATH_RULES, _STEPS])
    suite = lines[0].split()[2].replace("/", "-")
    return f"debian-{suite}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}.tar.zst"


async def rootfs(
    directory: Path,
    extra: tuple[str, ...],
    *,
    environment: Mapping[str, str],
    cached: Cached,
    progress: Progress,
) -> Path:
    """The compressed tar of a root file system with `PACKAGES` and the extra ones: kept in `directory`, or made now.

    `RootfsFailed` with mmdebstrap's own last words where it cannot be made.
    """
    apt = await host_apt(environment)
    packages = (*PACKAGES, *(package for package in extra if package not in PACKAGES))
    path = directory / cache_name(apt.sources, packages)
    if path.is_file() and cached is Cached.USE:
        progress(f"using the Debian root file system {path.name}")
        return path
    progress(f"making a Debian root file system with {len(packages)} packages")
    half = path.with_suffix(f".{os.getpid()}.part")
    try:
        await compressed(command(apt, packages, _HOOKS), half, environment, progress)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return path
