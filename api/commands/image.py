"""`bloomery image`: a build's image as a file, what is in it and why, and the symbols that are not."""

import argparse
import json
from pathlib import Path

from api.client.client import Client
from api.client.console import Console
from api.client.exits import Exit
from api.client.render import Json, size, table
from api.client.saving import save

SUMMARY = "a build's image: save it, list what it holds, get its debug symbols"
EXAMPLES = """\
examples:
  bloomery image save adddcf49de3c3d2e -o users.tar          # an OCI archive
  bloomery image save adddcf49de3c3d2e -o - | ssh edge docker load
  bloomery image contents adddcf49de3c3d2e
  bloomery image symbols adddcf49de3c3d2e -o users.debug
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    archive = verbs.add_parser("save", help="write the OCI archive")
    archive.add_argument("-o", "--output", required=True, metavar="FILE|-", help="where to; - is stdout")
    contents = verbs.add_parser("contents", help="every file and why it is there")
    contents.add_argument("--json", action="store_true", help="print the answer as JSON")
    symbols = verbs.add_parser("symbols", help="write the debug symbols that were stripped from the binary")
    symbols.add_argument("-o", "--output", metavar="FILE|-", help="where to (default: BINARY.debug, here)")
    for each in (archive, contents, symbols):
        each.add_argument("build", metavar="ID")
        each.add_argument("--bin", metavar="NAME", dest="binary", help="which image, where the build made several")


def run(options: argparse.Namespace, console: Console) -> int:
    """Do one of the three."""
    work = {"save": _save, "contents": _contents, "symbols": _symbols}[options.verb]
    with Client.of_environment(console.environment) as client:
        return work(client, options, console)


def _save(client: Client, options: argparse.Namespace, console: Console) -> int:
    save(client.image(options.build, options.binary), options.output, console)
    return Exit.DONE


def _symbols(client: Client, options: argparse.Namespace, console: Console) -> int:
    output = options.output or _debug_name(client, options)
    save(client.symbols(options.build, options.binary), output, console)
    return Exit.DONE


def _debug_name(client: Client, options: argparse.Namespace) -> str:
    """The name by which the binary asks for its symbols; a debugger looks for it beside the binary."""
    outcome = client.build(options.build).get("outcome") or {}
    binary = options.binary or next((image["binary"] for image in outcome.get("images", ())), "symbols")
    return f"{Path(binary).name}.debug"


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
