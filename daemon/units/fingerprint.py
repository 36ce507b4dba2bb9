"""Cargo's own files on a unit, which are the same in all layouts: its fingerprint, and what that was made of.

A unit has, with the mark `KIND-TARGET`, where KIND is `lib` (procedural macros, too), `build-script` or
`run-build-script`:

    KIND-TARGET         the fingerprint, 16 hexadecimal digits, least significant byte first
    KIND-TARGET.json    what it was made of; `deps` holds fingerprints as numbers
    dep-KIND-TARGET     which files were read; a unit without it is dirty
    output-KIND-TARGET  the compiler's warnings, if there were any
    invoked.timestamp

Source: cargo 1.95, `src/cargo/core/compiler/fingerprint/mod.rs`.
"""

import posixpath
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cache.tree import TreeEntry
from cache.units import UnitKind
from daemon.units.layout import Unfit, UnfitUnit
from daemon.units.unit_files import complete, only

STAMP = "invoked.timestamp"
STAMP_TEXT = b"This file has an mtime of when this was started."
_MARK = re.compile(r"(?P<kind>lib|run-build-script|build-script)-[A-Za-z0-9_-]+")
_KINDS = {"lib": UnitKind.LIBRARY, "build-script": UnitKind.BUILD_SCRIPT, "run-build-script": UnitKind.RUN}
_FORM = re.compile(r"[0-9a-f]{16}")


class Fingerprint(msgspec.Struct, frozen=True):
    """What is read of a fingerprint's JSON; a dependency is package, name, public or not, fingerprint."""

    features: str
    profile: int
    deps: list[tuple[int, str, bool, int]]
    local: list[dict[str, Any]]

    @classmethod
    def read(cls, content: bytes) -> "Fingerprint":
        """Read it; `UnfitUnit` where that cannot be."""
        try:
            return _fingerprint(content)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise UnfitUnit(Unfit.UNREADABLE, f"its fingerprint cannot be read: {problem}") from problem

    @property
    def listed_features(self) -> tuple[str, ...]:
        """The features; `UnfitUnit` where they are no list."""
        try:
            return tuple(_features(self.features)) if self.features else ()
        except msgspec.DecodeError as problem:
            raise UnfitUnit(Unfit.UNREADABLE, f"its features cannot be read: {problem}") from problem

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The fingerprints of what it was compiled against, as their files have them."""
        return tuple(_as_file(number) for *_, number in self.deps)

    def require_tracked(self, target: str) -> None:
        """Nothing that a build script asks to be watched is made by the build itself, or is everything."""
        for each in self.local:
            watched = each.get("RerunIfChanged")
            if watched is None:
                continue
            paths = watched.get("paths") if isinstance(watched, dict) else None
            if not isinstance(paths, list):
                raise UnfitUnit(Unfit.UNREADABLE, "what its build script watches cannot be read")
            for path in map(str, paths):
                above = ".." in path.split("/") or posixpath.normpath(path).startswith((f"{target}/", "//"))
                if not path or above or path == target:
                    raise UnfitUnit(Unfit.UNTRACKED_INPUTS, f"its build script watches {path[:200]!r}")


_fingerprint = msgspec.json.Decoder(Fingerprint).decode
_features = msgspec.json.Decoder(list[str]).decode


def marked(where: str, entries: Mapping[str, TreeEntry]) -> tuple[str, UnitKind]:
    """The mark of the unit whose fingerprint's directory this is; `UnfitUnit` unless it holds what it should."""
    marks = [name.removesuffix(".json") for name in entries if name.endswith(".json")]
    found = _MARK.fullmatch(marks[0]) if len(marks) == 1 else None
    if found is None:
        raise UnfitUnit(Unfit.UNREADABLE, f"it has {len(marks)} fingerprints of a kind that is known")
    mark, kind = marks[0], _KINDS[found["kind"]]
    only(where, entries, {mark, f"{mark}.json", f"dep-{mark}", f"output-{mark}", STAMP}.__contains__)
    complete(where, entries, {mark} if kind is UnitKind.RUN else {mark, f"dep-{mark}"})
    return mark, kind


def fingerprint_text(content: bytes) -> str:
    """The fingerprint itself."""
    text = content.decode("utf-8", "replace")
    if not _FORM.fullmatch(text):
        raise UnfitUnit(Unfit.UNREADABLE, f"its fingerprint is {text[:40]!r}")
    return text


def _as_file(number: int) -> str:
    """A fingerprint's number as its file has it."""
    if not 0 <= number < 1 << 64:
        raise UnfitUnit(Unfit.UNREADABLE, f"it depends on the fingerprint {number}")
    return number.to_bytes(8, "little").hex()
