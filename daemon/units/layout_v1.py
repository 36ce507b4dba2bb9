"""Cargo's layout v1 of the target directory (up to cargo 1.99), as cargo 1.95 writes it.

A home is `PROFILE` or `TRIPLE/PROFILE`. In it a unit of the package NAME with the unit hash HASH has

    .fingerprint/NAME-HASH/KIND-TARGET         the fingerprint, 16 hexadecimal digits, least significant byte first
    .fingerprint/NAME-HASH/KIND-TARGET.json    what it was made of; `deps` holds fingerprints as numbers
    .fingerprint/NAME-HASH/dep-KIND-TARGET     which files were read; a unit without it is dirty
    .fingerprint/NAME-HASH/output-KIND-TARGET  the compiler's warnings, if there were any
    .fingerprint/NAME-HASH/invoked.timestamp
    deps/[lib]CRATE-HASH[.*]                   of a library
    build/NAME-HASH/build_script_*-HASH[.*]    of a build script; `build-script-*` is another link to it
    build/NAME-HASH/{output,root-output,stderr,invoked.timestamp,out/**}   of a run

KIND is `lib` (procedural macros, too), `build-script` or `run-build-script`. What is not kept: times; `build-script-*`,
which cargo links again; `stderr`, which nobody reads.

Source: cargo 1.95, `src/cargo/core/compiler/{fingerprint/mod,build_runner/compilation_files,custom_build}.rs`.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cache.archive_errors import UnsafeEntry, UploadTooLarge
from cache.archive_limits import ArchiveLimits
from cache.paths import admitted
from cache.tree import EntryKind, TreeEntry
from cache.units import UnitKind
from daemon.units.layout import CargoUnit, ReadFile, Unfit, UnfitUnit, UnitFiles, UnitId

_FINGERPRINT, _DEPS, _BUILD = ".fingerprint", "deps", "build"
_AREAS = (_FINGERPRINT, _DEPS, _BUILD)
_HOME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_DIRECTORY = re.compile(r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_-]*)-(?P<hash>[0-9a-f]{16})")
_ARTEFACT = re.compile(r"[A-Za-z0-9_]+-(?P<hash>[0-9a-f]{16})(\.[A-Za-z0-9_.-]+)?")
_MARK = re.compile(r"(?P<kind>lib|run-build-script|build-script)-[A-Za-z0-9_-]+")
_SCRIPT_LINK = re.compile(r"build-script-[A-Za-z0-9_-]+")
_SCRIPT = re.compile(r"build_script_[A-Za-z0-9_]+-(?P<hash>[0-9a-f]{16})(?P<rest>\.[A-Za-z0-9_.-]+)?")
_FORM = re.compile(r"[0-9a-f]{16}")
_KINDS = {"lib": UnitKind.LIBRARY, "build-script": UnitKind.BUILD_SCRIPT, "run-build-script": UnitKind.RUN}
_STAMP = "invoked.timestamp"
_STAMP_TEXT = b"This file has an mtime of when this was started."
_OUT = "out"
_OUTPUTS = (".rlib", ".rmeta", ".so", ".a")
_OUT_LIMITS = ArchiveLimits(entries=50_000, expanded=4 << 30, names=16 << 20)


class _Fingerprint(msgspec.Struct, frozen=True):
    """What is read of a fingerprint's JSON; a dependency is package, name, public or not, fingerprint."""

    features: str
    profile: int
    deps: list[tuple[int, str, bool, int]]
    local: list[dict[str, Any]]


_fingerprint = msgspec.json.Decoder(_Fingerprint).decode
_features = msgspec.json.Decoder(list[str]).decode


