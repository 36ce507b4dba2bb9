"""`bloomery cache`: what is kept from build to build, and making room."""

import argparse
import json
import re

from api.client.client import Client
from api.client.console import Console
from api.client.exits import Exit
from api.client.render import Json, count, size, table

SUMMARY = "what is kept from build to build; prune it"
EXAMPLES = """\
examples:
  bloomery cache ls
  bloomery cache prune --keep 10GB --dry-run
"""
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("ls", help="records and bytes, by kind")
    prune = verbs.add_parser("prune", help="remove what is least worth its bytes; builds make it again")
    left = prune.add_mutually_exclusive_group(required=True)
    left.add_argument("--keep", type=_bytes, metavar="SIZE", help="how much may stay, such as 10GB")
    left.add_argument("--all", dest="keep", action="store_const", const=0, help="nothing need stay")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    for each in (listing, prune):
        each.add_argument("--json", action="store_true", help="print the answer as JSON")


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[2].lower() or "b") if found else None
    if found is None or unit is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 500MB or 10GiB")
    return int(float(found[1]) * unit)


def run(options: argparse.Namespace, console: Console) -> int:
    """Show or prune."""
    with Client.of_environment(console.environment) as client:
        answer = client.cache() if options.verb == "ls" else client.prune(options.keep, dry_run=options.dry_run)
    if options.json:
        console.result(json.dumps(answer))
        return Exit.DONE
    for line in table(("KIND", "RECORDS", "SIZE"), map(_row, answer["kinds"])):
        console.result(line)
    console.say(*_words(answer))
    return Exit.DONE


def _row(kind: Json) -> tuple[str, ...]:
    return kind["kind"], str(kind["records"]), size(kind["size"])


def _words(answer: Json) -> tuple[str, str]:
    """A verb and the rest of what there is to say."""
    if "ceiling" in answer:
        return "Holding", f"{size(answer['size'])} of {size(answer['ceiling'])}"
    records = count(sum(kind["records"] for kind in answer["kinds"]), "record")
    return ("Would remove" if answer["dry_run"] else "Removed"), f"{records}, {size(answer['size'])}"
