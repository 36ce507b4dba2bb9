"""A cold build beside bare cargo: how much longer does an image take than the binary alone?

Ours has a fresh state directory and `--no-cache` each time; bare cargo a fresh container of the same toolchain image.
The two take turns. Committing the dependency layer is reported apart: it is what makes the next build short. So is the
start of the daemon, which looks into each toolchain image once in the life of a state directory.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from bench import figures, options
from bench.bare_cargo import cold_build
from bench.daemon_process import copied, daemon
from bench.figures import Figure, Row

BAR = 1.05
TAG = "bloomery-bench/cold:latest"


def main() -> int:
    """Measure and report."""
    asked = options.read(options.parser(__doc__).parse_args())
    bare: list[float] = []
    ready: list[float] = []
    whole: list[float] = []
    stages: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bloomery-bench-") as folder:
        source = copied(asked.source, Path(folder, asked.source.name))
        for number in range(asked.runs):
            bare.append(cold_build(asked.engine, source, asked.toolchain, asked.ca_bundle, asked.network))
            with daemon(asked.engine, asked.network) as running:
                built = running.build(source, TAG, "--no-cache", expected="none")
                ready.append(running.ready_after)
            whole.append(built.seconds)
            for stage, seconds in built.stages.items():
                stages[stage].append(seconds)
            print(f"run {number + 1}: bare {bare[-1]:.1f} s, ours {whole[-1]:.1f} s", built.stages, file=sys.stderr)
    asked.engine.docker("rmi", "--force", TAG)
    without = [total - commit for total, commit in zip(whole, stages["commit"], strict=True)]
    ratios = [ours / theirs for ours, theirs in zip(without, bare, strict=True)]
    rows = [
        Row("ours without the commit, over bare cargo", Figure("times", tuple(ratios)), BAR),
        Row("bare cargo build --release", Figure("s", tuple(bare))),
        Row("bloomery build, all of it", Figure("s", tuple(whole))),
        *(Row(f"of it, {stage}", Figure("s", tuple(samples))) for stage, samples in stages.items()),
        Row("before it, the daemon's first start", Figure("s", tuple(ready))),
    ]
    figures.report(f"cold-{asked.engine.driver}", rows, {"driver": asked.engine.driver, "source": asked.source.name})
    return 0


if __name__ == "__main__":
    sys.exit(main())
