"""Cargo's layout v2 of the target directory (from cargo 1.100), as cargo 1.97-nightly and 1.95 write it where it is on.

A home is `PROFILE` or `TRIPLE/PROFILE`. In it a unit of the package NAME with the unit hash HASH is one directory,
`build/NAME/HASH`, with

    fingerprint/*                            cargo's own files (`daemon.units.fingerprint`)
    out/[lib]CRATE-HASH[.*]                  of a library
    out/build_script_*[-HASH][.*]            of a build script; 1.95 has the hash, and another link to it,
                                             `out/build-script-*`; 1.97 has neither
    run/{stdout,root-output,stderr,invoked.timestamp} and out/**, the OUT_DIR   of a run

There is no `.fingerprint` and no `deps`. What cargo puts beside `build` (binaries, a root's library, `.cargo-lock`,
`.cargo-build-lock`, `.cargo-artifact-lock`) is no unit's. What is not kept: times; `build-script-*`, which cargo links
again; `stderr`, which nobody reads.

Source: both cargos, run with `CARGO_UNSTABLE_BUILD_DIR_NEW_LAYOUT=true` for the host and for a named target; what cargo
says of itself in `layout.rs` (0.101); https://github.com/rust-lang/cargo/issues/15010.
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

_BUILD, _FINGERPRINT, _RUN = "build", "fingerprint", "run"
_DEPTH = 2
"""Components below `build` that lead to a unit."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_HASH = re.compile(r"[0-9a-f]{16}")
_SCRIPT_LINK = re.compile(r"out/build-script-[A-Za-z0-9_-]+")
_SCRIPT = re.compile(r"out/build_script_[A-Za-z0-9_]+(-(?P<hash>[0-9a-f]{16}))?(?P<rest>\.[A-Za-z0-9_.-]+)?")
_RUN_FILES = frozenset({f"{_RUN}/{name}" for name in ("stdout", "root-output", "stderr", STAMP)})


@dataclass(frozen=True, slots=True)
class LayoutV2:
    """A `UnitLayout` for a target directory that cargo knows as `target`."""

    target: str = "/target"

    def unit_of(self, path: str) -> UnitId | None:
        """The unit that a path belongs to; None for what is no unit's."""
        home, _, rest = parted(path, (_BUILD,))
        if len(rest) < _DEPTH or not _NAME.fullmatch(rest[0]) or not _HASH.fullmatch(rest[1]):
            return None
        return UnitId(home, rest[1])

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
        described = {entry.path for entry in listed if _within(entry.path).startswith(f"{_FINGERPRINT}/")}
        return tuple(sorted(listed, key=lambda entry: (f"{entry.path}.json" in described, entry.path.encode())))

    def stamps(self, entries: Iterable[TreeEntry]) -> tuple[tuple[str, bytes], ...]:
        """Cargo's `invoked.timestamp`: of a run beside its output, else beside the fingerprint."""
        paths = [entry.path for entry in entries]
        unit = paths[0].removesuffix(f"/{_within(paths[0])}")
        beside = _RUN if f"{unit}/{_RUN}/root-output" in paths else _FINGERPRINT
        return ((f"{unit}/{beside}/{STAMP}", STAMP_TEXT),)


class _Parts:
    """One unit's files by their names in its directory."""

    own_directory = _FINGERPRINT

    def __init__(self, files: UnitFiles) -> None:
        self.id = files.id
        names = {parted(entry.path, (_BUILD,))[2][0] for entry in files.entries}
        if len(names) != 1:
            raise UnfitUnit(Unfit.UNREADABLE, f"its directories name {len(names)} packages")
        self.name = names.pop()
        self._here = {within: entry for entry in files.entries if (within := _within(entry.path))}
        own = f"{_FINGERPRINT}/"
        self.own: Mapping[str, TreeEntry] = {
            name.removeprefix(own): entry for name, entry in self._here.items() if name.startswith(own)
        }

    def own_path(self, name: str) -> str:
        return self._path(f"{_FINGERPRINT}/{name}")

    def run_paths(self) -> tuple[str, str]:
        return self._path(f"{_RUN}/root-output"), self._path(OUT)

    def _path(self, name: str) -> str:
        return f"{self.id.home}/{_BUILD}/{self.name}/{self.id.unit_hash}/{name}"

    def library(self) -> list[TreeEntry]:
        made = self._beside_fingerprint()
        only(_BUILD, made, lambda name: name.startswith(f"{OUT}/"))
        holds_library(made)
        return list(made.values())

    def build_script(self) -> list[TreeEntry]:
        made = self._beside_fingerprint()
        scripts = {name: found for name in made if (found := _SCRIPT.fullmatch(name))}
        only(_BUILD, made, lambda name: name in scripts or _SCRIPT_LINK.fullmatch(name) is not None)
        own = {name: found for name, found in scripts.items() if found["hash"] in {None, self.id.unit_hash}}
        if not any(found["rest"] is None and made[name].executable for name, found in own.items()):
            raise UnfitUnit(Unfit.INCOMPLETE, "it has no program")
        return [made[name] for name in own]

    def run(self) -> list[TreeEntry]:
        made = self._beside_fingerprint()
        told = [f"{_RUN}/stdout", f"{_RUN}/root-output"]
        complete(_BUILD, made, told)
        outputs = made_by_run(made)
        only(_BUILD, made, {*outputs, *_RUN_FILES}.__contains__, files=outputs)
        return [*(made[name] for name in told), *inside(outputs)]

    def _beside_fingerprint(self) -> dict[str, TreeEntry]:
        return {name: entry for name, entry in self._here.items() if not name.startswith(f"{_FINGERPRINT}/")}


def _within(path: str) -> str:
    """The name of a unit's file in the unit's directory."""
    return "/".join(parted(path, (_BUILD,))[2][_DEPTH:])
