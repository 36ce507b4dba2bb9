"""`pylock.toml`: which files a build installs, each with its URL and sha256.

A lock that the daemon made also has what the sdists among them are built with: `[[tool.bloomery.build.packages]]`, in
the shape of `[[packages]]`.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from cache.manifests.document import Table, parse
from cache.manifests.errors import BadManifest
from cache.manifests.python.errors import HashMismatch, NoWheel, UnfitPython, UnknownExtra, UnsupportedSource
from cache.manifests.python.interpreter import Interpreter

PYLOCK = "pylock.toml"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_URL = re.compile(r"[!-~]+")
_Source = PackageVcs | PackageDirectory | PackageArchive | PackageWheel | PackageSdist


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonLock:
    """A whole lock; of what uv writes nothing can be chosen any more, so it has no `extras` and no `groups`."""

    file: str
    requires_python: SpecifierSet | None
    extras: frozenset[str]
    groups: frozenset[str]
    default_groups: frozenset[str]
    _packages: Pylock = field(repr=False)
    _build: Pylock = field(repr=False)

    def select(
        self, interpreter: Interpreter, extras: Iterable[str] = (), groups: Iterable[str] = ()
    ) -> tuple[LockedPackage, ...]:
        """The files to install, by name; the lock's default groups are always among `groups`.

        The project itself, the lock's own directory `.`, is left out: it is the application. Raises `UnfitPython`,
        `NoWheel`, `UnknownExtra`, `UnsupportedSource`, and `BadManifest` where a name is there twice.
        """
        chosen_extras = self._known("extra", extras, self.extras)
        chosen_groups = self._known("dependency group", groups, self.groups) | self.default_groups
        return _selected(self.file, self._packages, interpreter, chosen_extras, chosen_groups)

    def select_build(self, interpreter: Interpreter) -> tuple[LockedPackage, ...]:
        """The files that the sdists among the packages are built with, by name; raises as `select` does."""
        return _selected(self.file, self._build, interpreter, frozenset(), frozenset())

    def _known(self, what: str, asked: Iterable[str], offered: frozenset[str]) -> frozenset[str]:
        names = frozenset(canonicalize_name(name) for name in asked)
        unknown = sorted(names - offered)
        if unknown:
            has = f"it has {', '.join(sorted(offered))}" if offered else "it has none"
            raise UnknownExtra(
                f"{self.file} has no {what} `{unknown[0]}`: {has}", unknown=[*unknown], offered=[*sorted(offered)]
            )
        return names


def read_lock(content: bytes, file: str = PYLOCK) -> PythonLock:
    """Read a lock; what the specification forbids raises `BadManifest` with the file and the field."""
    table = parse(file, content)
    pylock = _pylock(table)
    tool = table.table("tool")
    ours = tool.table("bloomery") if tool else None
    build = ours.table("build") if ours else None
    packages = (build.tables("packages") if build else None) or ()
    building = {
        "lock-version": "1.0",
        "created-by": pylock.created_by,
        "packages": [package.values for package in packages],
    }
    return PythonLock(
        file=file,
        requires_python=pylock.requires_python,
        extras=frozenset(pylock.extras or ()),
        groups=frozenset(canonicalize_name(group) for group in pylock.dependency_groups or ()),
        default_groups=frozenset(pylock.default_groups or ()),
        _packages=pylock,
        _build=_pylock(Table(file, (), building), "tool.bloomery.build."),
    )


def _pylock(table: Table, prefix: str = "") -> Pylock:
    try:
        return Pylock.from_dict(table.values)
    except PylockValidationError as error:
        at = f" (in `{prefix}{error.context}`)" if error.context else ""
        raise BadManifest(f"{table.file}: {error.message}{at}", file=table.file, field=error.context) from None
    except RecursionError:
        raise BadManifest(f"{table.file}: a marker is nested too deeply", file=table.file) from None


def _selected(
    file: str, lock: Pylock, interpreter: Interpreter, extras: frozenset[str], groups: frozenset[str]
) -> tuple[LockedPackage, ...]:
    tags = interpreter.tags
    selection = lock.select(environment=interpreter.environment, tags=tags, extras=extras, dependency_groups=groups)
    try:
        chosen = [_locked(file, package, source) for package, source in selection if not _itself(source)]
    except PylockSelectError as error:
        raise _refusal(file, lock, interpreter, tags) or BadManifest(f"{file}: {error}", file=file) from None
    supported = frozenset(tags)
    for package in chosen:
        if package.kind is FileKind.WHEEL and supported.isdisjoint(parse_wheel_filename(package.file)[3]):
            raise _no_wheel(file, package.name, package.version, [package.file], interpreter)
    return tuple(sorted(chosen, key=lambda package: package.name))


def _itself(source: _Source) -> bool:
    return isinstance(source, PackageDirectory) and source.path.rstrip("/") == "." and not source.subdirectory


def _refusal(file: str, lock: Pylock, interpreter: Interpreter, tags: tuple[Tag, ...]) -> UnfitPython | NoWheel | None:
    """Why `Pylock.select` has refused, as a cause of ours; None where it is the lock's own fault."""
    required = lock.requires_python
    if required is not None and not required.contains(interpreter.version):
        return interpreter.unfit(file, str(required))
    environments = lock.environments or ()
    if environments and not any(marker.evaluate(interpreter.environment, "requirement") for marker in environments):  # type: ignore[arg-type]
        return interpreter.unfit(file, " or ".join(map(str, environments)))
    supported = frozenset(tags)
    for package in lock.packages:
        python = package.requires_python
        if python is not None and not python.contains(interpreter.version):
            return interpreter.unfit(f"{package.name} {package.version} in {file}", str(python), file)
        names = [wheel.filename for wheel in package.wheels or ()]
        if names and not package.sdist and all(supported.isdisjoint(parse_wheel_filename(n)[3]) for n in names):
            return _no_wheel(file, package.name, str(package.version), names, interpreter)
    return None


def _no_wheel(file: str, name: str, version: str, wheels: list[str], interpreter: Interpreter) -> NoWheel:
    shown = sorted(wheels)
    pythons = sorted({tag.interpreter for wheel in wheels for tag in parse_wheel_filename(wheel)[3]})
    return NoWheel(
        f"{name} {version} has no sdist, and no wheel for CPython {interpreter.minor} on {interpreter.machine} with "
        f"glibc {interpreter.glibc}: its wheels are for {', '.join(pythons)}",
        file=file,
        package=name,
        version=version,
        wheels=[*shown],
        pythons=[*pythons],
    )


def _locked(file: str, package: Package, source: _Source) -> LockedPackage:
    if isinstance(source, PackageVcs):
        raise _unsupported(file, package, "it comes from a repository: lock a released version")
    if isinstance(source, PackageDirectory):
        raise _unsupported(file, package, f"it is the directory `{source.path}`: lock a released version")
    url = source.url
    if url is None:
        raise _unsupported(file, package, f"it is the file `{source.path}` beside the lock: give it a URL")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _URL.fullmatch(url):
        raise _unsupported(file, package, f"`{url[:200]}` is no HTTP URL")
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
        index=package.index if package.index and _URL.fullmatch(package.index) else None,
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
    except (InvalidWheelFilename, InvalidSdistFilename):
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
