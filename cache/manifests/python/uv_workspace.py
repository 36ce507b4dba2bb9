"""uv's workspaces: one `uv.lock` at the root serves every member.

Source: https://docs.astral.sh/uv/concepts/projects/workspaces/
"""

import posixpath
import re

from cache.manifests.document import Table, parse
from cache.manifests.paths import above, relative, within
from cache.manifests.python.pyproject import PYPROJECT
from cache.manifests.source import SourceFiles

UV_LOCK = "uv.lock"
_WILD = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


def uv_lock(files: SourceFiles, directory: str) -> str | None:
    """A directory's own uv.lock with its pyproject.toml, or the nearest above that has it as a workspace's member."""
    for place in (directory, *above(directory)):
        path, root = posixpath.join(place, UV_LOCK), posixpath.join(place, PYPROJECT)
        if path in files and root in files and (place == directory or directory in members(files, root)):
            return path
    return None


def members(files: SourceFiles, root: str) -> tuple[str, ...]:
    """The directories that `[tool.uv.workspace]` of a pyproject.toml names, its own apart."""
    table: Table | None = parse(root, files.read(root))
    for key in ("tool", "uv", "workspace"):
        table = table.table(key) if table else None
    if table is None:
        return ()
    top = posixpath.dirname(root)
    named, excluded = table.texts("members") or (), table.texts("exclude") or ()
    places = (posixpath.dirname(path) for path in files.paths() if posixpath.basename(path) == PYPROJECT)
    inner = ((place, relative(place, top)) for place in places if within(place, top) and place != top)
    return tuple(sorted(place for place, path in inner if _any(path, named) and not _any(path, excluded)))


def _any(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path is one of the patterns: `*` stays within a component, `**` does not."""
    return any(re.fullmatch(_glob(text.removeprefix("./").rstrip("/")), path) for text in patterns)


def _glob(pattern: str) -> str:
    return "".join(_WILD.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", pattern))
