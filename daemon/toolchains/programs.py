"""Programs of the host that make root file systems: started, and read where their output is an answer."""

import asyncio
from collections.abc import Mapping

from daemon.toolchains.errors import RootfsFailed


async def printed(words: tuple[str, ...], environment: Mapping[str, str]) -> str:
    """What a program prints; `RootfsFailed` with its complaint where it fails, or where there is none."""
    process = await started(words, environment)
    out, complaint = await process.communicate()
    if process.returncode:
        raise RootfsFailed(f"{words[0]} ended with code {process.returncode}: {complaint.decode(errors='replace')}")
    return out.decode(errors="replace")


async def started(words: tuple[str, ...], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    """A program with its output and its complaints in pipes; `RootfsFailed` where there is none."""
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env=dict(environment))
    except FileNotFoundError as absent:
        raise RootfsFailed(
            f"this host has no {words[0]}: on Debian, run `apt-get install mmdebstrap`; elsewhere, make the toolchain "
            "from an image with --from-image"
        ) from absent
