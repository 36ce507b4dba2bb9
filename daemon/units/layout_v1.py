"""Cargo's layout v1 of the target directory (up to cargo 1.99), as cargo 1.95 writes it.

A home is `PROFILE` or `TRIPLE/PROFILE`. In it a unit of the package NAME with the unit hash HASH has

    .fingerprint/NAME-HASH/*                   cargo's own files (`daemon.units.fingerprint`)
    deps/[lib]CRATE-HASH[.*]                   of a library
    build/NAME-HASH/build_script_*-HASH[.*]    of a build script; `build-script-*` is another link to it
    build/NAME-HASH/{output,root-output,stderr,invoked.timestamp,out/**}   of a run

What is not kept: times; `build-script-*`, which cargo links again; `stderr`, which nobody reads.

Source: cargo 1.95, `src/cargo/core/compiler/{fingerprint/mod,build_runner/compilation_files,custom_build}.rs`.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cache.tree import TreeEntry
from daemon.units.fingerprint import STAMP, STAMP_TEXT
from daemon.units.layout import CargoUnit, ReadFile, Unfit, UnfitUnit, UnitFiles, UnitId
from daemon.units.reading import read_unit
from daemon.units.unit_files import OUT, complete, holds_library, inside, made_by_run, only, parted

_FINGERPRINT, _DEPS, _BUILD = ".fingerprint", "deps", "build"
_AREAS = (_FINGERPRINT, _DEPS, _BUILD)
_DIRECTORY = re.compile(r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_-]*)-(?P<hash>[0-9a-f]{16})")
_ARTEFACT = re.compile(r"[A-Za-z0-9_]+-(?P<hash>[0-9a-f]{16})(\.[A-Za-z0-9_.-]+)?")
_SCRIPT_LINK = re.compile(r"build-script-[A-Za-z0-9_-]+")
_SCRIPT = re.compile(r"build_script_[A-Za-z0-9_]+-(?P<hash>[0-9a-f]{16})(?P<rest>\.[A-Za-z0-9_.-]+)?")


@dataclass(frozen=True, slots=True)
class LayoutV1:
    """A `UnitLayout` for a target directory that cargo knows as `target`."""

    target: str = "/target"

    def unit_of(self, path: str) -> UnitId | None:
        """The unit that a path belongs to; None for what is no unit's."""
        home, area, rest = parted(path, _AREAS)
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
        return read_unit(_Parts(files), self.target, read)

    def in_order(self, entries: Iterable[TreeEntry]) -> tuple[TreeEntry, ...]:
        """The entries of one unit as they are to be written: the fingerprint comes last."""
        listed = tuple(entries)
        described = {entry.path for entry in listed}
        return tuple(sorted(listed, key=lambda entry: (f"{entry.path}.json" in described, entry.path.encode())))

    def stamps(self, entries: Iterable[TreeEntry]) -> tuple[tuple[str, bytes], ...]:
        """Cargo's `invoked.timestamp`: of a run beside its output, else beside the fingerprint."""
        paths = [entry.path for entry in entries]
        run = min((path for path in paths if path.endswith("/root-output")), key=len, default=None)
        beside = run or next(path for path in paths if path.endswith(".json"))
        return ((f"{posixpath.dirname(beside)}/{STAMP}", STAMP_TEXT),)


class _Parts:
    """One unit's files by the area that they are in, each by its name there."""

    own_directory = _FINGERPRINT

    def __init__(self, files: UnitFiles) -> None:
        self.id = files.id
        self._areas: dict[str, dict[str, TreeEntry]] = {area: {} for area in _AREAS}
        names = set()
        for entry in files.entries:
            _, area, rest = parted(entry.path, _AREAS)
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
        self.own: Mapping[str, TreeEntry] = self._areas[_FINGERPRINT]

    def own_path(self, name: str) -> str:
        return self._path(_FINGERPRINT, name)

    def run_paths(self) -> tuple[str, str]:
        return self._path(_BUILD, "root-output"), self._path(_BUILD, OUT)

    def _path(self, area: str, name: str) -> str:
        return f"{self.id.home}/{area}/{self.name}-{self.id.unit_hash}/{name}"

    def library(self) -> list[TreeEntry]:
        here = self._areas[_DEPS]
        only(_BUILD, self._areas[_BUILD], lambda _: False)
        only(_DEPS, here, lambda _: True)
        holds_library(here)
        return list(here.values())

    def build_script(self) -> list[TreeEntry]:
        here = self._areas[_BUILD]
        scripts = {name: found for name in here if (found := _SCRIPT.fullmatch(name))}
        only(_DEPS, self._areas[_DEPS], lambda _: False)
        only(_BUILD, here, lambda name: name in scripts or _SCRIPT_LINK.fullmatch(name) is not None)
        own = {name: found for name, found in scripts.items() if found["hash"] == self.id.unit_hash}
        if not any(found["rest"] is None and here[name].executable for name, found in own.items()):
            raise UnfitUnit(Unfit.INCOMPLETE, "it has no program")
        return [here[name] for name in own]

    def run(self) -> list[TreeEntry]:
        here = self._areas[_BUILD]
        only(_DEPS, self._areas[_DEPS], lambda _: False)
        complete(_BUILD, here, {"output", "root-output"})
        outputs = made_by_run(here)
        only(_BUILD, here, {*outputs, "output", "root-output", "stderr", STAMP}.__contains__, files=outputs)
        return [here["output"], here["root-output"], *inside(outputs)]
