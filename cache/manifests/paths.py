"""Paths of a tree as manifests write them, worked out without a file system."""

import posixpath


def join(directory: str, path: str) -> str | None:
    """A path as seen from a directory of the tree, normalised; None where it leaves the tree."""
    if path.startswith("/"):
        return None
    joined = posixpath.normpath(posixpath.join(directory, path))
    if joined == ".":
        return ""
    return None if joined == ".." or joined.startswith("../") else joined


def within(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies below it; everything lies below the root `""`."""
    return not directory or path == directory or path.startswith(directory + "/")


def above(directory: str) -> tuple[str, ...]:
    """The directories above one, nearest first, down to the tree's root `""`."""
    found = []
    while directory:
        directory = posixpath.dirname(directory)
        found.append(directory)
    return tuple(found)


def relative(path: str, directory: str) -> str:
    """A path of the tree as written from a directory of the tree."""
    return posixpath.relpath("/" + path, "/" + directory)
