"""The container engine of a measurement, by Docker's own command line."""

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
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

    def docker_said(self, *arguments: str, program: str = "docker", more: Mapping[str, str] | None = None) -> str:
        """Run one command; returns what it says on both streams."""
        return run([program, *arguments], {**self.environment, **(more or {})}, both=True)

    @property
    def driver(self) -> str:
        """The storage driver."""
        return self.docker("info", "--format", "{{.Driver}}")

    def remove_labelled(self, label: str) -> None:
        """Remove the containers that carry a label, then the images that do, and what only they held."""
        carries = ("--quiet", "--no-trunc", "--filter", f"label={label}")
        if containers := self.docker("ps", "--all", *carries).split():
            self.docker("rm", "--force", *containers)
        if images := self.docker("images", *carries).split():
            self.docker("rmi", "--force", *sorted(set(images)))

    def remove_untagged(self, built: Collection[str]) -> None:
        """Remove those of these images, by id, whose tag another build has taken since."""
        untagged = self.docker("images", "--quiet", "--no-trunc", "--filter", "dangling=true").split()
        if images := set(untagged) & set(built):
            self.docker("rmi", "--force", *sorted(images))


def run(command: Sequence[str], environment: Mapping[str, str], *, both: bool = False) -> str:
    """Run a program to its end; returns its standard output, or both streams as one.

    Raises `CommandFailed` with what it said.
    """
    errors = subprocess.STDOUT if both else subprocess.PIPE
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    if done.returncode:
        said = done.stdout if both or not done.stderr else done.stderr
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{said[-4000:]}")
    return done.stdout.strip()
