"""Facts of toolchain images in the user's cache: what `bloomery toolchain` found, it need not find again.

Commands run beside the daemon and must not touch its store; so they keep facts here, one small file per image. A daemon
of the same user takes them over, and its first start with a new state directory waits for no probe.
"""

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from daemon.toolchains import record
from daemon.toolchains.offers import FactsStore
from daemon.toolchains.toolchain import CANARY, ToolchainFacts

_ROOT = 0


def user_cache(environ: Mapping[str, str]) -> Path:
    """Where `bloomery toolchain` keeps what is dear to make, by the XDG base directory specification."""
    cache = Path(environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        cache = Path(environ.get("HOME") or "/") / ".cache"
    return cache / "bloomery/toolchains"


class KeptFacts:
    """A `FactsStore` of one small JSON file per image.

    A file that someone else could have written says nothing: it must belong to this process's user, or to root, and be
    writable for its owner alone.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Self:
        """Those in the cache of the user whose environment this is."""
        return cls(user_cache(environ) / "facts")

    async def toolchain_facts(self, image_id: str) -> bytes | None:
        """What was recorded, or None; also where the directory may not be read."""
        return await asyncio.to_thread(_read, self._path(image_id))

    async def record_toolchain_facts(self, image_id: str, facts: bytes) -> None:
        """Keep it; a reader sees the old facts or the new, nothing between."""
        await asyncio.to_thread(self._write, self._path(image_id), facts)

    def _path(self, image_id: str) -> Path:
        return self._directory / f"{image_id.removeprefix('sha256:')}.json"

    def _write(self, path: Path, facts: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}.part")
        half.write_bytes(facts)
        half.chmod(0o644)
        half.replace(path)


class TakingOver:
    """A `FactsStore` that takes over what was kept elsewhere for the very image that it is asked about."""

    def __init__(self, store: FactsStore, kept: FactsStore) -> None:
        self._store = store
        self._kept = kept

    async def toolchain_facts(self, image_id: str) -> bytes | None:
        """What is recorded here, or else what was kept there: from then on it is recorded here.

        What was tried there and not here goes before what is recorded here.
        """
        held = _believed(await self._store.toolchain_facts(image_id), image_id)
        if held is not None and held.canary == CANARY:
            return record.write(held)
        kept = _believed(await self._kept.toolchain_facts(image_id), image_id)
        if kept is None or (held is not None and kept.canary != CANARY):
            return record.write(held) if held is not None else None
        await self._store.record_toolchain_facts(image_id, record.write(kept))
        return record.write(kept)

    async def record_toolchain_facts(self, image_id: str, facts: bytes) -> None:
        """Keep it here."""
        await self._store.record_toolchain_facts(image_id, facts)


def _believed(facts: bytes | None, image_id: str) -> ToolchainFacts | None:
    return None if facts is None else record.read(facts, image_id)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            own = status.st_uid in {os.geteuid(), _ROOT} and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            return file.read() if own else None
    except OSError:
        return None
