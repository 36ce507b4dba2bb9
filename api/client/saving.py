"""A download as a file: whole under its name or not there at all, or straight to stdout."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from api.client.console import Console
from api.client.render import size, status
from cache.errors import Blame, Failure


class CannotWrite(Failure):
    """The file to write to can't be written to."""

    kind = "cannot_write"
    title = "The file cannot be written"
    blame = Blame.REQUEST


def save(pieces: Iterator[bytes], output: str, console: Console) -> None:
    """Write to the file, or to stdout where it is `-`, and say so; `CannotWrite`."""
    if output == "-":
        if console.out.isatty():
            raise CannotWrite("this is not for a terminal; pipe it, or name a file with -o")
        written = _write(pieces, console.out.buffer, console)
    else:
        written = _replace(pieces, Path(output), console)
    console.say("Saved", f"{size(written)} to {'stdout' if output == '-' else output}")


def _replace(pieces: Iterator[bytes], output: Path, console: Console) -> int:
    """Write beside the file and put it there whole, so that nothing cut is ever found under its name."""
    draft = output.with_name(f".{output.name}.part")
    try:
        with draft.open("wb") as stream:
            written = _write(pieces, stream, console)
        draft.replace(output)
    except OSError as problem:
        raise CannotWrite(f"{output}: {problem.strerror}") from problem
    finally:
        draft.unlink(missing_ok=True)
    return written


def _write(pieces: Iterator[bytes], stream: BinaryIO, console: Console) -> int:
    written = 0
    for piece in pieces:
        stream.write(piece)
        written += len(piece)
        console.bar(status("Saving", size(written)))
    console.clear()
    stream.flush()
    return written
