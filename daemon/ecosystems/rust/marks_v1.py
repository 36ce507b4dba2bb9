"""How units are marked and what tells of their inputs in cargo's layout v1 (`daemon.units.layout_v1`).

A unit that lost its `dep-*` file is dirty, and a build script's run that lost its `output`. Of inputs tell

- `deps/CRATE-HASH.d` and `build/PACKAGE-HASH/*.d`, the compiler's dep-info. The hash leads to the package, for the
  unit's other directory is `.fingerprint/PACKAGE-HASH`; several packages may have a crate of one name, and a crate's
  root may lie in another package.
- `build/PACKAGE-HASH/output`, what a build script printed.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from daemon.ecosystems.rust.marks import Tells, Told

_HASH = f"hash='{'[0-9a-f]' * 16}'"
_UNIT = re.compile(
    r"(?:.*/)?(?P<kind>\.fingerprint|build)/(?P<package>[^/]+)-(?P<hash>[0-9a-f]{16})(?:/(?P<file>[^/]*))?"
)
_DEP_INFO = re.compile(r"(?:.*/)?deps/[^/]+-(?P<hash>[0-9a-f]{16})\.d")


class MarksV1:
    """`Marks` of cargo up to 1.99."""

    def dirty(self, packages: Sequence[str], dependents: Sequence[str], target: str) -> list[str]:
        """Lines that take away dep-info, and what build scripts printed and made."""
        forgotten = 'rm -f "$home/deps/"*-"${unit##*-}.d" || exit 70'
        wholly = [
            'for unit in "$home/.fingerprint/$package"-$hash; do',
            '  rm -f "$unit"/dep-* || exit 70',
            f"  {forgotten}",
            "done",
            'for run in "$home/build/$package"-$hash; do',
            '  rm -rf "$run/output" "$run/out" "$run"/*.d || exit 70',
            "done",
        ]
        but_scripts = [
            'for unit in "$home/.fingerprint/$package"-$hash; do',
            '  for info in "$unit"/dep-*; do',
            '    case "$info" in */dep-build-script-*) ;; *) rm -f "$info" || exit 70 ;; esac',
            "  done",
            f"  {forgotten}",
            "done",
        ]
        return [_HASH, *_in_homes(target, packages, wholly), *_in_homes(target, dependents, but_scripts)]

    def inputs(self, packages: Sequence[str], naming: str) -> list[str]:
        """Lines that name dep-info, outputs of build scripts, and the directories that tell units' packages."""
        units = [
            'for unit in "$home/.fingerprint/$package"-$hash; do',
            '  for found in "$unit" "$home/deps/"*-"${unit##*-}.d"; do',
            '    [ ! -e "$found" ] || printf "%s\\0" "$found"',
            "  done",
            "done",
            'for found in "$home/build/$package"-$hash/output "$home/build/$package"-$hash/*.d; do',
            '  [ ! -e "$found" ] || printf "%s\\0" "$found"',
            "done",
        ]
        others = f"-path '*/build/*/output' -exec grep -lZF {shlex.quote(naming)} '{{}}' +"
        return [_HASH, *_in_homes(".", packages, units), f"find . -mindepth 4 -maxdepth 5 {others} || :"]

    def told(self, names: Iterable[str]) -> Mapping[str, Told]:
        """What these names are."""
        listed = list(names)
        units = [(name, unit) for name in listed if (unit := _UNIT.fullmatch(name.rstrip("/")))]
        packages = {unit["hash"]: unit["package"] for _, unit in units if unit["kind"] == ".fingerprint"}
        found: dict[str, Told] = {}
        for name, unit in units:
            if unit["kind"] == "build" and unit["file"] == "output":
                found[name] = Told(Tells.SCRIPT, unit["package"])
            elif unit["kind"] == "build" and (unit["file"] or "").endswith(".d"):
                found[name] = Told(Tells.COMPILER, unit["package"])
        for name in listed:
            if info := _DEP_INFO.fullmatch(name):
                # A unit that has lost its mark could be any member's.
                found[name] = Told(Tells.COMPILER, packages.get(info["hash"]))
        return found


def _in_homes(target: str, packages: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Run lines for each package in each directory that has units: a profile's, below `target` or a target's triple."""
    if not packages:
        return []
    return [
        f"find {shlex.quote(target)} -mindepth 2 -maxdepth 3 -type d -name .fingerprint | while read -r marks; do",
        "  home=${marks%/.fingerprint}",
        f"  for package in {shlex.join(packages)}; do",
        *(f"    {line}" for line in lines),
        "  done",
        "done || exit 70",
    ]
