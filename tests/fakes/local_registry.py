"""A local registry of small crates, which cargo unpacks and takes for immutable like those that it downloaded."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.digest import Digest
from tests.fakes.rust_projects import crate, locked

CRATE_TIME = 1_153_704_088
"""2006: what archives of crates carry for every file."""


@dataclass(frozen=True)
class Crate:
    """One crate: its files beside the manifest, and what it depends on by `name` or `name = …`."""

    name: str
    files: Mapping[str, str]
    version: str = "1.0.0"
    dependencies: Sequence[str] = ()
    manifest: str = ""
    windows: Sequence[str] = ()
    """What it depends on there alone."""

    @property
    def archive(self) -> bytes:
        wanted = "".join(f'{name} = "1"\n' for name in self.dependencies)
        there = "".join(f"[target.'cfg(windows)'.dependencies]\n{name} = \"1\"\n" for name in self.windows)
        manifest = crate(self.name, self.version, f"[dependencies]\n{wanted}{there}{self.manifest}")
        content = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w") as tar,
        ):
            for path, text in {"Cargo.toml": manifest, **self.files}.items():
                entry = tarfile.TarInfo(f"{self.name}-{self.version}/{path}")
                entry.size, entry.mtime, entry.mode = len(text.encode()), CRATE_TIME, 0o644
                tar.addfile(entry, io.BytesIO(text.encode()))
        return content.getvalue()

    @property
    def checksum(self) -> str:
        return Digest.of(self.archive).hex

    @property
    def locked(self) -> str:
        """Its part of a lock."""
        return locked(self.name, self.version, *self.dependencies, *self.windows, checksum=self.checksum)

    @property
    def index_entry(self) -> str:
        features = {"default": []}
        return json.dumps(
            {
                "name": self.name,
                "vers": self.version,
                "deps": [
                    {
                        "name": name,
                        "req": "^1",
                        "features": [],
                        "optional": False,
                        "default_features": True,
                        "target": "cfg(windows)" if name in self.windows else None,
                        "kind": "normal",
                    }
                    for name in (*self.dependencies, *self.windows)
                ],
                "cksum": self.checksum,
                "features": features,
                "yanked": False,
            }
        )


def write_registry(directory: Path, crates: Sequence[Crate]) -> None:
    """Put the crates where `local-registry` finds them; names have at least four letters."""
    for each in crates:
        index = directory / "index" / each.name[:2] / each.name[2:4] / each.name
        index.parent.mkdir(parents=True, exist_ok=True)
        with index.open("a") as file:
            file.write(each.index_entry + "\n")
        (directory / f"{each.name}-{each.version}.crate").write_bytes(each.archive)


def configuration(registry: Path) -> str:
    """Cargo's configuration that takes crates from there."""
    return f'[source.crates-io]\nreplace-with = "here"\n[source.here]\nlocal-registry = "{registry}"\n'
