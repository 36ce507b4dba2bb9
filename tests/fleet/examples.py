"""Which examples there are, how large their images may be, and which of them every run of `.ci/run` builds."""

import re
import tomllib
from dataclasses import dataclass

from tests.e2e.service import ROOT

EXAMPLES = ROOT / "examples"
EVERY_TIME = {"hyper-hello", "actix-hello", "chapter/dbsync-worker"}
"""What `.ci/run` builds after `make test`: see README.md."""
EMBEDDED = {"chapter/dbsync-worker": ("migrations/",)}
"""Files that a program has within it because its sources say so, as `include_str!` does."""
INTERPRETED = {"flask"}
"""Folders of services whose sources are what runs."""
BARS = {"chapter/users": 40_000_000, "flask/user_service": 70_000_000, "flask/database_service": 70_000_000}
"""The most bytes that an image's files may have."""
SMALLEST = "hyper-hello"
"""Its bar is what its binary needs to run, and a hundredth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One folder with a `bloomery.toml`, built as its README says or with options beside."""

    path: str
    """Below `examples/`."""
    options: tuple[str, ...] = ()
    """Of `bloomery build`."""

    @property
    def name(self) -> str:
        return " ".join((self.path, *self.options))

    @property
    def tag(self) -> str:
        return f"bloomery-fleet/{re.sub(r'[^a-z0-9]+', '-', self.name)}"

    @property
    def compiled(self) -> bool:
        return self.path.partition("/")[0] not in INTERPRETED

    def ships(self, path: str) -> bool:
        """Whether a file of its sources is in its image by intention."""
        settings = tomllib.loads((EXAMPLES / self.path / "bloomery.toml").read_text())
        named = (*settings.get("image", {}).get("include", ()), *EMBEDDED.get(self.path, ()))
        return any(path == name or (name.endswith("/") and path.startswith(name)) for name in named)


def examples() -> list[Example]:
    """All of them, so that a new one is a part of the fleet by being there."""
    paths = sorted(str(file.parent.relative_to(EXAMPLES)) for file in EXAMPLES.rglob("bloomery.toml"))
    return [
        *(Example(path=path) for path in paths),
        Example(path="hyper-hello", options=("--link=static",)),
        Example(path="reqwest-fetch", options=("--no-default-features", "--features=native-tls")),
    ]
