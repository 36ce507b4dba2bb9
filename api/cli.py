"""The command line: finds the verb, loads that verb's module alone, and turns how it ends into words and an exit code.

The module of a client's verb has `SUMMARY`, `EXAMPLES`, `configure(parser)` and `run(options, console) -> int`; that of
a verb that runs where the daemon runs has `add_parser(subparsers)` and `run(options, environment) -> int`.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from api.client.console import Console
from api.client.exits import FAILED_BY_BLAME, Exit
from api.client.render import problem
from cache.errors import Failure

VERBS = {
    "build": "build a source tree to a runtime image",
    "compose": "build the services of a Compose file, and hand over to Compose",
    "explain": "what a build would reuse, and why not more",
    "logs": "what a build printed; -f follows it",
    "ls": "builds, newest first",
    "show": "one build: stages, reuse report, images, failure",
    "cancel": "end a build; its record stays",
    "image": "a build's image: save it, list what it holds, get its debug symbols",
    "lockfile": "the Cargo.lock that a build made; commit it to keep it",
    "cache": "what is kept from build to build; prune it",
    "toolchain": "make, list and check toolchain images (where the daemon runs)",
    "serve": "run the daemon",
}
"""The verbs, so that none need be loaded to list them; a test holds the lines to the modules' own."""

_HERE = frozenset({"toolchain", "serve"})
"""The verbs that are no client's."""

_END = """
`bloomery VERB --help` says more.

The daemon is at BLOOMERY_URL (default http://127.0.0.1:7878); BLOOMERY_TOKEN is sent along where it wants one.

  docker run --rm $(bloomery build .)
"""


def usage() -> str:
    """The text of `bloomery --help`."""
    verbs = "".join(f"  {name:<10} {summary}\n" for name, summary in VERBS.items())
    return f"usage: bloomery VERB …\n\nSource trees in, runtime images out.\n\n{verbs}{_END}"


def command(arguments: Sequence[str], console: Console) -> int:
    """Run the command line; returns the exit code, except that argparse leaves by `SystemExit` after its own words."""
    verb = arguments[0] if arguments else ""
    if verb in {"", "-h", "--help", "help"}:
        console.result(usage().rstrip("\n"))
        return Exit.DONE if verb else Exit.USAGE
    if verb in {"-V", "--version"}:
        from api.version import own_version  # noqa: PLC0415 - slow to load, and only here

        console.result(f"bloomery {own_version()}")
        return Exit.DONE
    if verb not in VERBS:
        console.error(f"`{verb}` is no verb of bloomery; there are {', '.join(VERBS)}")
        return Exit.USAGE
    return _ended(verb, arguments[1:], console)


def _ended(verb: str, arguments: Sequence[str], console: Console) -> int:
    """Parse, run, and put into words what a command raises."""
    module = import_module(f"api.commands.{verb}")
    options = _parsed(verb, module, arguments, console.width)
    try:
        if verb in _HERE:
            return int(module.run(options, console.environment))
        return int(module.run(options, console))
    except Failure as failure:
        return _failed(failure, console, as_json=getattr(options, "json", False))
    except KeyboardInterrupt:
        console.clear()
        console.error("interrupted")
        return Exit.INTERRUPTED


def _parsed(verb: str, module: ModuleType, arguments: Sequence[str], width: int) -> argparse.Namespace:
    if verb in _HERE:
        parser = argparse.ArgumentParser(prog="bloomery")
        module.add_parser(parser.add_subparsers(metavar="VERB"))
        return parser.parse_args([verb, *arguments])
    parser = argparse.ArgumentParser(
        prog=f"bloomery {verb}",
        description=module.SUMMARY,
        epilog=module.EXAMPLES or None,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=width),  # else it loads shutil
    )
    module.configure(parser)
    return parser.parse_args(arguments)


def _failed(failure: Failure, console: Console, *, as_json: bool) -> int:
    """Words on stderr; with --json also the problem on stdout, so that a program need not read words."""
    shown = {"kind": failure.kind, "title": failure.title, "detail": failure.detail, "blame": str(failure.blame)}
    first, *rest = problem({**shown, "evidence": failure.evidence})
    console.error(first)
    console.lines(rest)
    if as_json:
        import json  # noqa: PLC0415 - only here

        console.result(json.dumps({"problem": {**shown, "evidence": failure.evidence}}))
    return FAILED_BY_BLAME[str(failure.blame)]