@dataclass(frozen=True, slots=True)
class LayoutV1:
    """A `UnitLayout` for a target directory that cargo knows as `target`."""

    target: str = "/target"

    def unit_of(self, path: str) -> UnitId | None:
        """The unit that a path belongs to; None for what is no unit's."""
        home, area, rest = _parted(path)
        if not rest:
            return None
        if area == _DEPS:
            found = _ARTEFACT.fullmatch(rest[0]) if len(rest) == 1 else None
        else:
            found = _DIRECTORY.fullmatch(rest[0])
        return UnitId(home, found["hash"]) if found else None

    def unit_named(self, path: str) -> UnitId | None:
        """The same for an absolute path of cargo's messages."""
        inside = path.startswith(f"{self.target}/") and posixpath.normpath(path) == path
        return self.unit_of(path.removeprefix(f"{self.target}/")) if inside else None

    def read(self, files: UnitFiles, read: ReadFile) -> CargoUnit:
        """What a unit is, and what of it is kept; raises `UnfitUnit`."""
        parts = _Parts(files)
        mark, kind = parts.mark()
        fingerprint = _text(read(parts.path(_FINGERPRINT, mark)))
        if not _FORM.fullmatch(fingerprint):
            raise UnfitUnit(Unfit.UNREADABLE, f"its fingerprint is {fingerprint[:40]!r}")
        said = _read(read(parts.path(_FINGERPRINT, f"{mark}.json")))
        kept = [entry for name, entry in parts.area(_FINGERPRINT).items() if name != _STAMP]
        match kind:
            case UnitKind.LIBRARY:
                kept += parts.library()
            case UnitKind.BUILD_SCRIPT:
                kept += parts.build_script()
            case UnitKind.RUN:
                kept += parts.run()
                _only_tracked(said.local, self.target)
                where = _text(read(parts.path(_BUILD, "root-output")))
                if where != f"{self.target}/{parts.path(_BUILD, _OUT)}":
                    raise UnfitUnit(Unfit.OTHER_PATHS, f"its build script wrote into {where[:200]}")
        triple, _, _ = files.id.home.rpartition("/")
        return CargoUnit(
            id=files.id,
            package=parts.name,
            kind=kind,
            fingerprint=fingerprint,
            features=_listed(said.features),
            profile=str(said.profile),
            platform=triple or "host",
            dependencies=tuple(_as_file(number) for *_, number in said.deps),
            entries=tuple(sorted(kept, key=lambda entry: entry.path.encode())),
        )

    def in_order(self, entries: Iterable[TreeEntry]) -> tuple[TreeEntry, ...]:
        """The entries of one unit as they are to be written: the fingerprint comes last."""
        listed = tuple(entries)
        described = {entry.path for entry in listed}
        return tuple(sorted(listed, key=lambda entry: (f"{entry.path}.json" in described, entry.path.encode())))

    def stamps(self, entries: Iterable[TreeEntry]) -> tuple[tuple[str, bytes], ...]:
        """Cargo's `invoked.timestamp`: of a run beside its output, else beside the fingerprint."""
        paths = [entry.path for entry in entries]
        run = next((path for path in paths if path.endswith("/root-output")), None)
        beside = run or next(path for path in paths if path.endswith(".json"))
        return ((f"{posixpath.dirname(beside)}/{_STAMP}", _STAMP_TEXT),)


