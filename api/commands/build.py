"""`bloomery build`: a directory in, an image reference out."""

import argparse
import json
import os

from api.client.client import Client
from api.client.console import Console
from api.client.exits import FAILED_BY_BLAME, Exit
from api.client.following import Teller, rendered
from api.client.render import Json, problem, references, report
from api.client.source import Source, add_options

SUMMARY = "build a source tree to a runtime image"
EXAMPLES = """\
examples:
  bloomery build -t shop/users            # the current directory
  docker run --rm $(bloomery build .)     # only the image reference is on stdout
  bloomery build --bin api --bin worker -t api=shop/api -t worker=shop/worker services/
  bloomery build -t registry.example/shop/users:1 --push
  bloomery build --link static --features tls,metrics --check "/app/users --version"

exit codes: 0 built, 1 the source failed, 2 usage or request, 3 the daemon, the engine or a limit failed or the build
was cancelled, 130 interrupted
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_options(parser)
    add = parser.add_argument
    add("--detach", "-d", action="store_true", help="print the build's id and do not wait")
    add("--json", action="store_true", help="print the build's record as JSON")
    add(
        "--verify",
        action="store_true",
        help="build it again clean behind the answer; `bloomery show` tells if it differs",
    )
    add(
        "--push",
        action=argparse.BooleanOptionalAction,
        help="push the image to each registry that a tag names (default: as the daemon is configured)",
    )
    add(
        "--cancel-on-interrupt",
        action="store_true",
        help="Ctrl-C cancels the build (also: BLOOMERY_ON_INTERRUPT=cancel); by default it goes on in the daemon",
    )


def run(options: argparse.Namespace, console: Console) -> int:
    """Build, follow, report; returns the exit code."""
    with Client.of_environment(console.environment) as client:
        source = Source(options, console)
        if options.verify:
            source.request["verify"] = True
        if options.push is not None:
            source.request["push"] = options.push
        key = os.urandom(16).hex()
        build = source.ask(client, lambda: client.create_build(source.request, key))
        if options.detach:
            console.result(json.dumps(build) if options.json else build["id"])
            return Exit.DONE
        teller = Teller(console)
        try:
            build = _followed(client, build, teller)
        except KeyboardInterrupt:
            cancels = options.cancel_on_interrupt or console.environment.get("BLOOMERY_ON_INTERRUPT") == "cancel"
            return _interrupted(client, build["id"], console, cancels=cancels)
    if options.json:
        console.result(json.dumps(build))
    return _told(build, console, teller, references_too=not options.json)


def _followed(client: Client, build: Json, teller: Teller) -> Json:
    if build["state"] in {"succeeded", "failed", "cancelled"}:
        return build
    for event in client.events(build["id"]):
        teller.tell(event)
    return client.build(build["id"])


def _told(build: Json, console: Console, teller: Teller, *, references_too: bool) -> int:
    """Say how it ended."""
    if build["state"] == "succeeded":
        console.lines(report(build, teller.notes))
        if references_too:
            for reference in references(build):
                console.result(reference)
        return Exit.DONE
    if build["state"] == "cancelled":
        console.error(f"build {build['id']} was cancelled")
        return Exit.INFRASTRUCTURE
    if not teller.diagnosed:
        for diagnostic in build.get("diagnostics", ()):
            console.lines(rendered(diagnostic))
    failure = build.get("failure") or {}
    first, *rest = problem(failure)
    console.error(first)
    console.lines([*rest, f"  build {build['id']}; `bloomery logs {build['id']}` shows all of it"])
    return FAILED_BY_BLAME.get(failure.get("blame", ""), Exit.INFRASTRUCTURE)


def _interrupted(client: Client, build: str, console: Console, *, cancels: bool) -> int:
    """Ctrl-C while following: say which of the two happened, and how to have the other."""
    console.clear()
    client.close()
    if cancels:
        client.cancel(build)
        console.say("Cancelled", f"build {build}")
        return Exit.INTERRUPTED
    console.say("Detached", f"build {build} goes on in the daemon")
    console.lines(
        [
            f"{'':13}cancel it:      bloomery cancel {build}",
            f"{'':13}follow it:      bloomery logs -f {build}",
            f"{'':13}next time:      --cancel-on-interrupt, or BLOOMERY_ON_INTERRUPT=cancel",
        ]
    )
    return Exit.INTERRUPTED
