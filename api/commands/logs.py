"""`bloomery logs`: what a build printed."""

import argparse
from collections.abc import Iterable

from api.client.client import Client
from api.client.console import Console, Style
from api.client.exits import FAILED_BY_BLAME, Exit
from api.client.following import log_text
from api.client.render import only_colours, without_ansi
from api.client.sse import ServerSentEvent

SUMMARY = "what a build printed"
EXAMPLES = """\
examples:
  bloomery logs adddcf49de3c3d2e       # so far
  bloomery logs -f adddcf49de3c3d2e    # until the build ends; exits as `bloomery build` would
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("build", metavar="ID")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the build ends")


def run(options: argparse.Namespace, console: Console) -> int:
    """Print lines on stdout; with `-f`, exit as the build ended."""
    with Client.of_environment(console.environment) as client:
        client.build(options.build)  # a daemon or a build that is not there is said at once, not waited for
        _print(client.events(options.build) if options.follow else client.log(options.build), console)
        build = client.build(options.build)
    if not options.follow or build["state"] == "succeeded":
        return Exit.DONE
    return FAILED_BY_BLAME.get((build.get("failure") or {}).get("blame", ""), Exit.INFRASTRUCTURE)


def _print(events: Iterable[ServerSentEvent], console: Console) -> None:
    coloured = console.style is Style.FULL and console.out.isatty()
    for event in events:
        for line in log_text(event):
            console.out.write((only_colours(line) if coloured else without_ansi(line)) + "\n")
        console.out.flush()
