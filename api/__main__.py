"""`bloomery`, and `python -m api`: the process around `api.cli`.

Nothing heavy is imported here or by what is imported here: an unchanged tree is built before a server framework would
have loaded. The one place that reads `sys.argv` and makes the console.
"""

import gc
import os
import sys
from collections.abc import Sequence

from api.cli import command
from api.client.console import Console
from api.client.exits import Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        return int(command(sys.argv[1:] if arguments is None else arguments, Console.of_process()))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still in the buffer
        return Exit.NO_READER
    finally:
        gc.freeze()  # else the interpreter, as it ends, looks through all that it loaded: 10 ms of an unchanged build


if __name__ == "__main__":
    sys.exit(main())
