"""One daemon and a copy of the examples: built by the command line, proved by their own `verify`, and remembered."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.service import ROOT, Json, Service
from tests.fleet.examples import BARS, SMALLEST, Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A service's first build by the fleet's daemon, as its record has it."""

    name: str
    record: Json

    @property
    def image(self) -> Json:
        (image,) = self.record["outcome"]["images"]
        return dict(image)

    @property
    def reuse(self) -> Json:
        return dict(self.record["outcome"]["reuse"])


@dataclass(slots=True)
class Fleet:
    """Builds each service once, and keeps how that went."""

    service: Service
    examples: Path
    """The copy; a test that edits takes one of its own."""
    launches: list[Launch] = field(default_factory=list)

    def build(self, directory: Path, *options: str) -> Json:
        """The record of a build that has succeeded; the command line's own words where it has not."""
        done = self.service.cli("build", "--json", *options, str(directory), XDG_CACHE_HOME=str(self.service.place))
        assert done.returncode == 0, done.stderr
        record: Json = json.loads(done.stdout)
        return record

    def explained(self, example: Example) -> Json:
        """What a build of it would reuse now."""
        done = self.service.cli("explain", "--json", str(self.examples / example.path))
        assert done.returncode == 0, done.stderr
        answer: Json = json.loads(done.stdout)
        return answer

    def built(self, example: Example) -> Launch:
        """The example's first build."""
        found = [launch for launch in self.launches if launch.name == example.name]
        if not found:
            record = self.build(self.examples / example.path, "--tag", example.tag, *example.options)
            found = [Launch(name=example.name, record=record)]
            self.launches += found
        return found[0]

    def verify(self, directory: Path, *words: str) -> None:
        """Run its `verify`, which must find nothing wrong."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "BLOOMERY_URL": self.service.url,
            "XDG_CACHE_HOME": str(self.service.place),
        }
        command = [str(directory / "verify"), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def table(launches: list[Launch]) -> list[str]:
    """What each image weighs, beside its bar, and what its build reused."""
    head = ("example", "image", "bar", "files", "rung", "compiled", "reused", "twice", "seconds")
    rows = [head, *(_row(launch) for launch in launches)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(launch: Launch) -> tuple[str, ...]:
    image, reuse = launch.image, launch.reuse
    return (
        launch.name,
        f"{image['size'] / 1e6:.2f} MB",
        _bar(launch.name),
        str(image["files"]),
        reuse["rung"],
        str(len(reuse["compiled"])),
        f"{reuse['reused']} of {reuse['dependencies']}",
        str(len(reuse["compiled_twice"])),
        f"{reuse['seconds'] or 0:.1f}",
    )


def _bar(name: str) -> str:
    if name in BARS:
        return f"{BARS[name] / 1e6:g} MB"
    return "what it needs + 1 %" if name == SMALLEST else ""
