"""`bloomery compose`: Compose's own file, with its services built here and run by Compose itself."""

import argparse

from api.client.board import Board
from api.client.client import Client
from api.client.compose_file import ServiceBuild, builds_of, chosen, require_known
from api.client.compose_tool import ComposeTool
from api.client.console import Console
from api.client.exits import FAILED_BY_BLAME, Exit
from api.client.fleet import Fleet, told

SUMMARY = "build the services of a Compose file, and hand over to Compose"
EXAMPLES = """\
examples:
  bloomery compose build                            # every service that has a `build`
  bloomery compose -f compose.prod.yaml up -d       # the same, then Compose runs what was built
  bloomery compose build users router --push
  bloomery compose logs -f                          # Compose's own, as down and config

A Dockerfile is not read: `bloomery.toml`, or what is found in the context, says how a service is built; `x-bloomery`
of a service goes over it (binary, directory, features, link, profile, project, toolchain).

exit codes: 0 built, 1 a service failed (the others went on), 2 usage or the Compose file, 3 the daemon or a limit
failed, otherwise Compose's own
"""
_OURS = "build", "up"


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options; what comes after the subcommand is the subcommand's."""
    add = parser.add_argument
    add("-f", "--file", action="append", default=[], metavar="FILE", dest="files", help="as Compose's; repeatable")
    add("-p", "--project-name", metavar="NAME", help="as Compose's")
    add("--profile", action="append", default=[], metavar="NAME", dest="profiles", help="as Compose's; repeatable")
    add("--env-file", metavar="FILE", help="as Compose's")
    add("subcommand", choices=("build", "up", "down", "logs", "config"), metavar="build|up|down|logs|config")
    add("words", nargs=argparse.REMAINDER, metavar="…", help="services, and Compose's own options")


def run(options: argparse.Namespace, console: Console) -> int:
    """Build what is to be built; then, but for `build`, become Compose."""
    tool = ComposeTool.found(_compose_options(options), console.environment)
    if options.subcommand not in _OURS:
        tool.hand_over([options.subcommand, *options.words])
    resolved = tool.resolved(options.files, options.project_name, options.env_file)
    if options.subcommand == "build":
        asked = _build_parser().parse_args(options.words)
        require_known(asked.services, resolved.document)
        wanted = set(asked.services) or set(resolved.document.get("services") or {})
    else:
        asked = _build_parser().parse_args([])
        wanted = chosen(resolved.document, options.words)
    builds = [build for build in builds_of(resolved.document, resolved.image_name) if build.service in wanted]
    code = _built(builds, asked, console)
    if code == Exit.DONE and options.subcommand == "up":
        tool.hand_over(["up", "--no-build", *(word for word in options.words if word != "--build")])
    return code


def _built(builds: list[ServiceBuild], asked: argparse.Namespace, console: Console) -> int:
    for build in builds:
        for key in build.unused:
            console.warn(f"services.{build.service}.build.{key} is of a Dockerfile, and of no use here")
    requests = {} if asked.push is None else {"push": asked.push}
    more = [f"--lineage={asked.lineage}"] if asked.lineage else []
    more += ["--no-cache"] if asked.no_cache else []
    with Client.of_environment(console.environment) as client:
        fleet = Fleet(client, console, Board(console, [build.service for build in builds]), more)
        try:
            ended = fleet.build(builds, requests)
        except KeyboardInterrupt:
            console.lines([f"{name}: build {build} goes on in the daemon" for name, build in fleet.begun.items()])
            return Exit.INTERRUPTED
    failed = [each for each in ended if not each.succeeded]
    if failed:
        console.error(f"{len(failed)} of {len(ended)} services failed")
        console.lines(told(failed))
        return min(FAILED_BY_BLAME.get(each.blame, Exit.INFRASTRUCTURE) for each in failed)
    for each in ended:
        assert each.build is not None
        console.result(each.build["outcome"]["images"][0]["reference"])
    return Exit.DONE


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bloomery compose build")
    add = parser.add_argument
    add("services", nargs="*", metavar="SERVICE")
    add("--push", action=argparse.BooleanOptionalAction, default=None, help="push each image to its registry")
    add("--lineage", metavar="NAME", help="of every build (default: main)")
    add("--no-cache", action="store_true", help="reuse nothing")
    return parser


def _compose_options(options: argparse.Namespace) -> list[str]:
    words = [word for file in options.files for word in ("-f", file)]
    words += ["-p", options.project_name] if options.project_name else []
    words += [word for profile in options.profiles for word in ("--profile", profile)]
    return words + (["--env-file", options.env_file] if options.env_file else [])
