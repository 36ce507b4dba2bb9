"""Facts of toolchain images in files, for commands that run beside the daemon and must not touch its store."""

import asyncio
from pathlib import Path


class KeptFacts:
    """A `FactsStore` of one small JSON file per image."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, image_id: str) -> Path:
        return self._directory / f"{image_id.removeprefix('sha256:')}.json"

    async def toolchain_facts(self, image_id: str) -> bytes | None:
        """What was recorded, or None."""
        try:
            return await asyncio.to_thread(self._path(image_id).read_bytes)
        except FileNotFoundError:
            return None

    async def record_toolchain_facts(self, image_id: str, facts: bytes) -> None:
        """Keep it; a reader sees the old facts or the new, nothing between."""
        await asyncio.to_thread(self._write, self._path(image_id), facts)

    def _write(self, path: Path, facts: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".part")
        half.write_bytes(facts)
        half.replace(path)
