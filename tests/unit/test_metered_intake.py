from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from cache.archive_errors import BadArchive
from cache.archive_limits import ArchiveLimits
from cache.blobs import BlobStore
from cache.digest import Digest
from daemon.metered_intake import MeteredIntake
from daemon.metrics import Metrics
from daemon.ownership import SharedSources
from daemon.upload import Intake
from tests.fakes.api import FakeTrees, tar_of


async def body(content: bytes) -> AsyncIterator[bytes]:
    yield content[:100]
    yield content[100:]


async def test_the_bytes_of_each_door_are_counted(tmp_path: Path):
    registry = CollectorRegistry()
    intake = MeteredIntake(Intake(BlobStore(tmp_path), SharedSources(FakeTrees()), ArchiveLimits()), Metrics(registry))
    archive, blob = tar_of({"a": b"b"}, "w"), b"x" * 300

    await intake.from_archive(body(archive), "default")
    await intake.blob(Digest.of(blob), body(blob), None, "default")
    with pytest.raises(BadArchive):
        await intake.from_archive(body(b"?" * 7), "default")

    def counted(door: str) -> float | None:
        return registry.get_sample_value("bloomery_upload_bytes_total", {"door": door})

    assert (counted("tar"), counted("blob")) == (len(archive) + 7, 300)
