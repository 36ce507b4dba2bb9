"""What a change of the source tree makes dirty in a workspace, decided by content (law 5). Pure.

A changed path makes dirty the package in whose directory it lies, a directory that ends where a nested package's
begins, and every package that names it. Nobody knows who else opened it (a procedural macro, a build script that does
not say so), so it makes everything dirty, unless somebody vouches: the compiler, that read it as a file that was there,
or a build script that names this very path. A watched directory does not: it says who looks into it, not who else does.
Where access times tell that nobody ever opened a file (law 13), a change of its content makes nothing dirty, or those
alone who name it.

Manifests, lock and configuration follow the same rule. Cargo sees for itself what of them concerns it; but a procedural
macro may read them, too.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from cache.manifests.paths import above, within
from cache.observed import same_but_content
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.ecosystems.rust.dependents import Edge
from daemon.ecosystems.rust.inputs import Inputs

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What is known of a workspace beside its tree."""

    environment: str
    """A digest of all that was the same for every unit."""
    members: Mapping[str, str]
    """Directories in the tree by package name, of every package in it that the build can reach."""
    inputs: Mapping[str, Inputs]
    written: tuple[str, ...] = ()
    """Paths that were not as they had been put when the compile ended; a directory that it made ends with `/`."""
    opened: frozenset[str] | None = None
    """The files that any compile there may have read (law 13); None: nobody knows which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dirt:
    """What is done before compiling again, in this order: delete, put, mark."""

    packages: tuple[str, ...] = ()
    """All units and build scripts of these are out of date."""
    dependents: tuple[str, ...] = ()
    """These stand on them: their units are out of date, their build scripts are not."""
    put: tuple[TreeEntry, ...] = ()
    remove: tuple[str, ...] = ()
    """Paths, with all that is below them, what lies deepest first."""
    everything: bool = False
    """Whether every package of the tree is dirty."""

    @property
    def compiled(self) -> frozenset[str]:
        """The packages of which cargo may find nothing fresh."""
        return frozenset((*self.packages, *self.dependents))


class _Kept(msgspec.Struct, frozen=True):
    format: int
    ledger: msgspec.Raw


def write_ledger(ledger: Ledger) -> bytes:
    """JSON with the version of its format."""
    return msgspec.json.encode(_Kept(FORMAT, msgspec.Raw(msgspec.json.encode(ledger))))


def read_ledger(text: bytes) -> Ledger | None:
    """What was written, or None: unreadable, or of another version, so nothing is known of the workspace."""
    try:
        kept = msgspec.json.decode(text, type=_Kept)
        return msgspec.json.decode(kept.ledger, type=Ledger) if kept.format == FORMAT else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def dirty(
    before: SourceTree,
    after: SourceTree,
    ledger: Ledger,
    members: Mapping[str, str],
    *,
    environment: str,
    edges: Iterable[Edge] = (),
) -> Dirt:
    """What differs between a workspace as it was left and a tree.

    Args:
        before: what was put under the workspace's last compile: with a lock that was made, without what is not put.
        after: what is to stand there, likewise.
        ledger: what that compile left.
        members: as in a ledger, for `after`. Where two packages have one name, no workspace can be used.
        environment: as in a ledger, for the next compile.
        edges: which package stands on which.
    """
    old, new = _by_path(before), _by_path(after)
    changed = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    changed |= set(_judged(ledger.written))
    packages: set[str] = set()
    everything = environment != ledger.environment or dict(members) != dict(ledger.members)
    if not everything:
        names = _Names(ledger.inputs, old, ledger.written)
        for path in changed:
            naming, unread = names.of(path), _is_unread(path, old, new, ledger)
            if naming or not unread:
                packages |= naming | _owner(path, members)
            everything = everything or not (unread or names.vouched(path))
        packages |= _always_run(ledger.inputs, new)
    if everything:
        packages = {*members, *ledger.members, *ledger.inputs}
    packages, dependents = _closed(packages, tuple(edges))
    return Dirt(
        packages=tuple(sorted(packages)),
        dependents=tuple(sorted(dependents)),
        put=tuple(new[path] for path in sorted(changed & new.keys())),
        remove=_removed(old, new, ledger.written),
        everything=everything,
    )


class _Names:
    """Who names a path."""

    def __init__(self, inputs: Mapping[str, Inputs], old: Mapping[str, TreeEntry], written: tuple[str, ...]) -> None:
        self._files: dict[str, set[str]] = {}
        self._watched: dict[str, set[str]] = {}
        self._there = {path for path, entry in old.items() if entry.kind is not EntryKind.DIRECTORY} | set(written)
        for package, read in inputs.items():
            for path in read.files:
                self._files.setdefault(path, set()).add(package)
            for path in read.watched:
                self._watched.setdefault(path, set()).add(package)

    def of(self, path: str) -> set[str]:
        found = set(self._files.get(path, ()))
        for place in (path, *above(path)):
            found |= self._watched.get(place, set())
        return found

    def vouched(self, path: str) -> bool:
        return path in self._watched or (path in self._files and path in self._there)


def _is_unread(path: str, old: Mapping[str, TreeEntry], new: Mapping[str, TreeEntry], ledger: Ledger) -> bool:
    """Whether a file certainly was read by nobody, and only its content has changed."""
    if ledger.opened is None or path in ledger.opened or path in ledger.written:
        return False
    return same_but_content(old.get(path), new.get(path))


def _always_run(inputs: Mapping[str, Inputs], new: Mapping[str, TreeEntry]) -> set[str]:
    """The packages whose build scripts name what is absent: cargo runs these every time, marked or not."""
    there = {*new, *_directories(new), ""}
    return {package for package, read in inputs.items() if not there.issuperset(read.watched)}


def _by_path(tree: SourceTree) -> dict[str, TreeEntry]:
    return {entry.path: entry for entry in tree}


def _judged(written: tuple[str, ...]) -> Iterator[str]:
    """Written files, and directories that the build made and left empty: others are told by what is in them."""
    full = {f"{directory}/" for path in written for directory in above(path.rstrip("/"))}
    return (path.rstrip("/") for path in written if path not in full)


def _owner(path: str, members: Mapping[str, str]) -> set[str]:
    """The package in whose directory a path lies, the nearest one's."""
    holding = [(len(directory), name) for name, directory in members.items() if within(path, directory)]
    return {max(holding)[1]} if holding else set()


