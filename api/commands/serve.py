"""`bloomery serve`: the daemon, in the foreground.

Light on purpose: what does the work is imported when it is wanted.
"""

import argparse
import sys
from collections.abc import Mapping

SUMMARY = "run the daemon"
_USAGE = 2


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb; its options go over the file's settings."""
    parser = subparsers.add_parser(
        "serve",
        help=SUMMARY,
        description="Run the daemon until SIGTERM or SIGINT. config.example.toml has every setting.",
    )
    parser.add_argument("--config", metavar="FILE", help="settings (default: none, every setting at its default)")
    parser.add_argument("--state-dir", metavar="DIR", help="where everything is kept ([server] state_dir)")
    parser.add_argument("--listen", metavar="HOST:PORT", help="where to listen; port 0: any ([server] listen)")
    parser.add_argument("--engine", metavar="URL", help="the container engine ([engine] url, DOCKER_HOST)")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Serve; returns the exit code, 2 for a configuration that cannot be used. Other failures are raised."""
    import asyncio  # noqa: PLC0415 - the client starts without all of these
    from dataclasses import replace  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from api.server import serve  # noqa: PLC0415
    from daemon.config import Config  # noqa: PLC0415
    from daemon.config_file import ConfigError, read_config  # noqa: PLC0415

    try:
        config = read_config(Path(args.config)) if args.config else Config()
        over = {name: value for name in ("state_dir", "listen") if (value := getattr(args, name)) is not None}
        config = replace(config, server=replace(config.server, **over))
        if args.engine is not None:
            config = replace(config, engine=replace(config.engine, url=args.engine))
        return asyncio.run(serve(config, environ))
    except ConfigError as error:
        print(f"bloomery serve: {error.detail}", file=sys.stderr)  # noqa: T201 - for the operator, before there is a log
        return _USAGE
