"""`bloomery toolchain make|ls|check`: the toolchain images of the engine on this machine, without the daemon.

Light on purpose: what does the work is imported when it is wanted.
"""

import argparse
import re
from collections.abc import Mapping

SUMMARY = "make, list and check toolchain images (where the daemon runs)"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb and its own verbs."""
    parser = subparsers.add_parser(
        "toolchain",
        help=SUMMARY,
        description="The toolchain images of the engine on this machine; the daemon need not run.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--engine", metavar="URL", help="the engine's socket (default: the configuration's, DOCKER_HOST)"
    )
    shared.add_argument("--config", metavar="FILE", help="the daemon's configuration")
    shared.add_argument("--json", action="store_true", help="results as JSON")

    make = verbs.add_parser("make", parents=[shared], help="make a toolchain image")
    make.add_argument("name", metavar="NAME", type=_name, help="the name to offer it under, such as stable")
    source = make.add_mutually_exclusive_group()
    source.add_argument(
        "--from-rustup", metavar="NAME", help="from Debian's packages and this toolchain of the host (default: NAME)"
    )
    source.add_argument("--from-image", metavar="REF", help="from an image that has cargo, such as rust:1.95")
    make.add_argument(
        "--with", dest="packages", metavar="PACKAGE", nargs="+", action="extend", default=[], type=_package,
        help="Debian packages to add",
    )  # fmt: skip
    make.add_argument("--tag", metavar="REF", help="the image's reference (default: bloomery/toolchain:NAME)")
    make.add_argument("--refresh", action="store_true", help="make the Debian root file system anew")

    verbs.add_parser("ls", parents=[shared], help="list the toolchains that are offered")
    verbs.add_parser("check", parents=[shared], help="compile and run a crate with each of them")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Do it; returns the exit code."""
    from api.commands import toolchain_verbs  # noqa: PLC0415 - the client starts without it

    return toolchain_verbs.run(args, environ)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: lower-case letters, digits, '.', '_', '-', at most 64")
    return text


def _package(text: str) -> str:
    if not _PACKAGE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a Debian package")
    return text
