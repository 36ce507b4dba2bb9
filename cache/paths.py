"""Which entries a source tree may hold: the rules of every door, so that none is easier to get through than another.

A path is cleaned when it is seen (`clean_path`); what only the whole tree can show is judged once it is complete
(`admitted`). Links are followed as the kernel would follow them: a target that stays inside by its text can still lead
out through another link of the same tree.
"""

import unicodedata
from collections.abc import Iterable

from cache.archive_errors import Rule, too_large, unsafe
from cache.archive_limits import ArchiveLimits
from cache.tree import EntryKind, SourceTree, TreeEntry

_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_MOST_LINKS = 40
"""As many as Linux follows in one path."""
_MOST_STEPS = 1_000_000
"""Components walked for all links of a tree together; more is an attack on the reader."""


def clean_path(name: str, limits: ArchiveLimits) -> str:
    """A path as a tree holds it: relative, NFC, without `.` or empty components; empty for the root itself.

    Raises `UnsafeEntry` or `UploadTooLarge`.
    """
    if name.startswith("/"):
        raise unsafe(Rule.ABSOLUTE, name)
    parts = [part for part in _printable(name, name).split("/") if part not in {"", "."}]
    if ".." in parts:
        raise unsafe(Rule.PARENT, name)
    path = "/".join(parts)
    if len(path) * 4 > min(limits.component, limits.path):  # a character is at most four bytes
        _measure(path, parts, limits)
    if len(parts) > limits.depth:
        raise too_large("depth", f"a path has {len(parts):,} components", limits.depth, len(parts))
    return path


def _measure(path: str, parts: list[str], limits: ArchiveLimits) -> None:
    if (found := len(path.encode())) > limits.path:
        raise too_large("path", f"a path is {found:,} bytes long", limits.path, found)
    if (found := max(len(part.encode()) for part in parts)) > limits.component:
        raise too_large("component", f"a file name is {found:,} bytes long", limits.component, found)


def clean_target(path: str, target: str, limits: ArchiveLimits) -> str:
    """A symbolic link's target, in NFC as the paths are, otherwise as written; where it leads is judged later.

    Raises `UnsafeEntry` or `UploadTooLarge`.
    """
    if not target:
        raise unsafe(Rule.EMPTY_NAME, path, "its link target is empty")
    target = _printable(target, path)
    if (found := len(target.encode())) > limits.path:
        raise too_large("path", f"a link target is {found:,} bytes long", limits.path, found)
    return target


def _printable(text: str, name: str) -> str:
    if text.isascii():
        if text.isprintable():
            return text
        raise unsafe(Rule.CONTROL_CHARACTER, name)
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text):
        raise unsafe(Rule.CONTROL_CHARACTER, name)
    return unicodedata.normalize("NFC", text)


def admitted(entries: Iterable[TreeEntry], limits: ArchiveLimits) -> SourceTree:
    """The tree that these cleaned entries make, directories that are not empty left out.

    Raises `UnsafeEntry` or `UploadTooLarge`.
    """
    listed = list(entries)
    _count(listed, limits)
    kinds: dict[str, EntryKind] = {}
    spelled: dict[str, str] = {}
    parents: set[str] = set()
    for entry in listed:
        if entry.path in kinds:
            raise unsafe(Rule.DUPLICATE, entry.path)
        kinds[entry.path] = entry.kind
        _no_collision(entry.path, spelled)
        parent = entry.path.rpartition("/")[0]
        while parent and parent not in parents:
            parents.add(parent)
            _no_collision(parent, spelled)
            parent = parent.rpartition("/")[0]
    for entry in listed:
        _no_leaf_above(entry.path, kinds, parents)
    _Links(listed).judge()
    return SourceTree.of(
        entry for entry in listed if entry.kind is not EntryKind.DIRECTORY or entry.path not in parents
    )


def judge_links(entries: Iterable[TreeEntry]) -> None:
    """Refuse a link that leads out of the tree, or round in circles; raises `UnsafeEntry`."""
    _Links(list(entries)).judge()


def _count(entries: list[TreeEntry], limits: ArchiveLimits) -> None:
    if (found := len(entries)) > limits.entries:
        raise too_large("entries", f"the tree has {found:,} entries", limits.entries, found)
    if (found := sum(len(entry.path.encode()) + len(entry.target.encode()) for entry in entries)) > limits.names:
        raise too_large("names", f"the paths are {found:,} bytes together", limits.names, found)
    if (found := sum(entry.size for entry in entries)) > limits.expanded:
        raise too_large("expanded", f"the files are {found:,} bytes together", limits.expanded, found)


def _no_collision(path: str, spelled: dict[str, str]) -> None:
    folded = path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())
    if spelled.setdefault(folded, path) != path:
        raise unsafe(Rule.COLLISION, path, f"the other one is `{spelled[folded]}`")


def _no_leaf_above(path: str, kinds: dict[str, EntryKind], parents: set[str]) -> None:
    kind = kinds[path]
    if kind is not EntryKind.DIRECTORY and path in parents:
        below = next(name for name in kinds if name.startswith(path + "/"))
        raise unsafe(Rule.BELOW_A_LINK if kind is EntryKind.SYMLINK else Rule.BELOW_A_FILE, below)


class _Links:
    """The symbolic links of a tree, followed through one another."""

    def __init__(self, entries: list[TreeEntry]) -> None:
        self._targets = {entry.path: entry.target for entry in entries if entry.kind is EntryKind.SYMLINK}
        self._steps = 0

    def judge(self) -> None:
        for path in self._targets:
            self._follow(path)

    def _follow(self, path: str) -> None:
        followed = 0
        here: list[str] = []
        ahead = path.split("/")[::-1]
        while ahead:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise unsafe(Rule.LINK_LOOP, path)
            part = ahead.pop()
            if part == "..":
                if not here:
                    raise unsafe(Rule.LINK_OUTSIDE, path)
                here.pop()
                continue
            if part in {"", "."}:
                continue
            here.append(part)
            target = self._targets.get("/".join(here))
            if target is None:
                continue
            followed += 1
            if followed > _MOST_LINKS:
                raise unsafe(Rule.LINK_LOOP, path)
            if target.startswith("/"):
                raise unsafe(Rule.LINK_OUTSIDE, path)
            here.pop()
            ahead += target.split("/")[::-1]
