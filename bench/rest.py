"""When a daemon has come to rest: nothing goes on behind its answers, and its processes are idle."""

import time
from pathlib import Path

from bench.daemon_process import DaemonProcess
from bench.engine import CommandFailed
from bench.pss import descendants

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 600.0
_IDLE_TICKS = 5
"""Hundredths of a second of processor time that an idle daemon may use between two looks."""


def rested(running: DaemonProcess) -> float:
    """Wait until units are harvested and layers are made; returns the seconds that it took.

    Raises `CommandFailed` where that takes more than ten minutes.
    """
    began = last = time.monotonic()
    while last - began < _PATIENCE_SECONDS:
        before = _ticks(running.pid)
        time.sleep(_LOOK_SECONDS)
        if _ticks(running.pid) - before <= _IDLE_TICKS and not running.figure("bloomery_work_behind"):
            return last - began
        last = time.monotonic()
    raise CommandFailed(f"the daemon has not come to rest in {_PATIENCE_SECONDS:.0f} s")


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
