"""A Debian root file system with compilers and Python, from the host's own package sources, by mmdebstrap.

It is kept as one compressed tar per set of sources and packages, so that a second toolchain takes seconds. Nothing of
the host's apt settings (proxies, CA bundles, credentials in a URL) stays in it.
"""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import zstandard

from daemon.toolchains import bytecode
from daemon.toolchains.errors import RootfsFailed

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

PATH_RULES = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
"""dpkg's rules for what is left out: documentation, but not licences."""

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
_PIECE = 1 << 20
_ORIGIN = "Debian"
_TARGETS = "$(ORIGIN)\t$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)"
_OPTION = re.compile(r'(Acquire::(?:https?::|Check-|Retries)\S*) "([^"]+)";')
_USERINFO = re.compile(r"//[^/@\s]*@")

Progress = Callable[[str], None]
"""Gets one line of text, without its end."""


class Cached(StrEnum):
    """Whether a root file system that was made before may serve."""

    USE = "use"
    REMAKE = "remake"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostApt:
    """How the host gets its packages: `deb` lines as in sources.list(5) and options as in apt.conf(5)."""

    sources: tuple[str, ...]
    options: tuple[str, ...]


async def host_apt(environment: Mapping[str, str]) -> HostApt:
    """Ask the host's apt; `RootfsFailed` where this is no Debian or apt has no package lists yet."""
    targets = await _output(("apt-get", "indextargets", "--format", _TARGETS, "Created-By: Packages"), environment)
    return HostApt(sources=sources(targets), options=options(await _output(("apt-config", "dump"), environment)))


def sources(targets: str) -> tuple[str, ...]:
    """Debian's own among apt's index targets, as `deb` lines in apt's order."""
    components: dict[tuple[str, str], list[str]] = {}
    for line in targets.splitlines():
        origin, uri, release, component = line.split("\t")
        if origin == _ORIGIN:
            listed = components.setdefault((uri, release), [])
            if component not in listed:
                listed.append(component)
    if not components:
        raise RootfsFailed(
            "apt knows no Debian package source with its lists: run `apt-get update` on a Debian host, or make the "
            "toolchain from an image with --from-image"
        )
    return tuple(f"deb {uri} {release} {' '.join(listed)}" for (uri, release), listed in components.items())


def options(dump: str) -> tuple[str, ...]:
    """What `apt-config dump` says about reaching package sources: proxies, certificates, clocks."""
    found = (_OPTION.fullmatch(line.strip()) for line in dump.splitlines())
    return tuple(f'{option[1]} "{option[2]}";' for option in found if option)


def cache_name(lines: tuple[str, ...], packages: tuple[str, ...]) -> str:
    """The file name under which a root file system of these sources and packages is kept."""
    public = [_USERINFO.sub("//", line) for line in lines]
    parts = json.dumps([_RECIPE, public, sorted(packages), PATH_RULES, _STEPS])
    suite = lines[0].split()[2].replace("/", "-")
    return f"debian-{suite}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}.tar.zst"


def command(apt: HostApt, packages: tuple[str, ...]) -> tuple[str, ...]:
    """The whole mmdebstrap command; the tar goes to standard output."""
    return (
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt={rule}" for rule in PATH_RULES),
        '--aptopt=Acquire::Languages "none";',
        *(f"--aptopt={option}" for option in apt.options),
        *(f'--customize-hook=chroot "$1" {step}' for step in _STEPS),
        # written by --aptopt, and a URL may hold a password: neither is the image's business
        '--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"',
        r'--customize-hook=find "$1/etc/apt" -name "*.list" -exec sed -i "s#//[^/@ ]*@#//#" {} +',
        "",  # the suite: each source says its own
        "-",
        *apt.sources,
    )


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
        await _debootstrap(command(apt, packages), half, environment, progress)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return path


def unpacked(path: Path) -> Iterator[bytes]:
    """The tar's bytes."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        while piece := reader.read(_PIECE):
            yield piece


async def _debootstrap(words: tuple[str, ...], path: Path, environment: Mapping[str, str], progress: Progress) -> None:
    process = await _start(words, environment)
    said: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_listen(process, said, progress))
            await _compress(process, path)
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()  # mmdebstrap removes its temporary directory itself
            await process.wait()
    if code:
        errors = [line for line in said if line.startswith("E:")] or said
        raise RootfsFailed(f"mmdebstrap ended with code {code}: {' / '.join(errors[-5:])}")


async def _listen(process: asyncio.subprocess.Process, said: list[str], progress: Progress) -> None:
    assert process.stderr is not None
    async for raw in process.stderr:
        line = raw.decode(errors="replace").rstrip()
        said.append(line)
        del said[:-50]
        if line.startswith("I: ") and line.endswith("..."):
            progress(line.removeprefix("I: "))


async def _compress(process: asyncio.subprocess.Process, path: Path) -> None:
    assert process.stdout is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as writer:
        while piece := await process.stdout.read(_PIECE):
            await asyncio.to_thread(writer.write, piece)


async def _output(words: tuple[str, ...], environment: Mapping[str, str]) -> str:
    process = await _start(words, environment)
    out, complaint = await process.communicate()
    if process.returncode:
        raise RootfsFailed(f"{words[0]} ended with code {process.returncode}: {complaint.decode(errors='replace')}")
    return out.decode(errors="replace")


async def _start(words: tuple[str, ...], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env=dict(environment))
    except FileNotFoundError as absent:
        raise RootfsFailed(
            f"this host has no {words[0]}: on Debian, run `apt-get install mmdebstrap`; elsewhere, make the toolchain "
            "from an image with --from-image"
        ) from absent
