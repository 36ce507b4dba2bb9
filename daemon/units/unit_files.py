"""What every layout asks of a unit's files, by their names in one of its directories: hostile data."""

import re
from collections.abc import Callable, Iterable, Mapping

from cache.archive_errors import UnsafeEntry, UploadTooLarge
from cache.archive_limits import ArchiveLimits
from cache.paths import admitted
from cache.tree import EntryKind, TreeEntry
from daemon.units.layout import Unfit, UnfitUnit

OUT = "out"
"""The name of a build script's OUT_DIR."""
PROFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""The name of a profile's or a target's directory."""
_LIBRARIES = (".rlib", ".rmeta", ".so", ".a")
_OUT_LIMITS = ArchiveLimits(entries=50_000, expanded=4 << 30, names=16 << 20)


def parted(path: str, areas: Iterable[str]) -> tuple[str, str, list[str]]:
    """Home, area, and the components after that; three times nothing where no unit can be."""
    parts = path.split("/")
    for depth in (1, 2):
        if len(parts) > depth and parts[depth] in areas:
            if all(PROFILE.fullmatch(part) for part in parts[:depth]):
                return "/".join(parts[:depth]), parts[depth], parts[depth + 1 :]
            break
    return "", "", []


def only(where: str, entries: Mapping[str, TreeEntry], known: Callable[[str], bool], files: Iterable[str] = ()) -> None:
    """Nothing else is there, and all are files but what is said to be looked at otherwise."""
    for name, entry in entries.items():
        if not known(name):
            raise UnfitUnit(Unfit.UNKNOWN_FILE, f"{where} holds {name[:200]}")
        if entry.kind is not EntryKind.FILE and name not in files:
            raise UnfitUnit(Unfit.UNSAFE, f"{where} holds {name[:200]}, which is a {entry.kind}")


def complete(where: str, entries: Mapping[str, TreeEntry], names: Iterable[str]) -> None:
    """All these are there."""
    if missing := sorted(set(names) - entries.keys()):
        raise UnfitUnit(Unfit.INCOMPLETE, f"{where} lacks {', '.join(missing)}")


def holds_library(entries: Iterable[str]) -> None:
    """One of these is what the compiler makes of a library."""
    if not any(name.endswith(_LIBRARIES) for name in entries):
        raise UnfitUnit(Unfit.INCOMPLETE, "it has no library")


def made_by_run(entries: Mapping[str, TreeEntry]) -> dict[str, TreeEntry]:
    """What of these is a build script's OUT_DIR."""
    outputs = {name: entry for name, entry in entries.items() if name.partition("/")[0] == OUT}
    if not outputs:
        raise UnfitUnit(Unfit.INCOMPLETE, "its OUT_DIR is not there")
    return outputs


def inside(outputs: Mapping[str, TreeEntry]) -> list[TreeEntry]:
    """The entries of an OUT_DIR, if its links, followed as the kernel does, all stay in it."""
    within = [
        TreeEntry(name.partition("/")[2], entry.kind, entry.size, entry.executable, entry.digest, entry.target)
        for name, entry in outputs.items()
        if "/" in name
    ]
    if not within:
        return list(outputs.values())
    try:
        left = admitted(within, _OUT_LIMITS)
    except UploadTooLarge as problem:
        raise UnfitUnit(Unfit.TOO_LARGE, problem.detail) from problem
    except UnsafeEntry as problem:
        raise UnfitUnit(Unfit.UNSAFE, problem.detail) from problem
    return [outputs[f"{OUT}/{entry.path}"] for entry in left]


def wrote_into(content: bytes, out: str) -> None:
    """A build script's `root-output` says that its OUT_DIR was this."""
    where = content.decode("utf-8", "replace")
    if where != out:
        raise UnfitUnit(Unfit.OTHER_PATHS, f"its build script wrote into {where[:200]}")
