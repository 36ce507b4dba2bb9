"""The chapter: four services built at once by one daemon, beside each by a daemon of its own; then what changes cost.

The four are those on the stable toolchain, asked for by `bloomery compose build` as a person does. A dependency more is
measured on `users`, alone: it has no lock, and a nightly toolchain.
"""

import sys
import tempfile
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from bench import figures, options
from bench.cargo_time import cargo_seconds
from bench.daemon_process import DaemonProcess, copied, daemon
from bench.figures import Figure, Row
from bench.options import Options
from bench.rest import rested

TOGETHER, UNCHANGED, EDIT, DEPENDENCY = 0.6, 0.5, 1.2, 0.15
"""Bars: of the sum of four of their own; seconds; seconds beside cargo's own; of a cold build."""
SERVICES = ("content", "dbsync-worker", "mails", "router")
_EDITED, _ALONE = "mails", "users"
_TAG = "bloomery-bench/chapter"
_MORE = 'hex = "0.4"'


class Chapter:
    """What is measured in one run, with the sources of that run."""

    def __init__(self, asked: Options, folder: Path) -> None:
        self._asked = asked
        self._source = copied(asked.source, folder)
        self.seconds: dict[str, float] = {}
        self.packages: dict[str, int] = {}

    def apart(self) -> None:
        """Each service by a daemon that has built nothing."""
        for service in SERVICES:
            with self._daemon() as running:
                rested(running)  # once in the life of a state directory it looks into the toolchain images
                built = running.build(self._source / service, f"{_TAG}-{service}", expected="none")
                self.seconds[f"{service}, alone"] = built.seconds
        self.seconds["apart"] = sum(self.seconds[f"{service}, alone"] for service in SERVICES)

    def together(self) -> None:
        """All four by one daemon; then nothing, and then one edit."""
        with self._daemon() as running:
            rested(running)
            self.seconds["together"] = self._composed(running)
            records = self._records(running)
            for word in ("compiled", "compiled_twice"):
                self.packages[word] = sum(len(record["outcome"]["reuse"][word]) for record in records.values())
            rested(running)
            self.seconds["unchanged"] = self._composed(running)
            main = self._source / _EDITED / "src" / "main.rs"
            main.write_text(f"{main.read_text(encoding='utf-8')}\nconst _: () = ();\n", encoding="utf-8")
            self.seconds["edit"] = self._composed(running)
            build = self._records(running)[_EDITED]["id"]
            self.seconds["edit, beside cargo"] = self.seconds["edit"] - cargo_seconds(running.output(build))

    def alone(self) -> None:
        """`users`, and then with a dependency more."""
        with self._daemon() as running:
            rested(running)
            source = self._source / _ALONE
            self.seconds["users"] = running.build(source, f"{_TAG}-{_ALONE}", expected="none").seconds
            rested(running)
            manifest = source / "Cargo.toml"
            manifest.write_text(f"{manifest.read_text(encoding='utf-8')}{_MORE}\n", encoding="utf-8")
            self.seconds["users, a dependency more"] = running.build(source, f"{_TAG}-{_ALONE}").seconds

    def _daemon(self) -> AbstractContextManager[DaemonProcess]:
        return daemon(self._asked.engine, self._asked.network)

    def _composed(self, running: DaemonProcess) -> float:
        seconds, _ = running.timed("compose", "-f", str(self._source / "compose.test.yaml"), "build", *SERVICES)
        return seconds

    @staticmethod
    def _records(running: DaemonProcess) -> dict[str, dict[str, Any]]:
        """The last build of each service."""
        found: dict[str, dict[str, Any]] = {}
        for record in running.get("/v1/builds?limit=50&state=succeeded")["builds"]:
            (tag,) = record["outcome"]["images"][0]["tags"]
            found.setdefault(tag.removeprefix("chapter/").removesuffix(":latest"), record)
        return found


def main() -> int:
    """Measure and report."""
    parser = options.parser(__doc__)
    parser.set_defaults(source=Path("examples/chapter"))
    asked = options.read(parser.parse_args())
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    packages: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bloomery-bench-") as name:
        for number in range(1, asked.runs + 1):
            chapter = Chapter(asked, Path(name, f"run-{number}"))
            chapter.apart()
            chapter.together()
            chapter.alone()
            print(f"run {number}: {chapter.seconds} {chapter.packages}", file=sys.stderr, flush=True)
            for what, each in chapter.seconds.items():
                seconds[what].append(each)
            for what, count in chapter.packages.items():
                packages[what].append(count)
    tags = [f"chapter/{each}" for each in SERVICES] + [f"{_TAG}-{each}" for each in (*SERVICES, _ALONE)]
    asked.engine.docker("rmi", "--force", *tags)
    figures.report(f"chapter-{asked.engine.driver}", _rows(seconds, packages), {"driver": asked.engine.driver})
    return 0


def _rows(seconds: dict[str, list[float]], packages: dict[str, list[float]]) -> list[Row]:
    def over(one: str, other: str) -> Figure:
        pairs = zip(seconds[one], seconds[other], strict=True)
        return Figure("times", tuple(mine / theirs for mine, theirs in pairs))

    bars = {"unchanged": UNCHANGED, "edit, beside cargo": EDIT}
    rows = [
        Row("four services together, over the sum of each alone", over("together", "apart"), TOGETHER),
        Row("a dependency more in users, over its cold build", over("users, a dependency more", "users"), DEPENDENCY),
    ]
    rows += [Row(what, Figure("s", tuple(each)), bars.get(what)) for what, each in seconds.items()]
    return rows + [Row(what, Figure("packages", tuple(each))) for what, each in packages.items()]


if __name__ == "__main__":
    sys.exit(main())
