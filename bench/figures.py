"""Samples and what is said of them: a median with its spread, one JSON file a measurement, one table for people."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
"""Where the JSON files go; they are not part of the project."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured in several runs, in one unit."""

    unit: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.samples)

    def __str__(self) -> str:
        low, high = min(self.samples), max(self.samples)
        return f"{_shown(self.median)} {self.unit} ({_shown(low)} to {_shown(high)})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a measurement's table; a bar is the most that the figure may be, in its unit."""

    what: str
    figure: Figure
    bar: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the bar is held."""
        if self.bar is None:
            return ""
        return "held" if self.figure.median <= self.bar else "MISSED"


def report(name: str, rows: Sequence[Row], about: dict[str, object]) -> None:
    """Print the table and write `results/NAME.json`."""
    print(f"\n## {name}\n\n{_table(rows)}\n")
    document = {
        "measurement": name,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "about": about,
        "rows": [
            {
                "what": row.what,
                **asdict(row.figure),
                "median": row.figure.median,
                "bar": row.bar,
                "verdict": row.verdict,
            }
            for row in rows
        ],
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{file.relative_to(RESULTS.parent.parent)}; load average {load} on {os.cpu_count()} processors", flush=True)


def _table(rows: Sequence[Row]) -> str:
    head = ("what", "median (lowest to highest)", "bar", "")
    body = [
        (row.what, str(row.figure), "" if row.bar is None else f"{_shown(row.bar)} {row.figure.unit}", row.verdict)
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    lines = [head, tuple("-" * width for width in widths), *body]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _shown(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"  # noqa: PLR2004 - three digits say it


def machine() -> dict[str, object]:
    """What it was measured on."""
    described = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"]
    version = subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "version": version,
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }
