"""Cargo with a network, which changes the locks of checkouts between the builds that are measured."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.container import Container
from bench.edits import NoPlace
from bench.engine import CommandFailed
from bench.project import Package


@dataclass(frozen=True, slots=True)
class ContainedCargo:
    """Cargo in a container of the toolchain image; fulfils `bench.checkout.Resolver`."""

    container: Container

    def follow(self, folder: Path) -> None:
        """Make the lock follow the manifests of the members, and change nothing else in it."""
        self.container.run(folder, "cargo", "update", "--quiet", "--workspace")

    def add(self, folder: Path, package: Package, dependency: str) -> None:
        """Add a dependency to a package."""
        self.container.run(folder, "cargo", "add", "--quiet", "--package", package.name, dependency)

    def move(self, folder: Path, candidates: Mapping[str, str]) -> str:
        """Move the first of these locked packages that may be moved to its version; returns which it was."""
        lock = folder / "Cargo.lock"
        before = lock.read_text(encoding="utf-8")
        for name, version in candidates.items():
            for locked in re.findall(rf'^name = "{re.escape(name)}"\nversion = "([^"]+)"', before, re.MULTILINE):
                if locked == version:
                    continue
                try:
                    moved = ("cargo", "update", "--quiet", f"{name}@{locked}", "--precise", version)
                    self.container.run(folder, *moved)
                except CommandFailed:
                    continue  # something asks for more than this version
                if lock.read_text(encoding="utf-8") != before:
                    return f"{name} {locked} -> {version}"
        raise NoPlace("none of the packages that could be moved is in this lock, or none may be")
