import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry

from daemon.cache_size import CacheSize
from daemon.errors import NoSpace
from daemon.metrics import Metrics


class Layers:
    def __init__(self) -> None:
        self.asked = 0

    async def layer_bytes(self) -> int:
        self.asked += 1
        if self.asked == 1:
            raise NoSpace("a disk is full")
        return 700

    async def workspace_bytes(self) -> int:
        return 80

    async def unit_bytes(self) -> int:
        return 9


async def test_sizes_are_measured_again_after_one_that_failed(tmp_path: Path):
    registry = CollectorRegistry()
    (tmp_path / "sha256/ab").mkdir(parents=True)
    (tmp_path / "sha256/ab/one").write_bytes(b"12345")
    (tmp_path / "two").write_bytes(b"123")

    def held(kind: str) -> float | None:
        return registry.get_sample_value("bloomery_dependency_cache_bytes", {"kind": kind})

    measuring = asyncio.create_task(CacheSize(Layers(), tmp_path, Metrics(registry)).run(0.01))
    async with asyncio.timeout(10):
        while held("blob") != 8:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)
    assert (held("layer"), held("workspace"), held("unit")) == (700, 80, 9)
    measuring.cancel()
