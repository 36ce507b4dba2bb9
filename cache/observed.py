"""Whether a change of the sources can be in an image that was made of others (law 13). Pure.

It cannot if only contents have changed, of files that nothing opened which made it: a file that came or went, or may be
run now, can be noticed without opening it.
"""

from collections.abc import Collection

from cache.tree import EntryKind, SourceTree, TreeEntry


def noticed(before: SourceTree, after: SourceTree, opened: Collection[str]) -> tuple[str, ...]:
    """The paths of which what has changed may be in the image of the older tree, sorted."""
    old, new = ({entry.path: entry for entry in tree} for tree in (before, after))
    changed = (path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return tuple(
        sorted(path for path in changed if path in opened or not same_but_content(old.get(path), new.get(path)))
    )


def same_but_content(before: TreeEntry | None, after: TreeEntry | None) -> bool:
    """Whether both are files that differ in nothing that can be seen of them without opening them."""
    if before is None or after is None:
        return False
    return before.kind is after.kind is EntryKind.FILE and before.executable == after.executable
