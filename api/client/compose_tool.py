"""The Compose that is installed: finds it, has it resolve its own files, and hands over to it.

Compose v2 is a plugin of `docker`; v1 is `docker-compose`. What they are asked here, both understand.
"""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from api.client.compose_file import BadComposeFile
from cache.errors import Blame, Failure

_PROJECT = "COMPOSE_PROJECT_NAME"
_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""What Compose looks for where no file is named, here and in the directories above."""


class NoCompose(Failure):
    """Neither Compose is installed."""

    kind = "no_compose"
    title = "Compose is not installed"
    blame = Blame.REQUEST


class Resolved(NamedTuple):
    """A Compose file as Compose reads it."""

    document: Mapping[str, Any]
    image_name: str
    """What Compose calls the image of `{service}` where the file does not say."""


class ComposeTool:
    """One of the two, with the options that say which files and which project."""

    def __init__(self, command: Sequence[str], options: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = [*command, *options]
        self._plugin = len(command) > 1
        self._environment = dict(environment)

    @classmethod
    def found(cls, options: Sequence[str], environment: Mapping[str, str]) -> "ComposeTool":
        """The plugin, or else the older program; `NoCompose`."""
        for command in (["docker", "compose"], ["docker-compose"]):
            try:
                asked = _ran([*command, "version"], environment)
            except FileNotFoundError:
                continue
            if asked.returncode == 0:
                return cls(command, options, environment)
        raise NoCompose("install docker-compose-plugin, or Debian's docker-compose; it runs what is built here")

    def resolved(self, files: Sequence[str], project: str | None) -> Resolved:
        """What `config` says; `BadComposeFile` with Compose's own words where it refuses."""
        import yaml  # noqa: PLC0415 - slow to load, and of no use to other verbs

        asked = _ran([*self._command, "config"], self._environment)
        if asked.returncode:
            words = asked.stderr.strip() or f"Compose ended with code {asked.returncode}"
            raise BadComposeFile(words)
        document = yaml.safe_load(asked.stdout)
        if self._plugin:
            return Resolved(document, f"{document['name']}-{{service}}")
        return Resolved(document, f"{_project(files, project, self._environment)}_{{service}}")

    def hand_over(self, words: Sequence[str]) -> NoReturn:
        """Become Compose: it has the terminal, the signals and the exit code from here on."""
        os.execvpe(self._command[0], [*self._command, *words], self._environment)  # noqa: S606 - Compose, as was asked


def _ran(words: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, env=dict(environment), capture_output=True, text=True, check=False)  # noqa: S603 - Compose, as was asked


def _project(files: Sequence[str], project: str | None, environment: Mapping[str, str]) -> str:
    """What v1 calls a project: as it was told, else as the directory of its first file."""
    directory = _directory(files, environment)
    told = project or environment.get(_PROJECT) or _written(directory / ".env") or directory.name
    return re.sub(r"[^-_a-z0-9]", "", told.lower()) or "default"


def _directory(files: Sequence[str], environment: Mapping[str, str]) -> Path:
    named = files or [name for name in environment.get("COMPOSE_FILE", "").split(":") if name]
    if named:
        return Path(named[0]).resolve().parent
    here = Path.cwd()
    return next((each for each in (here, *here.parents) if any((each / name).exists() for name in _NAMES)), here)


def _written(file: Path) -> str:
    """The project's name in a file of variables, which v1 heeds there."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return ""
    found = [value for line in lines for name, _, value in [line.partition("=")] if name.strip() == _PROJECT]
    return found[-1].strip().strip("'\"") if found else ""
