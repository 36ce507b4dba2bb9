"""`bloomery image`: a build's image as a file, and what is in it and why."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from api.client import Client
from api.console import Console
from api.exits import Exit
from api.render import Json, size, status, table
from cache.errors import Blame, Failure

SUMMARY = "a build's image: save it, list what it holds"
EXAMPLES = """\
examples:
  bloomery image save adddcf49de3c3d2e -o users.tar          # an OCI archive
  bloomery image save adddcf49de3c3d2e -o - | ssh edge docker load
  bloomery image contents adddcf49de3c3d2e
"""


class CannotWrite(Failure):
    """The file to write to can't be written to."""

    kind = "cannot_write"
    title = "The file cannot be written"
    blame = Blame.REQUEST


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    save = verbs.add_parser("save", help="write the OCI archive")
    save.add_argument("-o", "--output", required=True, metavar="FILE|-", help="where to; - is stdout")
    contents = verbs.add_parser("contents", help="every file and why it is there")
    contents.add_argument("--json", action="store_true", help="print the answer as JSON")
    for each in (save, contents):
        each.add_argument("build", metavar="ID")
        each.add_argument("--bin", metavar="NAME", dest="binary", help="which image, where the build made several")


def run(options: argparse.Namespace, console: Console) -> int:
    """Do one of the two."""
    with Client.of_environment(console.environment) as client:
        return _contents(client, options, console) if options.verb == "contents" else _save(client, options, console)


def _save(client: Client, options: argparse.Namespace, console: Console) -> int:
    pieces = client.image(options.build, options.binary)
    if options.output == "-":
        if console.out.isatty():
            raise CannotWrite("an archive is not for a terminal; pipe it, or name a file with -o")
        written = _write(pieces, console.out.buffer, console)
    else:
        written = _replace(pieces, Path(options.output), console)
    console.say("Saved", f"{size(written)} to {'stdout' if options.output == '-' else options.output}")
    return Exit.DONE


def _contents(client: Client, options: argparse.Namespace, console: Console) -> int:
    answer = client.contents(options.build, options.binary)
    if options.json:
        console.result(json.dumps(answer))
        return Exit.DONE
    rows = [_row(entry) for entry in answer["entries"]]
    for line in table(("MODE", "SIZE", "PATH", "WHY"), rows):
        console.result(line)
    return Exit.DONE


def _row(entry: Json) -> tuple[str, ...]:
    path = f"{entry['path']} -> {entry['target']}" if entry.get("target") else entry["path"]
    mark = {"directory": "d", "symlink": "l"}.get(entry["kind"], "-")
    return f"{mark}{entry['mode'] & 0o7777:04o}", size(entry["size"]), path, entry["reason"]


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
