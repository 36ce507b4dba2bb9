"""What the command line's exit codes mean.

A limit counts as the daemon's: a queue that is full or a step that took too long says nothing against the source, and a
script that reads 1 as "the author must act" must not be misled.
"""

from enum import IntEnum


class Exit(IntEnum):
    """The codes that scripts may rely on."""

    DONE = 0
    SOURCE = 1
    """The source failed: it does not compile, lacks a file, needs a library that is not there."""
    USAGE = 2
    """The command or the request was wrong."""
    INFRASTRUCTURE = 3
    """The daemon or the engine failed, a limit was met, or somebody cancelled the build."""
    INTERRUPTED = 130
    """Ctrl-C, as shells have it: 128 + SIGINT."""
    NO_READER = 141
    """Whoever read stdout has left, as in `bloomery logs ID | head`: 128 + SIGPIPE."""


FAILED_BY_BLAME = {
    "request": Exit.USAGE,
    "source": Exit.SOURCE,
    "limit": Exit.INFRASTRUCTURE,
    "infrastructure": Exit.INFRASTRUCTURE,
}
"""By a failure's blame."""
