"""The options that every measurement has."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from bench.engine import Engine

TOOLCHAIN = "bloomery/toolchain:stable"


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked for."""

    runs: int
    engine: Engine
    network: str
    """`bridge` or `host`: what steps that need the network are connected to, ours and the other side's alike."""
    source: Path
    toolchain: str
    ca_bundle: Path
    """What the other side's builds trust; ours find theirs by themselves."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the common options; a measurement adds its own."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--runs", type=int, default=5, metavar="N", help="runs that count (default: 5)")
    add(
        "--engine",
        default=os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock",
        metavar="URL",
        help="the container engine (default: DOCKER_HOST, or Docker's socket)",
    )
    add("--network", choices=("bridge", "host"), default="bridge", help="for engines whose bridge has no way out: host")
    add("--source", type=Path, default=Path("examples/hyper-hello"), metavar="DIR", help="what is built")
    add("--toolchain", default=TOOLCHAIN, metavar="IMAGE", help=f"the toolchain image (default: {TOOLCHAIN})")
    add(
        "--ca-bundle",
        type=Path,
        default=Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"),
        metavar="FILE",
        help="PEM file that the other side's builds trust (default: SSL_CERT_FILE, or Debian's)",
    )
    return made


def read(found: argparse.Namespace) -> Options:
    """The common options as they were given."""
    return Options(
        found.runs, Engine(found.engine), found.network, found.source.resolve(), found.toolchain, found.ca_bundle
    )
