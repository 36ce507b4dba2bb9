"""The state directory and the places in it; the records' file and the blobs themselves are the store's business."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from daemon.config import Config


@dataclass(frozen=True, slots=True)
class StateDir:
    """Where everything is that the daemon keeps."""

    path: Path

    @classmethod
    def of(cls, config: Config) -> Self:
        """The configured one."""
        return cls(Path(config.server.state_dir))

    @property
    def blobs(self) -> Path:
        """The directory that the store keeps blobs under."""
        return self.path / "blobs"

    @property
    def scratch(self) -> Path:
        """Where stages put what comes out of sandboxes while they look at it."""
        return self.path / "scratch"

    @property
    def address(self) -> Path:
        """A file with the URL that the daemon listens on, while it does."""
        return self.path / "address"

    def clear_scratch(self) -> None:
        """Remove what a crash left of it; the directory has to be held."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700, parents=True)
