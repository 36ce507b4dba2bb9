from pathlib import Path

import pytest

from cache.blobs import BlobStore
from daemon.image.elf import ElfReader
from tests.fakes.elves import HostFiles


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def reader() -> ElfReader:
    return ElfReader()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What lies over this machine's files."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def files(root: Path, blobs: BlobStore) -> HostFiles:
    return HostFiles(root, blobs)