class _Parts:
    """One unit's files by the area that they are in, each by its name there."""

    def __init__(self, files: UnitFiles) -> None:
        self._id = files.id
        self._areas: dict[str, dict[str, TreeEntry]] = {area: {} for area in _AREAS}
        names = set()
        for entry in files.entries:
            _, area, rest = _parted(entry.path)
            if area != _DEPS:
                found = _DIRECTORY.fullmatch(rest[0])
                assert found is not None
                names.add(found["name"])
            within = "/".join(rest if area == _DEPS else rest[1:])
            if within:
                self._areas[area][within] = entry
        if len(names) != 1:
            raise UnfitUnit(Unfit.UNREADABLE, f"its directories name {len(names)} packages")
        self.name = names.pop()

    def area(self, area: str) -> Mapping[str, TreeEntry]:
        return self._areas[area]

    def path(self, area: str, name: str) -> str:
        return f"{self._id.home}/{area}/{self.name}-{self._id.unit_hash}/{name}"

    def mark(self) -> tuple[str, UnitKind]:
        """The name of the fingerprint's file, and what it says."""
        here = self._areas[_FINGERPRINT]
        marks = [name.removesuffix(".json") for name in here if name.endswith(".json")]
        found = _MARK.fullmatch(marks[0]) if len(marks) == 1 else None
        if found is None:
            raise UnfitUnit(Unfit.UNREADABLE, f"it has {len(marks)} fingerprints of a kind that is known")
        mark, kind = marks[0], _KINDS[found["kind"]]
        known = {mark, f"{mark}.json", f"dep-{mark}", f"output-{mark}", _STAMP}
        self._only(_FINGERPRINT, known.__contains__)
        self._complete(_FINGERPRINT, {mark} if kind is UnitKind.RUN else {mark, f"dep-{mark}"})
        return mark, kind

    def library(self) -> list[TreeEntry]:
        self._only(_BUILD, lambda _: False)
        self._only(_DEPS, lambda _: True)
        here = self._areas[_DEPS]
        if not any(name.endswith(_OUTPUTS) for name in here):
            raise UnfitUnit(Unfit.INCOMPLETE, "it has no library")
        return list(here.values())

    def build_script(self) -> list[TreeEntry]:
        scripts = {name: found for name in self._areas[_BUILD] if (found := _SCRIPT.fullmatch(name))}
        self._only(_DEPS, lambda _: False)
        self._only(_BUILD, lambda name: name in scripts or _SCRIPT_LINK.fullmatch(name) is not None)
        own = {name: found for name, found in scripts.items() if found["hash"] == self._id.unit_hash}
        if not any(found["rest"] is None and self._areas[_BUILD][name].executable for name, found in own.items()):
            raise UnfitUnit(Unfit.INCOMPLETE, "it has no program")
        return [self._areas[_BUILD][name] for name in own]

    def run(self) -> list[TreeEntry]:
        here = self._areas[_BUILD]
        self._only(_DEPS, lambda _: False)
        outputs = {name: entry for name, entry in here.items() if name.partition("/")[0] == _OUT}
        self._only(_BUILD, {*outputs, "output", "root-output", "stderr", _STAMP}.__contains__, files=outputs)
        self._complete(_BUILD, {"output", "root-output"})
        if not outputs:
            raise UnfitUnit(Unfit.INCOMPLETE, "its OUT_DIR is not there")
        return [here["output"], here["root-output"], *_inside(outputs)]

    def _only(self, area: str, known: Callable[[str], bool], files: Iterable[str] = ()) -> None:
        """Nothing else is there, and all are files but what is said to be looked at otherwise."""
        for name, entry in self._areas[area].items():
            if not known(name):
                raise UnfitUnit(Unfit.UNKNOWN_FILE, f"{area} holds {name[:200]}")
            if entry.kind is not EntryKind.FILE and name not in files:
                raise UnfitUnit(Unfit.UNSAFE, f"{area} holds {name[:200]}, which is a {entry.kind}")

    def _complete(self, area: str, names: Iterable[str]) -> None:
        if missing := sorted(set(names) - self._areas[area].keys()):
            raise UnfitUnit(Unfit.INCOMPLETE, f"{area} lacks {', '.join(missing)}")


def _parted(path: str) -> tuple[str, str, list[str]]:
    """Home, area, and the components after that; three times nothing where no unit can be."""
    parts = path.split("/")
    for depth in (1, 2):
        if len(parts) > depth and parts[depth] in _AREAS:
            if all(_HOME.fullmatch(part) for part in parts[:depth]):
                return "/".join(parts[:depth]), parts[depth], parts[depth + 1 :]
            break
    return "", "", []


def _inside(outputs: Mapping[str, TreeEntry]) -> list[TreeEntry]:
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
    return [outputs[f"{_OUT}/{entry.path}"] for entry in left]


def _only_tracked(local: Iterable[Mapping[str, Any]], target: str) -> None:
    """Nothing that a build script asks to be watched is made by the build itself, or is everything."""
    for each in local:
        watched = each.get("RerunIfChanged")
        if watched is None:
            continue
        paths = watched.get("paths") if isinstance(watched, dict) else None
        if not isinstance(paths, list):
            raise UnfitUnit(Unfit.UNREADABLE, "what its build script watches cannot be read")
        for path in map(str, paths):
            parts = path.split("/")
            if not path or ".." in parts or posixpath.normpath(path).startswith((f"{target}/", "//")) or path == target:
                raise UnfitUnit(Unfit.UNTRACKED_INPUTS, f"its build script watches {path[:200]!r}")


def _read(content: bytes) -> _Fingerprint:
    try:
        return _fingerprint(content)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise UnfitUnit(Unfit.UNREADABLE, f"its fingerprint cannot be read: {problem}") from problem


def _listed(features: str) -> tuple[str, ...]:
    try:
        return tuple(_features(features)) if features else ()
    except msgspec.DecodeError as problem:
        raise UnfitUnit(Unfit.UNREADABLE, f"its features cannot be read: {problem}") from problem


def _as_file(number: int) -> str:
    """A fingerprint's number as its file has it."""
    if not 0 <= number < 1 << 64:
        raise UnfitUnit(Unfit.UNREADABLE, f"it depends on the fingerprint {number}")
    return number.to_bytes(8, "little").hex()


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
