"""Nothing changed: the whole `bloomery build` process, side by side with BuildKit's build of the same directory.

The two take turns. A service with dependencies, and a tree of 700 files; both are git repositories.
"""

import sys
import tempfile
import time
from pathlib import Path

from bench import figures, options
from bench.buildkit import buildkit
from bench.daemon_process import copied, daemon
from bench.figures import Figure, Row
from bench.sources import made_up, under_git

BAR = 150.0
FILES = 700
TAG, THEIR_TAG = "bloomery-bench/unchanged:ours", "bloomery-bench/unchanged:buildkit"
_OLD_ENOUGH = 2.5
"""Seconds after which files that are not written to any more count as known (see `api/client/stamps.py`)."""


def main() -> int:
    """Measure and report."""
    parser = options.parser(__doc__)
    parser.add_argument(
        "--buildkit", default="/usr/bin/docker", metavar="PROGRAM", help="a docker program that builds with BuildKit"
    )
    parser.add_argument("--only-files", action="store_true", help="leave out the service, which is slow to build cold")
    found = parser.parse_args()
    asked = options.read(found)
    rows: list[Row] = []
    parts: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bloomery-bench-") as name, daemon(asked.engine, asked.network) as running:
        folder = Path(name)
        trees = {f"{FILES} files": made_up(folder / "many-files", "many-files", FILES - 4)}
        if not found.only_files:
            trees[asked.source.name] = copied(asked.source, folder / asked.source.name)
        for what, source in trees.items():
            under_git(source)
            theirs = buildkit(asked, found.buildkit, folder, source.name)
            time.sleep(_OLD_ENOUGH)
            running.build(source, TAG, expected="none")
            theirs.build(source, THEIR_TAG)
            built = running.build(source, TAG, expected="result")
            ours_took, theirs_took, daemon_took = [], [], []
            for _ in range(asked.runs):
                built = running.build(source, TAG, expected="result")
                ours_took.append(1000 * built.seconds)
                daemon_took.append(1000 * (built.record["finished_at"] - built.record["created_at"]))
                theirs_took.append(1000 * theirs.build(source, THEIR_TAG))
            parts[what] = {stage: 1000 * seconds for stage, seconds in built.stages.items()}
            rows += [
                Row(f"{what}: bloomery build", Figure("ms", tuple(ours_took)), BAR),
                Row(f"{what}: of it, from accepted to ended", Figure("ms", tuple(daemon_took))),
                Row(f"{what}: BuildKit", Figure("ms", tuple(theirs_took))),
            ]
    asked.engine.docker("rmi", "--force", TAG, THEIR_TAG)
    figures.report("unchanged", rows, {"driver": asked.engine.driver, "stages_of_the_last_run_ms": parts})
    return 0


if __name__ == "__main__":
    sys.exit(main())
