"""Ours: a daemon with an empty state directory, and the command line as a person runs it."""

import time
from contextlib import ExitStack
from pathlib import Path

from bench.cargo_time import said_seconds
from bench.contestants.contestant import Built, Order, Rules
from bench.daemon_process import DaemonProcess, daemon
from bench.engine import CommandFailed
from bench.pss import descendants
from bench.shipped import remove_image, take_binary

_TAG = "bloomery-bench/bloomery:latest"
_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 600.0
_IDLE_TICKS = 5
"""Hundredths of a second of processor time that an idle daemon may use between two looks."""


class Bloomery:
    """A daemon and its client."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._open = ExitStack()
        self._daemon: DaemonProcess | None = None

    @property
    def name(self) -> str:
        """Our own."""
        return "bloomery"

    def prepare(self) -> None:
        """The toolchain image is all that it needs."""

    def reset(self) -> None:
        """A new daemon; the old one's state, layers and workspaces are gone."""
        self.close()
        asked = self._rules.asked
        self._daemon = self._open.enter_context(daemon(asked.engine, asked.network))
        self.settle()  # once in the life of a state directory: it looks into the toolchain images

    def build(self, order: Order) -> Built:
        """Build; then, not timed, take the binary out of the image."""
        running = self._running()
        flags = ("--project", order.line, "--lineage", order.lineage, "--bin", order.project.binary)
        built = running.build(order.project.root, _TAG, *flags)
        cargo = said_seconds(running.output(built.record["id"]))
        size = take_binary(self._rules.asked.engine, _TAG, order.project.binary, order.binary)
        return Built(seconds=built.seconds, cargo_seconds=cargo, image_bytes=size, note=built.rung)

    def settle(self) -> float:
        """Wait until units are harvested and layers are made: no work behind the answers, and an idle process."""
        running = self._running()
        began = last = time.monotonic()
        while last - began < _PATIENCE_SECONDS:
            before = _ticks(running.pid)
            time.sleep(_LOOK_SECONDS)
            if _ticks(running.pid) - before <= _IDLE_TICKS and not running.figure("bloomery_work_behind"):
                return last - began
            last = time.monotonic()
        raise CommandFailed(f"the daemon has not come to rest in {_PATIENCE_SECONDS:.0f} s")

    def close(self) -> None:
        """End the daemon; all that it made goes with it."""
        self._daemon = None
        self._open.close()
        remove_image(self._rules.asked.engine, _TAG)

    def _running(self) -> DaemonProcess:
        if self._daemon is None:
            raise CommandFailed("bloomery was not reset before its first build")
        return self._daemon


def _ticks(pid: int) -> int:
    """Processor time of a process and all below it, in hundredths of a second."""
    total = 0
    for each in descendants(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(fields[11]) + int(fields[12])
    return total
