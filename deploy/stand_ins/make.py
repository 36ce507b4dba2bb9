"""Makes the stand-ins: images of Debian's packages for what the examples run beside. One that is there is left alone.

python -m deploy.stand_ins.make
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daemon import tarball
from daemon.engine.docker import DockerEngine
from daemon.engine.engine import Images
from daemon.errors import EngineRefused
from daemon.toolchains import mmdebstrap
from daemon.toolchains.host_apt import host_apt
from deploy.stand_ins.recipes import LABEL, RECIPES, Recipe


def say(line: str) -> None:
    """One line of what is going on."""
    print(f"stand-ins: {line}", file=sys.stderr, flush=True)


async def make(images: Images, recipe: Recipe) -> str:
    """The image of this recipe, made now unless it is there; returns its reference."""
    before = await images.inspect(recipe.reference)
    if before is not None and before.labels.get(LABEL) == recipe.digest:
        return recipe.reference
    say(f"making {recipe.reference} of Debian's {recipe.packages[0]}")
    with tempfile.TemporaryDirectory(prefix="bloomery-stand-in-") as folder:
        rootfs = Path(folder, "rootfs.tar.zst")
        command = mmdebstrap.command(await host_apt(os.environ), recipe.packages, recipe.hooks)
        await mmdebstrap.compressed(command, rootfs, os.environ, lambda _line: None)
        await images.import_root(
            tarball.threaded(_root(recipe, rootfs)),
            recipe.reference,
            (*recipe.changes, f"LABEL {LABEL}={recipe.digest}"),
        )
    if before is not None:
        await _forget(images, before.id)
    return recipe.reference


def _root(recipe: Recipe, rootfs: Path) -> Iterator[bytes]:
    # our program first: the other archive's end is then this one's, and its directories' modes win
    if recipe.entrypoint:
        program = recipe.entrypoint.read_bytes()
        yield from tarball.entries(
            [tarball.Member(path="usr/local/bin/stand-in", mode=0o755, mtime=0, content=program)]
        )
    yield from mmdebstrap.unpacked(rootfs)


async def _forget(images: Images, old: str) -> None:
    """Remove the image that the tag stood for before, unless a container or another tag has it."""
    try:
        await images.remove(old)
    except EngineRefused:
        return


async def main() -> None:
    """Make all of them; their references go to stdout."""
    async with await DockerEngine.connect(os.environ.get("DOCKER_HOST")) as engine:
        for recipe in RECIPES:
            print(await make(engine.images, recipe))


if __name__ == "__main__":
    asyncio.run(main())
