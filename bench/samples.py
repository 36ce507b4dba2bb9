"""Samples of the ladder, appended to a file as they come: what was measured is not lost when a run is cut off."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path


class Store(StrEnum):
    """What a contestant remembers when a walk begins."""

    FRESH = "fresh"
    """Nothing."""
    FULL = "full"
    """Builds of other locks."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Walk:
    """One contestant's way through the scenarios of one project, in one run."""

    project: str
    store: Store
    run: int
    contestant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One timed build."""

    walk: Walk
    scenario: str
    seconds: float | None
    """None where it did not build."""
    cargo_seconds: float | None = None
    fault: str = ""
    """What is wrong with the binary, or why there is none; empty if it is the right one."""
    note: str = ""
    image_bytes: int | None = None
    behind: float = 0.0
    """Seconds that went on behind the answer."""
    load: float = 0.0
    """Load average of the last minute, when the build began."""
    version: str = ""
    """Of this project."""
    at: str = ""

    @property
    def tried(self) -> bool:
        """Whether this scenario can be with this project at all; if not, the note says why."""
        return self.seconds is not None or bool(self.fault)


class SampleFile:
    """A file with a sample in each line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, sample: Sample) -> None:
        """Write a sample, for good."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            if file.tell() and not self._ends_whole():
                file.write(b"\n")
            file.write(json.dumps(asdict(sample)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Sample]:
        """All samples; of several of one walk and scenario the last, for a walk that was cut off is walked anew.

        A line that was cut off is left out.
        """
        found: dict[tuple[Walk, str], Sample] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    sample = _sample(json.loads(line))
                except (ValueError, TypeError, KeyError):
                    continue
                found.pop((sample.walk, sample.scenario), None)
                found[sample.walk, sample.scenario] = sample
        return list(found.values())

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _sample(read: dict[str, object]) -> Sample:
    walk = read.pop("walk")
    if not isinstance(walk, dict):
        raise TypeError("no walk")
    return Sample(walk=Walk(**{**walk, "store": Store(walk["store"])}), **read)  # type: ignore[arg-type]


def missing(walk: Walk, scenarios: Iterable[str], samples: Iterable[Sample]) -> list[str]:
    """The scenarios of a walk that no sample is of."""
    known = {sample.scenario for sample in samples if sample.walk == walk}
    return [scenario for scenario in scenarios if scenario not in known]