def _closed(packages: set[str], edges: tuple[Edge, ...]) -> tuple[set[str], set[str]]:
    """With all that stands on these: wholly dirty ones, and those whose build scripts are not."""
    whole, partly = set(packages), set[str]()
    waiting = list(packages)
    while waiting:
        on = waiting.pop()
        for edge in edges:
            if edge.on == on and edge.package not in whole and (edge.script or edge.package not in partly):
                (whole if edge.script else partly).add(edge.package)
                waiting.append(edge.package)
    return whole, partly - whole


def _removed(old: Mapping[str, TreeEntry], new: Mapping[str, TreeEntry], written: tuple[str, ...]) -> tuple[str, ...]:
    """All that stands and is not to stand, or is of another kind. What the build wrote may be of any kind now."""
    is_directory = dict.fromkeys(_directories((*old, *written)), True)
    is_directory |= {path: entry.kind is EntryKind.DIRECTORY for path, entry in old.items()}
    is_directory |= {path.rstrip("/"): path.endswith("/") for path in written}
    wanted = _directories(new) | {path for path, entry in new.items() if entry.kind is EntryKind.DIRECTORY}

    def stays(path: str) -> bool:
        if path in wanted:
            return is_directory[path]
        return path in new and path in old and path not in written and old[path].kind is new[path].kind

    gone = (path for path in is_directory if not stays(path))
    return tuple(sorted(gone, key=lambda path: (-path.count("/"), path)))


def _directories(paths: Iterable[str]) -> set[str]:
    return {directory for path in paths for directory in above(path) if directory}
