"""The crates of a lock, one by one: what a fetch brought of each, and what of earlier fetches fits another lock.

A crate is kept by its line in the lock: its archive, named by the lock's checksum, and its registry's index entry,
which must have the locked version with that very checksum. Git is kept as one archive for each set of sources.

A fetch leaves out archives that are for other platforms. Which those are it shows: what an archive that came depends on
and that did not come is not wanted by it. Everything else that can be reached in the lock has to be there.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch
from cache.manifests.rust.lock import LockedPackage, Lockfile, References
from cache.manifests.rust.workspace import Workspace
from daemon.ecosystems.kept import Fetched, FetchedFile, Gathered, KeptPackage, Wanted
from daemon.ecosystems.rust.index_entries import checksums, entry_path

_REGISTRY = ("cargo", "registry")
_SETTINGS = "config.json"
_GIT = "git "


class KeptCrates:
    """A `Keeping` over cargo; `place` names all but the lock that decides what a fetch brings."""

    def __init__(self, *, workspace: Workspace, blobs: BlobStore, place: Digest) -> None:
        self._lock = workspace.lock or Lockfile(version=4, packages=())
        self._blobs = blobs
        self._place = place
        self._edges = tuple(_edges(workspace, self._lock))
        self._git = _git_name(self._lock)

    def wanted(self) -> Wanted:
        """The lines of the lock's packages, and its set of git sources."""
        names = (package.line for package in self._lock.external() if not _is_git(package))
        return Wanted(place=self._place, names=(*names, *([self._git] if self._git else ())))

    def gathered(self, kept: Mapping[str, KeptPackage]) -> Gathered:
        """All that the lock needs, or what of it is there; then without the registries' settings, which may change."""
        files, fitting = self._fitting(kept)
        needed = self._needed(fitting)
        missing = {
            package.line
            for package in self._lock.external()
            if not _is_git(package)
            and (package.line not in fitting or (package.line in needed and not _has_archive(fitting[package.line])))
        }
        archives = kept[self._git].fetched.archives if self._git in kept else ()
        if self._git and not archives:
            missing |= {package.line for package in self._lock.external() if _is_git(package)}
        found = [file for file in files.values() if not missing or not _is_settings(file)]
        return Gathered(
            fetched=Fetched(files=tuple(sorted(found, key=lambda file: file.path)), archives=archives),
            missing=len(missing),
            kept=len(self._lock.external()) - len(missing),
        )

    def packages(self, fetched: Fetched, before: Mapping[str, KeptPackage]) -> Mapping[str, KeptPackage]:
        """What of a fetch is certainly each package's; one whose archive was kept and did not come stays as it was."""
        homes = _homes(fetched.files)
        came: dict[str, tuple[FetchedFile, ...]] = {}
        for package in self._lock.external():
            if package.checksum and not _is_git(package):
                files = tuple(file for home in homes for file in self._files_of(package, home))
                if files:
                    came[package.line] = files
        kept = {
            name: KeptPackage(fetched=Fetched(files=files), unwanted_by=self._unwanted(name, came, before))
            for name, files in came.items()
            if any(map(_is_archive, files)) or name not in before or not _has_archive(before[name])
        }
        if self._git and fetched.archives:
            kept[self._git] = KeptPackage(fetched=Fetched(archives=fetched.archives))
        return kept

    def _files_of(self, package: LockedPackage, home: Mapping[str, FetchedFile]) -> Iterator[FetchedFile]:
        """A crate's archive, if it came, its entry and the registry's settings; nothing where the entry is in doubt."""
        entry, settings = home.get(entry_path(package.name)), home.get(_SETTINGS)
        if entry is None or settings is None or not self._has(entry, [package]):
            return
        archive = home.get(f"{package.name}-{package.version}.crate")
        if archive is not None and Digest.parse(archive.digest).hex == package.checksum:
            yield archive
        yield from (entry, settings)

    def _has(self, entry: FetchedFile, packages: Iterable[LockedPackage]) -> bool:
        """Whether an entry has all of these, versions of one crate, as the lock does."""
        locked = {package.version: package.checksum for package in packages}
        name = next(iter(packages)).name
        try:
            return checksums(self._blobs.read(Digest.parse(entry.digest)), name, locked) == locked
        except (FileNotFoundError, DigestMismatch):
            return False

    def _fitting(self, kept: Mapping[str, KeptPackage]) -> tuple[dict[str, FetchedFile], dict[str, KeptPackage]]:
        """One file for each path, and the packages that have all of theirs.

        Entries of one crate that were fetched at different times differ: one that has every locked version is taken.
        """
        claims: dict[str, dict[str, FetchedFile]] = {}
        claimants: dict[str, list[LockedPackage]] = {}
        for package in self._lock.external():
            for file in kept[package.line].fetched.files if package.line in kept else ():
                claims.setdefault(file.path, {})[file.digest] = file
                claimants.setdefault(file.path, []).append(package)
        files: dict[str, FetchedFile] = {}
        spoilt: set[str] = set()
        for path, choices in claims.items():
            fits = (
                one
                for one in choices.values()
                if len(choices) == 1 or _is_settings(one) or self._has(one, claimants[path])
            )
            chosen = next(fits, None)
            if chosen is None:
                spoilt |= {package.line for package in claimants[path]}
            else:
                files[path] = chosen
        fitting = {
            package.line: kept[package.line]
            for package in self._lock.external()
            if package.line in kept and package.line not in spoilt
        }
        return files, fitting

    def _needed(self, kept: Mapping[str, KeptPackage]) -> set[str]:
        """The packages whose archives a build for the platform may ask for."""
        on: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for dependent, names, package in self._edges:
            on.setdefault(dependent, []).append((package, names))
        waiting = [package.line for package in self._lock.local()]
        reached = set(waiting)
        while waiting:
            for package, names in on.get(waiting.pop(), ()):
                unwanted = package in kept and names and names <= set(kept[package].unwanted_by)
                if package not in reached and not unwanted:
                    reached.add(package)
                    waiting.append(package)
        return reached

    def _unwanted(
        self, name: str, came: Mapping[str, tuple[FetchedFile, ...]], before: Mapping[str, KeptPackage]
    ) -> tuple[str, ...]:
        if any(map(_is_archive, came[name])):
            return ()
        left_out = {other for other, files in came.items() if not any(map(_is_archive, files))}
        by = {
            each for dependent, names, on in self._edges if on == name and dependent not in left_out for each in names
        }
        return tuple(sorted(by | set(before[name].unwanted_by if name in before else ())))


