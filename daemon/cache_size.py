"""How many bytes the cache holds, measured from time to time for the metrics."""

import asyncio
import os
from pathlib import Path
from typing import Protocol

import structlog

from cache.errors import Failure
from daemon.metrics import CacheKind, Metrics

_SECONDS = 60.0


class Sizes(Protocol):
    """What is on record, each kind together."""

    async def layer_bytes(self) -> int:
        """Dependency layers."""
        ...

    async def workspace_bytes(self) -> int:
        """Workspaces that no build is using."""
        ...

    async def unit_bytes(self) -> int:
        """Units."""
        ...


class CacheSize:
    """Measures every minute; `blobs` is the directory that the store keeps them under."""

    def __init__(self, sizes: Sizes, blobs: Path, metrics: Metrics) -> None:
        self._sizes = sizes
        self._blobs = blobs
        self._metrics = metrics

    async def run(self, seconds: float = _SECONDS) -> None:
        """Measure until cancelled; a measurement that fails is only logged."""
        while True:
            try:
                await self.measure()
            except (Failure, OSError) as error:
                structlog.get_logger().warning("cache.not_measured", error=str(error))
            await asyncio.sleep(seconds)

    async def measure(self) -> int:
        """Once; returns the bytes of all together."""
        layers, workspaces = await self._sizes.layer_bytes(), await self._sizes.workspace_bytes()
        blobs = await asyncio.to_thread(_size, self._blobs)
        self._metrics.cache_holds(CacheKind.LAYER, layers)
        self._metrics.cache_holds(CacheKind.WORKSPACE, workspaces)
        self._metrics.cache_holds(CacheKind.UNIT, await self._sizes.unit_bytes())
        self._metrics.cache_holds(CacheKind.BLOB, blobs)
        return layers + workspaces + blobs


def _size(directory: Path) -> int:
    """Bytes of all files below; one that goes meanwhile counts for nothing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(Path(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total
