"""The bounds of a source tree, met before it is sent: a home directory by mistake is not read to its end.

They are the daemon's by default; a daemon that takes more is reached with `--any-size`, and has the last word anyway.
"""

from cache.archive_errors import UploadTooLarge, shown
from cache.archive_limits import ArchiveLimits

_DAEMON = ArchiveLimits()


class Bounds:
    """Counts a tree's entries and bytes as they are found."""

    def __init__(self, entries: float = _DAEMON.entries, expanded: float = _DAEMON.expanded) -> None:
        self._limits = {"entries": entries, "expanded": expanded}
        self._found = {"entries": 0, "expanded": 0}
        self._parts: dict[str, dict[str, int]] = {}

    def add(self, path: str, size: int) -> None:
        """One more entry of so many bytes; `UploadTooLarge` when it is one too many, naming what weighs most."""
        top, slash, _ = path.partition("/")
        part = self._parts.setdefault(top + slash, {"entries": 0, "expanded": 0})
        for counted in (self._found, part):
            counted["entries"] += 1
            counted["expanded"] += size
        for limit, allowed in self._limits.items():
            if self._found[limit] > allowed:
                raise self._too_large(limit, int(allowed))

    def _too_large(self, limit: str, allowed: int) -> UploadTooLarge:
        what = f"{allowed:,} files" if limit == "entries" else f"{allowed >> 20:,} MiB"
        heaviest = sorted(self._parts, key=lambda name: self._parts[name][limit], reverse=True)[:3]
        names = ", ".join(f"`{shown(name)}`" for name in heaviest)
        return UploadTooLarge(
            f"there is more than {what} here, most of it in {names}; give the project's own directory, list what the "
            "build can do without in .dockerignore, or send it all the same with --any-size if this daemon takes more",
            limit=limit,
            allowed=allowed,
            heaviest=[shown(name) for name in heaviest],
        )


def no_bounds() -> Bounds:
    """Whatever is there."""
    return Bounds(float("inf"), float("inf"))
