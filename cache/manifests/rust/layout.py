"""Where files and directories are in a tree: cargo's path rules, answered without a file system."""

import fnmatch
import posixpath
import re
from collections.abc import Iterable


class Layout:
    """The directories of a tree, built once from its files' paths."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.files = frozenset(paths)
        self._children: dict[str, set[str]] = {"": set()}
        for path in self.files:
            self._add(path)

    def _add(self, path: str) -> None:
        parent, name = posixpath.split(path)
        siblings = self._children.get(parent)
        if siblings is None:
            siblings = self._children[parent] = set()
            self._add(parent)
        siblings.add(name)

    def is_directory(self, path: str) -> bool:
        """Whether files lie below this path."""
        return path in self._children

    def names(self, directory: str) -> tuple[str, ...]:
        """What is in a directory, sorted; nothing where there is none."""
        return tuple(sorted(self._children.get(directory, ())))

    def below(self, directory: str) -> tuple[str, ...]:
        """All files below a directory, sorted."""
        found: list[str] = []
        waiting = [directory]
        while waiting:
            current = waiting.pop()
            for name in self._children.get(current, ()):
                path = posixpath.join(current, name)
                if path in self._children:
                    waiting.append(path)
                else:
                    found.append(path)
        return tuple(sorted(found))

    def match(self, pattern: str) -> tuple[str, ...]:
        """The directories that a member pattern names: `*`, `?`, `[…]` within a component, `**` over components."""
        found = {""}
        for part in posixpath.normpath(pattern).split("/"):
            found = {deeper for directory in found for deeper in self._step(directory, part)}
        return tuple(sorted(path for path in found if path in self._children))

    def _step(self, directory: str, part: str) -> Iterable[str]:
        if part == "..":
            return [posixpath.dirname(directory)] if directory else []
        if part == ".":
            return [directory]
        if part == "**":
            return [directory, *self._directories_below(directory)]
        if not _is_pattern(part):
            return [posixpath.join(directory, part)]
        matches = re.compile(fnmatch.translate(part))
        return [
            posixpath.join(directory, name) for name in self._children.get(directory, ()) if matches.fullmatch(name)
        ]

    def _directories_below(self, directory: str) -> list[str]:
        found: list[str] = []
        waiting = [directory]
        while waiting:
            current = waiting.pop()
            inner = [posixpath.join(current, name) for name in self._children.get(current, ())]
            inner = [path for path in inner if path in self._children]
            found.extend(inner)
            waiting.extend(inner)
        return found


def _is_pattern(part: str) -> bool:
    return any(sign in part for sign in "*?[")
