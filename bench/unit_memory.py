"""How much memory the daemon takes with its children while it stores compiled units, and while it gives them out.

Projects without code of their own are built one after the other, each with a lock of its own over crates that many
projects have, some of them in several locks, until a gigabyte of units is stored (unpacked, as cargo has them). Then
one project with all their dependencies is built: it is given what is stored. All of it is compiled for this; what makes
it large in little time are debug information and no optimisation. Peak PSS, sampled every 20 ms, without the engine's.
"""

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from bench import figures, options
from bench.daemon_process import DaemonProcess, daemon
from bench.engine import CommandFailed
from bench.figures import Figure, Row
from bench.pss import PssSampler
from daemon.units.holdings import read_holdings

BAR = 200.0
ENOUGH = 10**9
"""Bytes of stored units."""
TAG = "bloomery-bench/units:latest"
LOCKS: Mapping[str, Mapping[str, str]] = {
    "web": {
        "hyper": '{ version = "1", features = ["full"] }',
        "tokio": '{ version = "1", features = ["full"] }',
        "hyper-util": '{ version = "0.1", features = ["full"] }',
        "http-body-util": '"0.1"',
        "tracing-subscriber": '{ version = "0.3", features = ["env-filter", "json"] }',
    },
    "commands": {
        "clap": '{ version = "4", features = ["derive"] }',
        "serde": '{ version = "1", features = ["derive"] }',
        "serde_json": '"1"',
        "toml": '"0.8"',
        "regex": '"1"',
        "chrono": '{ version = "0.4", features = ["serde"] }',
    },
    "pages": {
        "pulldown-cmark": '"0.12"',
        "handlebars": '"6"',
        "url": '"2"',
        "regex": '"1"',
        "serde_json": '"1"',
        "minijinja": '"2"',
        "sqlparser": '"0.53"',
    },
    "machines": {
        "cranelift-codegen": '"0.115"',
        "wasmparser": '"0.220"',
        "gimli": '"0.31"',
        "object": '"0.36"',
        "rayon": '"1"',
    },
    "figures": {
        "nalgebra": '"0.33"',
        "rustfft": '"6"',
        "image": '{ version = "0.25", default-features = false, features = ["png", "jpeg", "gif"] }',
        "petgraph": '"0.6"',
        "rayon": '"1"',
    },
}
"""Dependencies, as in a manifest, of each of the projects."""
_PROFILE = "[profile.release]\nopt-level = 0\ndebug = 2\n[profile.release.build-override]\nopt-level = 0\ndebug = 2\n"
_PATIENCE = 600.0
_STORED = "SELECT coalesce(sum(unpacked), 0), count(*) FROM units"
_HELD = "SELECT holdings FROM workspaces WHERE project = ?"
_GIVEN = "SELECT coalesce(sum(unpacked), 0), count(*) FROM units WHERE digest IN (SELECT value FROM json_each(?))"


def main() -> int:
    """Measure and report."""
    parser = options.parser(__doc__)
    parser.set_defaults(runs=1)
    asked = options.read(parser.parse_args())
    storing: list[float] = []
    giving: list[float] = []
    stored_bytes: list[float] = []
    given_bytes: list[float] = []
    parts: dict[str, dict[str, float]] = {}
    for number in range(asked.runs):
        with (
            tempfile.TemporaryDirectory(prefix="bloomery-bench-") as folder,
            daemon(asked.engine, asked.network) as running,
        ):
            store, built = _stored_enough(running, Path(folder))
            storing.append(store.peak)
            stored, units = _asked(running, _STORED)
            together = project(Path(folder), "together", [LOCKS[name] for name in built])
            with PssSampler(running.pid) as give:
                running.build(together, TAG, expected="units")
            giving.append(give.peak)
            given, given_units = _given(running, "together")
            stored_bytes.append(stored / 1e6)
            given_bytes.append(given / 1e6)
            parts = {"storing": store.at_peak, "giving": give.at_peak}
        print(
            f"run {number + 1}: {units} units of {stored / 1e6:.0f} MB stored at {store.peak:.0f} MB, "
            f"{given_units} of {given / 1e6:.0f} MB given at {give.peak:.0f} MB",
            file=sys.stderr,
        )
    asked.engine.docker("rmi", "--force", TAG)
    rows = [
        Row("peak PSS while units are stored", Figure("MB", tuple(storing)), BAR),
        Row("peak PSS while units are given to a build", Figure("MB", tuple(giving)), BAR),
        Row("units stored, of several locks, unpacked", Figure("MB", tuple(stored_bytes))),
        Row("of these given to the last build", Figure("MB", tuple(given_bytes))),
    ]
    figures.report("unit_memory", rows, {"driver": asked.engine.driver, "at_peak": parts})
    return 0


def _stored_enough(running: DaemonProcess, folder: Path) -> tuple[PssSampler, list[str]]:
    """Build until enough is stored; what was sampled while it was, and the projects that were built."""
    peak: PssSampler | None = None
    built: list[str] = []
    for name, dependencies in LOCKS.items():
        running.build(project(folder, name, [dependencies]), TAG)
        with PssSampler(running.pid) as sampler:
            _await_harvest(running, len(built) + 1)
        built.append(name)
        peak = sampler if peak is None or sampler.peak > peak.peak else peak
        stored, units = _asked(running, _STORED)
        print(f"{name}: {units} units of {stored / 1e6:.0f} MB, at {sampler.peak:.0f} MB", file=sys.stderr)
        if stored >= ENOUGH:
            return peak, built
    raise CommandFailed(f"all these projects have made {stored / 1e6:.0f} MB of units, and that is not enough")


def project(folder: Path, name: str, dependencies: Iterable[Mapping[str, str]]) -> Path:
    """A package that does nothing and has these dependencies; the daemon makes its lock."""
    root = folder / name
    (root / "src").mkdir(parents=True)
    lines = {crate: f"{crate} = {wanted}" for group in dependencies for crate, wanted in group.items()}
    package = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n'
    text = "\n".join([package, "[dependencies]", *sorted(lines.values()), "", _PROFILE])
    (root / "Cargo.toml").write_text(text, encoding="utf-8")
    (root / "src" / "main.rs").write_text("fn main() {}\n", encoding="utf-8")
    return root


def _await_harvest(running: DaemonProcess, harvests: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while running.log.read_text(encoding="utf-8").count("harvested") < harvests:
        if time.monotonic() > deadline:
            raise CommandFailed(f"nothing was harvested:\n{running.log.read_text(encoding='utf-8')[-2000:]}")
        time.sleep(0.1)


def _asked(running: DaemonProcess, sql: str, *values: str) -> tuple[int, int]:
    """Bytes and a count."""
    with closing(sqlite3.connect(running.state / "bloomery.sqlite")) as tables:
        ((size, count),) = tables.execute(sql, values).fetchall()
        return int(size), int(count)


def _given(running: DaemonProcess, name: str) -> tuple[int, int]:
    """What of the store is in the last build's workspace."""
    with closing(sqlite3.connect(running.state / "bloomery.sqlite")) as tables:
        ((held,),) = tables.execute(_HELD, (name,)).fetchall()
    holdings = read_holdings(held)
    if holdings is None:
        raise CommandFailed(f"what is in the workspace of {name} cannot be read")
    return _asked(running, _GIVEN, json.dumps([str(unit.digest) for unit in holdings.units if unit.digest]))


if __name__ == "__main__":
    sys.exit(main())
