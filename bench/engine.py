"""The container engine of a measurement, by Docker's own command line."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class CommandFailed(Exception):  # noqa: N818 - reads as what happened
    """A program that a measurement runs ended with an error; its words are the message."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine by its URL."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with this engine in it."""
        return {**os.environ, "DOCKER_HOST": self.url}

    def docker(self, *arguments: str, program: str = "docker", more: Mapping[str, str] | None = None) -> str:
        """Run one command; returns what it prints."""
        return run([program, *arguments], {**self.environment, **(more or {})})

    @property
    def driver(self) -> str:
        """The storage driver."""
        return self.docker("info", "--format", "{{.Driver}}")

    def remove_images(self, label: str) -> None:
        """Remove the images that carry a label, and what only they held."""
        found = self.docker("images", "--quiet", "--no-trunc", "--filter", f"label={label}").split()
        if found:
            self.docker("rmi", "--force", *sorted(set(found)))


def run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a program to its end; raises `CommandFailed` with what it said."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout.strip()
