"""What the client remembers of one directory between runs: each file's stamp and digest, so that it is not read again.

A file of its own under the user's cache directory, named by the directory's path: a line with the SHA-256 of the rest,
then JSON. A file that is damaged or of another format is as good as none; it is replaced whole, never written into.

A modification that keeps size, times and inode can only hide within one tick of the file system's clock, so nothing is
remembered of a file that had changed less than two seconds before the walk began (two seconds being the coarsest such
clock, FAT's). That is stricter than git's rule, which compares with the moment its index was written.
Source: git's Documentation/technical/racy-git.txt
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Stamp = tuple[int, int, int, int]
"""Size (bytes), mtime and ctime (ns), inode."""

_FORMAT = 1
_TICK_NS = 2_000_000_000


def stamp_of(status: os.stat_result) -> Stamp:
    """What changes when a file does."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def place_of(directory: str, environment: Mapping[str, str]) -> Path | None:
    """Where what is remembered of an absolute path is kept; None where the user has no cache directory."""
    cache = Path(environment.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        home = Path(environment.get("HOME", ""))
        if not home.is_absolute():
            return None
        cache = home / ".cache"
    return cache / "bloomery" / "worktrees" / hashlib.sha256(os.fsencode(directory)).hexdigest()


class Stamps:
    """The memory of one directory; `began` is when the walk began (Unix time, ns, by the file system's clock)."""

    def __init__(self, place: Path | None, began: int) -> None:
        self._place = place
        self._began = began
        self._old, self._facts = _read(place)
        self._new: dict[str, list[Any]] = {}
        self._changed = False

    def known(self, path: str, stamp: Stamp) -> str | None:
        """The hexadecimal digest of a file that has not changed since it was read, else None."""
        old = self._old.get(path)
        if old is None or (old[0], old[1], old[2], old[3]) != stamp:
            return None
        self._new[path] = old
        digest: str = old[4]
        return digest

    def learn(self, path: str, stamp: Stamp, digest: str) -> None:
        """A file was read, and it had this stamp before and after."""
        if max(stamp[1], stamp[2]) < self._began - _TICK_NS:
            self._new[path] = [*stamp, digest]
            self._changed = True

    def fact(self, name: str, about: list[str]) -> Any:
        """What was stated of exactly this before, else None."""
        held = self._facts.get(name)
        return held[1] if isinstance(held, list) and held[0] == about else None

    def state(self, name: str, about: list[str], value: object) -> None:
        """Remember something about the whole, such as that this tree at this commit is dirty."""
        self._facts[name] = [about, value]
        self._changed = True

    def save(self) -> None:
        """Keep it for the next run; a cache directory that can't be written to costs speed and nothing else."""
        if self._place is None or not (self._changed or len(self._new) != len(self._old)):
            return
        text = json.dumps({"format": _FORMAT, "files": self._new, "facts": self._facts}, separators=(",", ":")).encode()
        draft = self._place.with_suffix(f".{os.getpid()}")
        try:
            self._place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
            draft.replace(self._place)
        except OSError:
            return
        self._old, self._changed = self._new, False


def _read(place: Path | None) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    if place is None:
        return {}, {}
    try:
        head, _, text = place.read_bytes().partition(b"\n")
    except OSError:
        return {}, {}
    if head != hashlib.sha256(text).hexdigest().encode():
        return {}, {}
    found = json.loads(text)
    return (found["files"], found["facts"]) if found.get("format") == _FORMAT else ({}, {})
