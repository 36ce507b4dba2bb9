"""`bloomery cancel`: end a build; its record stays."""

import argparse

from api.client.client import Client
from api.client.console import Console
from api.client.exits import Exit

SUMMARY = "end a build; its record stays"
EXAMPLES = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("builds", metavar="ID", nargs="+")


def run(options: argparse.Namespace, console: Console) -> int:
    """Cancel each; a build that has ended stays as it is, and that is said."""
    with Client.of_environment(console.environment) as client:
        for build in options.builds:
            state = client.cancel(build)["state"]
            if state in {"succeeded", "failed"}:
                console.warn(f"build {build} has ended already: {state}")
            else:
                console.say("Cancelled", f"build {build}")
    return Exit.DONE
