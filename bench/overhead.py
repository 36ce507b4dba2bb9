"""Our own overhead on a build from the layer: the whole `bloomery build` process after an edit, minus cargo's own time.

Cargo's time is what its `Finished` line says, so its start and end count as ours.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from bench import figures, options
from bench.cargo_time import cargo_seconds
from bench.daemon_process import copied, daemon
from bench.figures import Figure, Row
from bench.sources import edit

BARS = {"fuse-overlayfs": 1.2, "overlay2": 0.8}
"""Seconds, by storage driver."""
TAG = "bloomery-bench/overhead:latest"


def main() -> int:
    """Measure and report."""
    asked = options.read(options.parser(__doc__).parse_args())
    driver = asked.engine.driver
    overhead: list[float] = []
    cargo: list[float] = []
    whole: list[float] = []
    stages: defaultdict[str, list[float]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="bloomery-bench-") as folder,
        daemon(asked.engine, asked.network) as running,
    ):
        source = copied(asked.source, Path(folder, asked.source.name))
        running.build(source, TAG, expected="none")
        for number in range(asked.runs + 1):
            edit(source / "src" / "main.rs", number)
            built = running.build(source, TAG, expected="layer")
            if number == 0:
                continue  # the first one reads the new layer from the disk
            took = cargo_seconds(running.output(built.record["id"]))
            whole.append(built.seconds)
            cargo.append(took)
            overhead.append(built.seconds - took)
            for stage, seconds in built.stages.items():
                stages[stage].append(seconds - took if stage == "compile" else seconds)
            print(f"run {number}: {built.seconds:.2f} s, cargo {took:.2f} s", built.stages, file=sys.stderr)
    asked.engine.docker("rmi", "--force", TAG)
    rows = [
        Row(f"overhead on {driver}", Figure("s", tuple(overhead)), BARS.get(driver)),
        Row("cargo's own time", Figure("s", tuple(cargo))),
        Row("bloomery build, all of it", Figure("s", tuple(whole))),
        *(
            Row(
                f"of the overhead, {stage}{' without cargo' if stage == 'compile' else ''}", Figure("s", tuple(samples))
            )
            for stage, samples in stages.items()
        ),
    ]
    figures.report(f"overhead-{driver}", rows, {"driver": driver, "source": asked.source.name})
    return 0


if __name__ == "__main__":
    sys.exit(main())
