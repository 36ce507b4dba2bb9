"""Which files of a directory are not part of its source tree: `.dockerignore`, and what never is.

The patterns mean what they mean to `docker build`: the reading of lines follows moby's `patternmatcher/ignorefile`, the
matching its `patternmatcher` (https://github.com/moby/patternmatcher), which is Go's `filepath.Match` with `**` and the
rule that whatever is below a match matches too. The client walks directories with this, so it imports next to nothing.

Always left out: `.git` anywhere, `target` at the root (a directory or a link to one), and every directory below the
root that holds a CACHEDIR.TAG (https://bford.info/cachedir/). A source directory named `target` elsewhere stays.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from posixpath import normpath
from typing import Self

from cache.archive_errors import BadIgnoreFile, shown
from cache.tree import EntryKind, TreeEntry

IGNORE_FILE = ".dockerignore"
CACHE_TAG = "CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"

_WILD = re.compile(r"[*?\[\\]")


class _NoPattern(ValueError):  # noqa: N818 - reads as the cause it names
    """A pattern that `filepath.Match` would call malformed."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Patterns of one sign that follow one another; only the last run with a match decides."""

    ignores: bool
    matches: re.Pattern[str]
    fixed: tuple[str, ...]
    """Each pattern up to its first wildcard; what it can match begins so."""


class IgnoreRules:
    """The patterns of one `.dockerignore`, the last match deciding."""

    def __init__(self, runs: Iterable[_Run] = ()) -> None:
        self._last_first = tuple(runs)[::-1]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a `.dockerignore`; raises `BadIgnoreFile` with the line that is no pattern."""
        grouped: list[tuple[bool, list[str]]] = []
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
            if line.startswith("#") or not line.strip():
                continue
            pattern = line.strip()
            ignores = not pattern.startswith("!")
            try:
                pattern = _cleaned(pattern.removeprefix("!").strip())
                _expression(pattern)
            except _NoPattern as problem:
                detail = f"line {number} of {IGNORE_FILE}, `{shown(line)}`, is no pattern: {problem}"
                raise BadIgnoreFile(detail, line=number, pattern=shown(line)) from None
            if not grouped or grouped[-1][0] is not ignores:
                grouped.append((ignores, []))
            grouped[-1][1].append(pattern)
        return cls(_run(ignores, patterns) for ignores, patterns in grouped)

    def ignored(self, path: str) -> bool:
        """Whether the patterns leave this path out, by itself or by a directory above it."""
        for run in self._last_first:
            if run.matches.match(path):
                return run.ignores
        return False

    def prunable(self, directory: str) -> bool:
        """Whether a directory is left out with all that is below it, so that a walk need not enter it."""
        below = directory + "/"
        for run in self._last_first:
            if run.matches.match(directory):
                return run.ignores
            if not run.ignores and any(fixed.startswith(below) or below.startswith(fixed) for fixed in run.fixed):
                return False
        return False


def never_part(path: str, kind: EntryKind) -> bool:
    """Whether a path is left out whatever the patterns say: `.git` anywhere, `target` at the root."""
    if path == "target":
        return kind is not EntryKind.FILE
    return path.startswith("target/") or ".git" in path.split("/")


def below_git(path: str) -> bool:
    """Whether a path is a `.git` or lies in one: what even a listing's author cannot want."""
    return ".git" in path.split("/")


def is_cache_tag(beginning: bytes) -> bool:
    """Whether a file named CACHEDIR.TAG, of which this is the beginning, marks its directory as a cache."""
    return beginning.startswith(CACHE_SIGNATURE)


def prune(
    entries: Iterable[TreeEntry], rules: IgnoreRules, read: Callable[[TreeEntry], bytes]
) -> tuple[TreeEntry, ...]:
    """The entries that are left once all are known; `read` gives the beginning of a file.

    A root that is itself tagged as a cache is still what was asked for.
    """
    left = [entry for entry in entries if not never_part(entry.path, entry.kind)]
    caches = {
        entry.path.removesuffix(CACHE_TAG)
        for entry in left
        if entry.path.endswith("/" + CACHE_TAG) and entry.kind is EntryKind.FILE and is_cache_tag(read(entry))
    }
    return tuple(
        entry for entry in left if not rules.ignored(entry.path) and not (caches and _within(entry.path, caches))
    )


def _within(path: str, caches: set[str]) -> bool:
    end = 0
    path += "/"
    while (end := path.find("/", end) + 1) > 0:
        if path[:end] in caches:
            return True
    return False


def _cleaned(pattern: str) -> str:
    if not pattern:
        raise _NoPattern("nothing follows the `!`")
    pattern = normpath(pattern)
    return pattern.lstrip("/") or pattern


def _run(ignores: bool, patterns: list[str]) -> _Run:  # noqa: FBT001 - a value's member, not a switch
    together = "|".join(_expression(pattern) for pattern in patterns)
    fixed = []
    for pattern in patterns:
        wild = _WILD.search(pattern)
        fixed.append(pattern[: wild.start()] if wild else pattern)
    return _Run(ignores, re.compile(f"(?s:(?:{together})(?:/|\\Z))"), tuple(fixed))


def _expression(pattern: str) -> str:
    """The pattern as a regular expression that matches whole paths; raises `_NoPattern`."""
    if pattern.startswith("**") and not _WILD.search(pattern, 2) and pattern[2:3] != "/":
        return ".*" + re.escape(pattern[2:])  # moby compares only the end, so `**x` is also in `ax`
    written: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if not pattern.startswith("*", at):
                written.append("[^/]*")
                continue
            at += 1
            at += pattern.startswith("/", at)
            written.append("(?:.*/)?" if at < len(pattern) else ".*")
        elif character == "?":
            written.append("[^/]")
        elif character == "[":
            expression, at = _class(pattern, at)
            written.append(expression)
        elif character == "\\":
            if at == len(pattern):
                raise _NoPattern("nothing follows the last `\\`")
            written.append(re.escape(pattern[at]))
            at += 1
        else:
            written.append(re.escape(character))
    return re.sub(r"(?:\(\?:\.\*/\)\?){2,}", "(?:.*/)?", "".join(written))


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A `[...]` whose content begins at `at`, and where it ends; Go's rules: `^` negates, `-` and `]` are escaped."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _bound(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _bound(pattern, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
    members = "".join(ranges)
    if not members:
        return ("." if negated else "(?!)"), at + 1
    return f"[{'^' if negated else ''}{members}]", at + 1


def _bound(pattern: str, at: int) -> tuple[str, int]:
    if at < len(pattern) and pattern[at] == "\\":
        at += 1
    elif at < len(pattern) and pattern[at] in "-]":
        raise _NoPattern(f"`{pattern[at]}` in `[...]` needs a `\\` before it")
    if at + 1 >= len(pattern):
        raise _NoPattern("a `[` without its `]`")
    return pattern[at], at + 1
