"""`bloomery ls`: the builds there were, newest first."""

import argparse
import json
import time

from api.client.client import Client
from api.client.console import Console
from api.client.exits import Exit
from api.client.render import Json, age, duration, references, seconds_of, table

SUMMARY = "builds, newest first"
EXAMPLES = """\
examples:
  bloomery ls --state running
  bloomery ls --json | jq -r '.[].id'
"""
_HEADINGS = ("BUILD", "STATE", "PROJECT", "REUSED", "TOOK", "CREATED", "IMAGE")
_PAGE = 500


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add = parser.add_argument
    add("--state", choices=("queued", "running", "succeeded", "failed", "cancelled"), help="only these")
    add("--limit", type=_positive, default=20, metavar="N", help="at most so many (default: 20)")
    add("--json", action="store_true", help="print the records as a JSON list")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def run(options: argparse.Namespace, console: Console) -> int:
    """Print a table, or the records."""
    with Client.of_environment(console.environment) as client:
        found = _found(client, options.state, options.limit)
    if options.json:
        console.result(json.dumps(found))
        return Exit.DONE
    now = time.time()
    for line in table(_HEADINGS, [_row(build, now) for build in found]):
        console.result(line)
    return Exit.DONE


def _found(client: Client, state: str | None, limit: int) -> list[Json]:
    found: list[Json] = []
    cursor: str | None = None
    while len(found) < limit:
        page = client.builds(state=state, limit=min(_PAGE, limit - len(found)), cursor=cursor)
        found += page["builds"]
        cursor = page.get("next")
        if cursor is None:
            break
    return found


def _row(build: Json, now: float) -> tuple[str, ...]:
    outcome = build.get("outcome") or {}
    return (
        build["id"],
        (build.get("failure") or {}).get("kind") or build["state"],
        outcome.get("project") or build["request"].get("project") or "-",
        (outcome.get("reuse") or {}).get("rung", "-"),
        duration(seconds_of(build)) if build.get("finished_at") else "-",
        age(now - build["created_at"]),
        " ".join(references(build)) or "-",
    )
