"""One file of a lock, proved to be one that can be fetched and checked: its name, where it lies, and its sha256."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from cache.manifests.python.addresses import FETCHED, shown
from cache.manifests.python.errors import HashMismatch, UnsupportedSource

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_URL = re.compile(r"[!-~]+")

Source = PackageVcs | PackageDirectory | PackageArchive | PackageWheel | PackageSdist
"""Where a package of a lock comes from, as `packaging` has it."""


class FileKind(StrEnum):
    """What a locked file is."""

    WHEEL = "wheel"
    SDIST = "sdist"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One file to install: `name` is normalized, `sha256` is hex in lower case, `size` is in bytes where known."""

    name: str
    version: str
    file: str
    """The file's name, without any directory."""
    url: str
    sha256: str
    size: int | None = None
    kind: FileKind
    index: str | None = None
    """The index that it was found in, where the lock says so."""

    @property
    def line(self) -> str:
        """`name version source sha256:…`; the source is the index, or else where the file lies."""
        return f"{self.name} {self.version} {self.index or self.url} sha256:{self.sha256}"


def lock_value(packages: Iterable[LockedPackage]) -> str:
    """A part of a key, of `Subject.PACKAGES`: a line for each package."""
    return "\n".join(sorted(package.line for package in packages))


def locked(file: str, package: Package, source: Source) -> LockedPackage:
    """The file that was chosen of a package of the lock `file`; `UnsupportedSource` where it cannot be proved."""
    if isinstance(source, PackageVcs):
        raise _unsupported(file, package, "it comes from a repository: lock a released version")
    if isinstance(source, PackageDirectory):
        raise _unsupported(file, package, f"it is the directory `{source.path}`: lock a released version")
    url = source.url
    if url is None:
        raise _unsupported(file, package, f"it is the file `{source.path}` beside the lock: give it a URL")
    parts = urlsplit(url)
    if not url.startswith(FETCHED) or not parts.hostname or not _URL.fullmatch(url):
        raise _unsupported(file, package, f"`{shown(url)}` is no HTTP URL")
    if parts.username is not None or parts.password is not None:
        raise _unsupported(file, package, "its URL has a user or a password: a lock is no place for them")
    if isinstance(source, PackageArchive):
        if source.subdirectory:
            raise _unsupported(file, package, "it is a directory of an archive: lock a released version")
        name = unquote(parts.path.rpartition("/")[2])
    else:
        name = source.filename
    kind, version = _kind(file, package, name)
    return LockedPackage(
        name=package.name,
        version=str(package.version) if package.version is not None else version,
        file=name,
        url=url,
        sha256=_sha256(file, package, source.hashes),
        size=source.size,
        kind=kind,
        index=package.index if package.index and _URL.fullmatch(package.index) and "@" not in package.index else None,
    )


def _kind(file: str, package: Package, name: str) -> tuple[FileKind, str]:
    """What a file is by its name, and its version."""
    if not _FILE_NAME.fullmatch(name):
        raise _unsupported(file, package, f"`{name[:200]}` is no name of a file")
    try:
        if name.endswith(".whl"):
            found, version, *_ = parse_wheel_filename(name)
            kind = FileKind.WHEEL
        else:
            found, version = parse_sdist_filename(name)
            kind = FileKind.SDIST
    except ValueError:
        raise _unsupported(file, package, f"`{name[:200]}` is neither a wheel nor an sdist") from None
    if found != package.name:
        raise _unsupported(file, package, f"`{name[:200]}` is of another package")
    return kind, str(version)


def _sha256(file: str, package: Package, hashes: Mapping[str, str]) -> str:
    value = hashes.get("sha256", "")
    if not _SHA256.fullmatch(value):
        has = ", ".join(sorted(hashes))
        raise _unsupported(
            file, package, f"its file has no sha256 (but {has}): lock it anew with a tool that writes one"
        )
    return value.lower()


def _unsupported(file: str, package: Package, words: str) -> UnsupportedSource:
    version = f" {package.version}" if package.version is not None else ""
    return UnsupportedSource(f"{file}: {package.name}{version}: {words}", file=file, package=package.name)


def require_hashes(packages: Iterable[LockedPackage], hashes: Mapping[str, frozenset[str]], file: str) -> None:
    """Hold chosen files to the requirements' hashes (sha256 in hex by normalized name); raises `HashMismatch`.

    A package that the requirements give no hash may have any.
    """
    for package in packages:
        allowed = hashes.get(package.name)
        if allowed is not None and package.sha256 not in allowed:
            raise HashMismatch(
                f"{file} gives {package.name} hashes, and none is that of {package.file}, which was chosen for this "
                f"interpreter: add `--hash=sha256:{package.sha256}` if that file is meant",
                file=file,
                package=package.name,
                chosen=package.file,
                found=package.sha256,
                allowed=[*sorted(allowed)],
            )
