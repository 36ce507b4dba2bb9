"""`bloomery show`: one build, all that is known of it."""

import argparse
import json

from api.client.client import Client
from api.client.console import Console
from api.client.exits import Exit
from api.client.render import record

SUMMARY = "one build: stages, reuse report, images, failure"
EXAMPLES = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("build", metavar="ID")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")


def run(options: argparse.Namespace, console: Console) -> int:
    """Print the record; 0 however the build ended."""
    with Client.of_environment(console.environment) as client:
        build = client.build(options.build)
    if options.json:
        console.result(json.dumps(build))
    else:
        for line in record(build):
            console.result(line)
    return Exit.DONE
