"""The Compose that is installed: finds it, has it resolve its own files, and hands over to it.

Compose v2 is a plugin of `docker`; v1 is `docker-compose`. What they are asked here, both understand.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from api.client.compose_answers import cache_of, keep, key_of, places, recalled
from api.client.compose_file import BadComposeFile
from cache.errors import Blame, Failure

_OLDER = "docker-compose"
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
        try:
            if _ran(["docker", "compose", "version"], environment).returncode == 0:
                return cls(["docker", "compose"], options, environment)
        except FileNotFoundError:
            pass  # without a docker there may still be the other
        if any(os.access(place, os.X_OK) for place in places(_OLDER, environment)):
            return cls([_OLDER], options, environment)
        raise NoCompose("install docker-compose-plugin, or Debian's docker-compose; it runs what is built here")

    def resolved(self, files: Sequence[str], project: str | None, variables: str | None = None) -> Resolved:
        """What `config` says, now or when it was asked about the very same.

        `variables` is the file of `--env-file`. `BadComposeFile` with Compose's own words where it refuses.
        """
        read = _files(files, self._environment)
        env = Path(variables) if variables else _directory(files, self._environment) / ".env"
        kept, key = cache_of(self._environment), key_of(self._command, read, env, self._environment)
        answer = recalled(kept, key) if kept is not None and key is not None else None
        if answer is not None:
            return Resolved(*json.loads(answer))
        found = self._asked(files, project)
        if kept is not None and key is not None:
            keep(kept, key, json.dumps(found))
        return found

    def _asked(self, files: Sequence[str], project: str | None) -> Resolved:
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


def _files(files: Sequence[str], environment: Mapping[str, str]) -> list[Path]:
    """The files that Compose reads: those that are named, or the usual ones with what is to go over them."""
    if named := _named(files, environment):
        return [Path(name) for name in named]
    directory = _directory(files, environment)
    first = next((directory / name for name in _NAMES if (directory / name).exists()), None)
    over = (directory / name.replace(".y", ".override.y") for name in _NAMES)
    return [*([first] if first else []), *(path for path in over if path.exists())]


def _named(files: Sequence[str], environment: Mapping[str, str]) -> Sequence[str]:
    return files or [name for name in environment.get("COMPOSE_FILE", "").split(":") if name]


def _directory(files: Sequence[str], environment: Mapping[str, str]) -> Path:
    if named := _named(files, environment):
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
