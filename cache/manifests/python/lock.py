"""`pylock.toml`: which files a build installs, each with its URL and sha256.

A lock that the daemon made also has what the sdists among them are built with: `[[tool.bloomery.build.packages]]`, in
the shape of `[[packages]]`.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from packaging.pylock import PackageDirectory, PackageWheel, Pylock, PylockSelectError, PylockValidationError
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename

from cache.manifests.document import Table, parse
from cache.manifests.errors import BadManifest
from cache.manifests.python.errors import NoWheel, UnfitPython, UnknownExtra
from cache.manifests.python.interpreter import Interpreter
from cache.manifests.python.locked import FileKind, LockedPackage, Source, locked

PYLOCK = "pylock.toml"
_MOST_TAGS = 500_000
"""Of all wheels of a lock, which takes a second or two; a lock of 300 packages has some 20 000."""


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
    _require_bounded(table)
    try:
        return Pylock.from_dict(table.values)
    except PylockValidationError as error:
        at = f" (in `{prefix}{error.context}`)" if error.context else ""
        raise BadManifest(f"{table.file}: {error.message}{at}", file=table.file, field=error.context) from None


def _require_bounded(table: Table) -> None:
    """Refuse wheels whose names stand for so many tags that reading them would take minutes."""
    tags = sum(_tags_in(wheel) for package in _dicts(table.values, "packages") for wheel in _dicts(package, "wheels"))
    if tags > _MOST_TAGS:
        raise BadManifest(
            f"{table.file}: its wheels have {tags} tags: more than {_MOST_TAGS} are not read", file=table.file
        )


def _dicts(values: Mapping[str, Any], key: str) -> tuple[dict[str, Any], ...]:
    found = values.get(key)
    return tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()


def _tags_in(wheel: Mapping[str, Any]) -> int:
    """How many tags the name of a wheel stands for: each of its last fields may list several."""
    name, path, url = (value if isinstance(value, str) else None for value in map(wheel.get, ("name", "path", "url")))
    try:
        file = PackageWheel(name=name, path=path, url=url, hashes={}).filename
    except (PylockValidationError, ValueError):
        return 0  # which reading it refuses with more words
    return prod(field.count(".") + 1 for field in file.removesuffix(".whl").split("-")[-3:])


def _selected(
    file: str, lock: Pylock, interpreter: Interpreter, extras: frozenset[str], groups: frozenset[str]
) -> tuple[LockedPackage, ...]:
    tags = interpreter.tags
    selection = lock.select(environment=interpreter.environment, tags=tags, extras=extras, dependency_groups=groups)
    try:
        chosen = [locked(file, package, source) for package, source in selection if not _itself(source)]
    except PylockSelectError as error:
        raise _refusal(file, lock, interpreter, tags) or BadManifest(f"{file}: {error}", file=file) from None
    except (ValueError, KeyError) as error:  # a marker or a specifier that parses, and means nothing
        raise BadManifest(f"{file}: {str(error)[:200]}", file=file) from None
    supported = frozenset(tags)
    for package in chosen:
        if package.kind is FileKind.WHEEL and supported.isdisjoint(parse_wheel_filename(package.file)[3]):
            raise _no_wheel(file, package.name, package.version, [package.file], interpreter)
    return tuple(sorted(chosen, key=lambda package: package.name))


def _itself(source: Source) -> bool:
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
