"""A Debian root file system by mmdebstrap, as one compressed tar.

Toolchain images are made of one, and what examples run beside (`deploy/stand_ins`). Nothing of the host's apt settings
(proxies, CA bundles, credentials in a URL) stays in it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import zstandard

from daemon.toolchains.errors import RootfsFailed
from daemon.toolchains.host_apt import HostApt
from daemon.toolchains.programs import started

PATH_RULES = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
"""dpkg's rules for what is left out: documentation, but not licences."""

_PIECE = 1 << 20

Progress = Callable[[str], None]
"""Gets one line of text, without its end."""


def command(apt: HostApt, packages: tuple[str, ...], hooks: tuple[str, ...]) -> tuple[str, ...]:
    """The whole command; the tar goes to standard output. `hooks` are options of mmdebstrap's, such as its hooks."""
    return (
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt={rule}" for rule in PATH_RULES),
        '--aptopt=Acquire::Languages "none";',
        *(f"--aptopt={option}" for option in apt.options),
        *hooks,
        # written by --aptopt, and a URL may hold a password: neither is the image's business
        '--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"',
        r'--customize-hook=find "$1/etc/apt" -name "*.list" -exec sed -i "s#//[^/@ ]*@#//#" {} +',
        "",  # the suite: each source says its own
        "-",
        *apt.sources,
    )


async def compressed(words: tuple[str, ...], path: Path, environment: Mapping[str, str], progress: Progress) -> None:
    """Run such a command, its tar compressed into `path`; `RootfsFailed` with its own last words."""
    process = await started(words, environment)
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


def unpacked(path: Path) -> Iterator[bytes]:
    """The tar's bytes."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        while piece := reader.read(_PIECE):
            yield piece
