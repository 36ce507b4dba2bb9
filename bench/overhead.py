"""Our own overhead on a build after an edit: the whole `bloomery build` process, minus cargo's own time.

Cargo's time is what its `Finished` line says, so its start and end count as ours. Builds from the layer have a lineage
each; with `--rung workspace` all go on in the workspace of one, with `--rung fork` each in a copy of that, or over the
layer where the daemon finds that a copy is not worth it: the table says how many were copied.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from bench import figures, options
from bench.cargo_time import cargo_seconds
from bench.daemon_process import copied, daemon
from bench.figures import Figure, Row
from bench.project import read_project
from bench.sources import edit

BARS = {("layer", "fuse-overlayfs"): 1.2, ("layer", "overlay2"): 0.8}
"""Seconds, by rung and storage driver."""
TAG = "bloomery-bench/overhead:latest"


def lineage(rung: str, number: int) -> tuple[str, ...]:
    """The options of a build that stands on this."""
    if rung == "workspace":
        return ("--lineage", "main")
    return ("--lineage", f"edit-{number}", *(("--parent", "nobody") if rung == "layer" else ()))


def main() -> int:
    """Measure and report."""
    parser = options.parser(__doc__)
    parser.add_argument(
        "--rung", choices=("layer", "workspace", "fork"), default="layer", help="what the builds stand on"
    )
    found = parser.parse_args()
    asked, rung = options.read(found), found.rung
    driver = asked.engine.driver
    overhead: list[float] = []
    cargo: list[float] = []
    whole: list[float] = []
    copied_from: list[bool] = []
    stages: defaultdict[str, list[float]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="bloomery-bench-") as folder,
        daemon(asked.engine, asked.network) as running,
    ):
        source = copied(asked.source, Path(folder, asked.source.name))
        main_file = source / read_project(source).main
        running.build(source, TAG, expected="none")
        for number in range(asked.runs + 1):
            edit(main_file, number)
            built = running.build(source, TAG, *lineage(rung, number), expected="" if rung == "fork" else rung)
            if number == 0:
                continue  # the first one reads what is new from the disk
            took = cargo_seconds(running.output(built.record["id"]))
            whole.append(built.seconds)
            copied_from.append(built.record["outcome"]["reuse"]["forked_from"] is not None)
            cargo.append(took)
            overhead.append(built.seconds - took)
            for stage, seconds in built.stages.items():
                stages[stage].append(seconds - took if stage == "compile" else seconds)
            print(f"run {number}: {built.seconds:.2f} s, cargo {took:.2f} s", built.stages, file=sys.stderr)
    asked.engine.docker("rmi", "--force", TAG)
    rows = [
        Row(f"overhead from the {rung} on {driver}", Figure("s", tuple(overhead)), BARS.get((rung, driver))),
        Row("cargo's own time", Figure("s", tuple(cargo))),
        Row("bloomery build, all of it", Figure("s", tuple(whole))),
        *([Row("of these in a copy", Figure("builds", (float(sum(copied_from)),)))] if rung == "fork" else []),
        *(
            Row(
                f"of the overhead, {stage}{' without cargo' if stage == 'compile' else ''}", Figure("s", tuple(samples))
            )
            for stage, samples in stages.items()
        ),
    ]
    figures.report(f"overhead-{rung}-{driver}", rows, {"rung": rung, "driver": driver, "source": asked.source.name})
    return 0


if __name__ == "__main__":
    sys.exit(main())
