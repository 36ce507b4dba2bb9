"""The files of a lock, one by one: where they lie in a sandbox, which are kept, and their proof."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.manifests.python.locked import FileKind, LockedPackage
from daemon.ecosystems.kept import Fetched, FetchedFile, Gathered, KeptPackage, Wanted
from daemon.ecosystems.python.environment import FILES
from daemon.ecosystems.step import SOURCE_TIME
from daemon.errors import FetchFailed
from daemon.image.interpreter import ENVIRONMENT
from daemon.pipeline.spool import regular_files
from daemon.tarball import Member

_MOST_IN_MEMORY = 16 << 20
"""Bytes of wheels; what is in them is some four times as much, and a sandbox has as much memory as a compiler wants."""


class KeptFiles:
    """A `Keeping` over wheels and sdists: the lock's checksum names each."""

    def __init__(self, packages: Iterable[LockedPackage], place: Digest) -> None:
        self._packages = {name(package): package for package in packages}
        self._place = place

    def wanted(self) -> Wanted:
        """A name for each file."""
        return Wanted(place=self._place, names=tuple(self._packages))

    def gathered(self, kept: Mapping[str, KeptPackage]) -> Gathered:
        """Those that are here."""
        files = tuple(file for one in self._packages if one in kept for file in kept[one].fetched.files)
        missing = len(self._packages.keys() - kept.keys())
        return Gathered(fetched=Fetched(files=files), missing=missing, kept=len(self._packages) - missing)

    def packages(self, fetched: Fetched, before: Mapping[str, KeptPackage]) -> Mapping[str, KeptPackage]:
        """Each file for itself."""
        by_path = {file.path: file for file in fetched.files}
        return {
            one: KeptPackage(fetched=Fetched(files=(by_path[path(package)],)))
            for one, package in self._packages.items()
            if one not in before and path(package) in by_path
        }


def name(package: LockedPackage) -> str:
    """Under which a file is kept."""
    return f"{package.file} sha256:{package.sha256}"


def in_memory(packages: Sequence[LockedPackage]) -> tuple[str, ...]:
    """The environment, where it will be small: many little files, and on a disk each costs as much as a large one.

    An sdist may write whatever it likes while it is built.
    """
    small = sum(one.size or _MOST_IN_MEMORY for one in packages) < _MOST_IN_MEMORY
    return (ENVIRONMENT,) if small and all(one.kind is FileKind.WHEEL for one in packages) else ()


def path(package: LockedPackage) -> str:
    """Where its file lies in a sandbox, relative to the root."""
    return f"{FILES}/{package.file}".lstrip("/")


def admitted(packages: Iterable[LockedPackage], archive: Path, blobs: BlobStore) -> Fetched:
    """What a fetch has taken, each file proved once more: what runs in a sandbox proves nothing. Blocks."""
    wanted = {package.file: package for package in packages}
    found: list[FetchedFile] = []
    for entry, size, content in regular_files(archive):
        package = wanted.get(PurePosixPath(entry).name)
        if package is None:
            continue
        digest = blobs.put_stream(content)
        if digest.hex != package.sha256:
            raise FetchFailed(f"{package.file} came with sha256 {digest.hex}, and the lock says {package.sha256}.")
        found.append(FetchedFile(path=path(package), digest=str(digest), size=size))
    missing = wanted.keys() - {PurePosixPath(file.path).name for file in found}
    if missing:
        raise FetchFailed(f"The fetch has not brought {', '.join(sorted(missing))}.")
    return Fetched(files=tuple(sorted(found, key=lambda file: file.path)))


def members(fetched: Fetched, blobs: BlobStore) -> Iterator[Member]:
    """What was fetched, for a sandbox."""
    for file in fetched.files:
        digest = Digest.parse(file.digest)
        yield Member(
            path=file.path,
            mode=0o644,
            mtime=SOURCE_TIME,
            source=blobs.path(digest),
            digest=digest,
            size=file.size,
        )