def _edges(workspace: Workspace, lock: Lockfile) -> Iterator[tuple[str, frozenset[str], str]]:
    """Who depends on whom, with the names under which that may be unwanted: none where it is for every platform.

    A package from outside is the same for ever, and goes by its line; one of the tree by the platforms that it states.
    """
    references = References(lock)
    tree = {package.name: package for package in workspace.packages}
    for dependent in lock.packages:
        own = None if dependent.external else tree.get(dependent.name)
        for reference in dependent.dependencies:
            package = references.resolve(reference)
            if package is None:
                continue
            names = {dependent.line} if dependent.external else set[str]()
            if own is not None:
                stated = [one.platform for one in own.dependencies if one.package == package.name]
                names = {f"[{platform}]" for platform in stated if platform is not None} if all(stated) else set()
            yield dependent.line, frozenset(names), package.line


def _homes(files: Iterable[FetchedFile]) -> list[dict[str, FetchedFile]]:
    """By registry the files under the names that they have there; none of one whose index is no plain directory."""
    homes: dict[str, dict[str, FetchedFile]] = {}
    odd: set[str] = set()
    for file in files:
        *registry, kind, home, name = PurePosixPath(file.path).parts[:5]
        below = "/".join(PurePosixPath(file.path).parts[4:])
        if tuple(registry) != _REGISTRY:
            continue
        if kind == "index" and name != ".cache" and below != _SETTINGS:
            odd.add(home)
        homes.setdefault(home, {})[below] = file
    return [files for home, files in homes.items() if home not in odd]


def _git_name(lock: Lockfile) -> str:
    """The name of all git sources together; empty where there is none."""
    sources = [f"{source.url}?{source.reference}#{source.revision}" for source in lock.git_sources()]
    return _GIT + " ".join(sources) if sources else ""


def _is_git(package: LockedPackage) -> bool:
    return bool(package.source and package.source.startswith("git+"))


def _is_archive(file: FetchedFile) -> bool:
    return file.path.endswith(".crate")


def _is_settings(file: FetchedFile) -> bool:
    return PurePosixPath(file.path).name == _SETTINGS


def _has_archive(kept: KeptPackage) -> bool:
    return any(map(_is_archive, kept.fetched.files))
