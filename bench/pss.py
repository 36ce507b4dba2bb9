"""The proportional set size of a process with all its descendants, sampled while something happens.

A child that has been made by vfork and has not begun its own program yet has no memory but its parent's, which the
kernel reports in full for both; kcmp(2) tells, and it is counted once.

Source: the kernel's Documentation/filesystems/proc.rst (smaps_rollup, children), kcmp(2)
"""

import ctypes
import platform
import threading
import time
from pathlib import Path
from typing import Self

INTERVAL = 0.02
"""Seconds between samples."""
_KCMP = {"x86_64": 312, "aarch64": 272}[platform.machine()]
_KCMP_VM = 1


class PssSampler:
    """Samples from its start to its end; `peak` is in MB (10^6 bytes)."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._libc = ctypes.CDLL(None)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak = 0.0
        self.samples = 0
        self.at_peak: dict[str, float] = {}
        """MB of each process when the sum was highest, by process id and name."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            found = {name: size for pid in descendants(self._pid) for name, size in self._named(pid)}
            self.samples += 1
            if (total := sum(found.values())) > self.peak:
                self.peak, self.at_peak = total, found
            self._over.wait(max(0.0, INTERVAL - (time.monotonic() - began)))

    def _named(self, pid: int) -> list[tuple[str, float]]:
        # Asked first: a child that has memory of its own now will not have its parent's again.
        if pid != self._pid and self._libc.syscall(_KCMP, self._pid, pid, _KCMP_VM, 0, 0) == 0:
            return []
        try:
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return []
        return [(f"{pid} {name}", int(line.split()[1]) * 1024 / 1e6) for line in lines if line.startswith("Pss:")]


def descendants(pid: int) -> list[int]:
    """The process and all below it; one that ends meanwhile is left out."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        try:
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += map(int, (task / "children").read_text(encoding="utf-8").split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
