"""`bloomery explain`: what a build would reuse, and why not more; nothing is built."""

import argparse
import json

from api.client.client import Client
from api.client.console import Console
from api.client.exits import Exit
from api.client.render import explanation
from api.client.source import Source, add_options

SUMMARY = "what a build would reuse, and why not more"
EXAMPLES = """\
examples:
  bloomery explain
  bloomery explain --features tls services/users
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(options: argparse.Namespace, console: Console) -> int:
    """Ask and print."""
    with Client.of_environment(console.environment) as client:
        source = Source(options, console)
        answer = source.ask(client, lambda: client.explain(source.request))
    if options.json:
        console.result(json.dumps(answer))
    else:
        for line in explanation(answer):
            console.result(line)
    return Exit.DONE
