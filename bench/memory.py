"""How much memory the daemon takes with its children: idle, and while many clients upload at once.

Peak PSS, sampled every 20 ms. The engine is not counted. `/healthz` is asked all the while: its loop must stay free.
"""

import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Self

from bench import figures, options
from bench.daemon_process import ROOT, daemon
from bench.engine import CommandFailed
from bench.figures import Figure, Row
from bench.pss import PssSampler
from bench.sources import made_up
from bench.uploads import DOORS

IDLE_BAR, UPLOAD_BAR = 100.0, 160.0
TAG = "bloomery-bench/memory:latest"
_SETTLING = 3.0
_WATCHED = 3.0


class HealthProbe:
    """Asks `/healthz` twenty times a second; `seconds` are what the answers took."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.seconds: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.05):
            began = time.perf_counter()
            with urllib.request.urlopen(f"{self._url}/healthz", timeout=60) as answer:  # noqa: S310 - our own daemon
                answer.read()
            self.seconds.append(time.perf_counter() - began)


def main() -> int:
    """Measure and report."""
    parser = options.parser(__doc__)
    parser.add_argument("--clients", type=int, default=20, metavar="N", help="clients at once (default: 20)")
    found = parser.parse_args()
    asked = options.read(found)
    idle: list[float] = []
    busy: dict[str, list[float]] = {door: [] for door in DOORS}
    seconds: dict[str, list[float]] = {door: [] for door in DOORS}
    health: dict[str, list[float]] = {door: [] for door in DOORS}
    worst: dict[str, list[float]] = {door: [] for door in DOORS}
    parts: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bloomery-bench-") as folder:
        source = made_up(Path(folder, "tiny"), "tiny", 1)
        for number in range(asked.runs):
            for door in DOORS:
                with daemon(asked.engine, asked.network) as running:
                    running.build(source, TAG, expected="none")
                    time.sleep(_SETTLING)
                    with PssSampler(running.pid) as sampler:
                        time.sleep(_WATCHED)
                    idle.append(sampler.peak)
                    with PssSampler(running.pid) as sampler, HealthProbe(running.url) as probe:
                        seconds[door].append(upload(running.url, door, found.clients))
                    busy[door].append(sampler.peak)
                    parts[door] = sampler.at_peak
                    health[door].append(1000 * sorted(probe.seconds)[len(probe.seconds) // 2])
                    worst[door].append(1000 * max(probe.seconds))
                print(
                    f"run {number + 1}: {door}: idle {idle[-1]:.0f} MB, busy {busy[door][-1]:.0f} MB", file=sys.stderr
                )
    asked.engine.docker("rmi", "--force", TAG)
    rows = [Row("PSS, idle after one build", Figure("MB", tuple(idle)), IDLE_BAR)]
    for door in DOORS:
        what = f"{found.clients} clients, 50 MB each, by {door}"
        rows += [
            Row(f"peak PSS, {what}", Figure("MB", tuple(busy[door])), UPLOAD_BAR),
            Row(f"whole upload, {what}", Figure("s", tuple(seconds[door]))),
            Row("`/healthz` meanwhile, median", Figure("ms", tuple(health[door]))),
            Row("`/healthz` meanwhile, slowest", Figure("ms", tuple(worst[door]))),
        ]
    figures.report("memory", rows, {"driver": asked.engine.driver, "at_peak": parts})
    return 0


def upload(url: str, door: str, clients: int) -> float:
    """Let the clients upload; the seconds that it took from the first byte to the last answer."""
    command = [sys.executable, "-m", "bench.uploads", url, door, str(clients)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"uploads by {door}: {done.stderr[-2000:]}")
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
