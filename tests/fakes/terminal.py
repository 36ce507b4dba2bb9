"""The words for running the command line in tests: what a run left behind, and how one is started."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that has ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]
"""Runs the command line in this process: arguments, `style=` of its stderr, environment variables by name."""

Start = Callable[..., "subprocess.Popen[str]"]
"""Starts it as a process of its own: arguments, environment variables by name."""
