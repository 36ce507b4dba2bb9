"""What Compose said of its files the last time, for as long as nothing has changed that it reads.

Compose takes a second to start, which is ten times an unchanged build. What it resolves follows from its files, the
variables that they name, and itself; files that lead to others (`extends`, `include`) are asked of it every time.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from api.client.stamps import place_of

_LEADS_ON = re.compile(rb"^[^#\n]*\b(?:extends|include)\b", re.MULTILINE)
_VARIABLE = re.compile(rb"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_ITS_OWN = ("COMPOSE_", "DOCKER_")
"""Variables that Compose itself heeds."""


def key_of(
    command: Sequence[str], files: Sequence[Path], variables: Path, environment: Mapping[str, str]
) -> str | None:
    """Names all that the answer to `config` follows from; None where that cannot be told from these files alone."""
    try:
        texts = [file.read_bytes() for file in files]
        program = [str(part) for part in _stamp(command[0], environment)]
    except OSError:
        return None
    if not texts or any(_LEADS_ON.search(text) for text in texts):
        return None
    try:
        texts.append(variables.read_bytes())
    except OSError:
        texts.append(b"")
    named = {name.decode() for text in texts for name in _VARIABLE.findall(text)}
    heeded = sorted((name, value) for name, value in environment.items() if name in named or name.startswith(_ITS_OWN))
    parts = [[*command], program, [str(file.absolute()) for file in files], heeded, str(Path.cwd())]
    digests = [hashlib.sha256(text).hexdigest() for text in texts]
    return hashlib.sha256(json.dumps([parts, digests]).encode()).hexdigest()


def recalled(directory: Path, key: str) -> str | None:
    """The answer that is kept under this key."""
    try:
        return (directory / key).read_text()
    except OSError:
        return None


def keep(directory: Path, key: str, answer: str, most: int = 50) -> None:
    """Keep an answer, and no more than so many; a cache that cannot be written is none."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        half = directory / f".{key}.{os.getpid()}"
        half.write_text(answer)
        half.replace(directory / key)
        _forget(directory.iterdir(), most)
    except OSError:
        return


def _forget(kept: Iterable[Path], most: int) -> None:
    by_age = sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[most:]:
        path.unlink(missing_ok=True)


def cache_of(environment: Mapping[str, str]) -> Path | None:
    """Where answers are kept; None where the user has no cache directory."""
    place = place_of("", environment)
    return place.parent.parent / "compose" if place is not None else None


def places(program: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Where the system looks for a program."""
    for directory in environment.get("PATH", os.defpath).split(os.pathsep):
        yield os.path.join(directory, program)  # noqa: PTH118 - as the system does


def _stamp(program: str, environment: Mapping[str, str]) -> tuple[str, int, int]:
    """The program as it is installed now."""
    for place in places(program, environment):
        if os.access(place, os.X_OK):
            found = os.stat(place)  # noqa: PTH116 - the same
            return place, found.st_mtime_ns, found.st_size
    raise FileNotFoundError(program)
