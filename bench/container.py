"""A container of a toolchain image that stays, with the work folder of a measurement mounted at its own path."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.engine import Engine

_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CA = "/ca.pem"
_LIMITS = ("--cpus", "2", "--memory", "4g")
"""As those of our sandboxes."""


def trusting() -> dict[str, str]:
    """What cargo in a container must be told to reach a registry from here."""
    said = {"CARGO_HTTP_CAINFO": _CA, "SSL_CERT_FILE": _CA}
    return said | {name: os.environ[name] for name in _PROXIES if name in os.environ}


@dataclass(frozen=True, slots=True)
class Container:
    """A container that runs until it is removed."""

    engine: Engine
    id: str

    def run(self, folder: Path, *command: str) -> str:
        """Run a command in a folder of the work folder; returns what it says on either stream.

        Raises `CommandFailed` with its words.
        """
        return self.engine.docker_said("exec", "--workdir", str(folder), self.id, *command)

    def copy_out(self, path: str, to: Path) -> None:
        """Copy a file to the host."""
        self.engine.docker("cp", "--follow-link", f"{self.id}:{path}", str(to))

    def remove(self) -> None:
        """End it; what it wrote goes with it, but for what lies in the work folder."""
        self.engine.docker("rm", "--force", "--volumes", self.id)


def started(
    engine: Engine,
    image: str,
    *,
    work: Path,
    ca_bundle: Path,
    network: str,
    environment: Mapping[str, str],
    flags: tuple[str, ...] = _LIMITS,
) -> Container:
    """Start one; its cargo has an empty home at `/cargo`."""
    said = {"CARGO_HOME": "/cargo", **trusting(), **environment}
    given = [flag for name, value in said.items() for flag in ("--env", f"{name}={value}")]
    mounts = ["--volume", f"{work}:{work}", "--volume", f"{ca_bundle.resolve()}:{_CA}:ro"]
    command = [*flags, "--network", network, "--init", *given, *mounts, image, "sleep", "infinity"]
    return Container(engine, engine.docker("run", "--detach", *command))
