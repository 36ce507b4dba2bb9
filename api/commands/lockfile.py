"""`bloomery lockfile`: the Cargo.lock that a build made because the source has none."""

import argparse

from api.client.client import Client
from api.client.console import Console
from api.client.exits import Exit
from api.client.saving import save

SUMMARY = "the Cargo.lock that a build made; commit it to keep it"
EXAMPLES = """\
examples:
  bloomery lockfile adddcf49de3c3d2e -o Cargo.lock
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("build", metavar="ID")
    parser.add_argument("-o", "--output", default="-", metavar="FILE|-", help="where to (default: -, stdout)")


def run(options: argparse.Namespace, console: Console) -> int:
    """Get it; text, so a terminal may have it, too."""
    with Client.of_environment(console.environment) as client:
        pieces = client.lockfile(options.build)
        if options.output == "-":
            console.result(b"".join(pieces).decode("utf-8", "replace").removesuffix("\n"))
        else:
            save(pieces, options.output, console)
    return Exit.DONE
