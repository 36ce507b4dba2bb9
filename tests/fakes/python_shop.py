"""A workshop for Python projects: its toolchain has a Python, and in its engine a fake uv plays every step."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cache.digest import Digest
from daemon.builds import ContentEntry, Outcome
from daemon.ecosystems.kept import KeptPackage
from tests.fakes.engine import file
from tests.fakes.python_projects import (
    APPLE,
    BERRY,
    CHERRY,
    PYTHON,
    SIMPLE,
    TOOL,
    built_with,
    python_toolchain,
)
from tests.fakes.rust_projects import Files
from tests.fakes.uv import FakeUv
from tests.fakes.workshop import Workshop, workshop

QUINCE, RHUBARB = built_with("tool"), built_with("tool", name="rhubarb")
"""Two sdists without wheels."""


@dataclass
class PythonShop:
    """A workshop whose toolchain has Python, and the uv in its engine."""

    shop: Workshop
    uv: FakeUv

    async def build(self, files: Files = SIMPLE, **request: object) -> Outcome:
        """Accept a build and run it."""
        return await self.shop.build(files, **request)

    def ran(self) -> list[str]:
        """The steps since this was asked last."""
        found, self.uv.ran = self.uv.ran, []
        return found

    def installed(self) -> list[list[str]]:
        """The packages of each installation since this was asked last."""
        found, self.uv.installed = self.uv.installed, []
        return found

    def created(self) -> list[str]:
        """The purposes of the sandboxes that were made since this was asked last."""
        found = [name.rpartition("-")[2] for method, name in self.shop.engine.calls if method == "sandboxes.create"]
        self.shop.engine.calls.clear()
        return found

    async def contents(self, outcome: Outcome) -> Mapping[str, ContentEntry]:
        """What is in the image of a build, by path."""
        listing = self.shop.store.blobs.read(Digest.parse(outcome.images[0].contents))
        return {one.path: one for one in msgspec.json.decode(listing, type=tuple[ContentEntry, ...])}

    async def kept(self) -> dict[str, KeptPackage]:
        """What is kept of installed packages, by name."""
        rows = await self.shop.store._database.read(
            lambda tables: tables.execute("SELECT name, value FROM kept_packages").fetchall()
        )
        found = [(name.split(" "), msgspec.json.decode(value, type=KeptPackage)) for name, value in rows]
        return {words[0]: package for words, package in found if len(words) == 4}

    async def tamper(self, package: str, path: str, content: bytes) -> None:
        """Let a package's row name another blob for one of its files."""
        blob = self.shop.store.blobs.put(content)

        def change(tables: object) -> None:
            rows = tables.execute("SELECT place, name, value FROM kept_packages").fetchall()  # type: ignore[attr-defined]
            for place, name, value in rows:
                kept = msgspec.json.decode(value)
                for one in kept["fetched"]["files"]:
                    if name.startswith(f"{package} ") and one["path"] == path:
                        one["digest"], one["size"] = str(blob), len(content)
                        tables.execute(  # type: ignore[attr-defined]
                            "UPDATE kept_packages SET value = ? WHERE place = ? AND name = ?",
                            [msgspec.json.encode(kept), place, name],
                        )

        await self.shop.store._database.write(change)


@asynccontextmanager
async def python_shop(place: Path, program: bytes) -> AsyncIterator[PythonShop]:
    """Opened and closed."""
    async with workshop(place, program) as made:
        uv = FakeUv(APPLE, BERRY, CHERRY, TOOL, QUINCE, RHUBARB)
        made.engine.script(uv)
        image = made.engine.add_image(
            "bloomery/toolchain:python",
            {
                PYTHON.executable: file(b"the interpreter", 0o755),
                f"{PYTHON.library}/os.py": file(b"import sys\n"),
                f"{PYTHON.library}/test/test_os.py": file(b"a test"),
            },
        )
        made.toolchain = python_toolchain(image.id)
        made.offered.toolchains = [made.toolchain]
        yield PythonShop(made, uv)
