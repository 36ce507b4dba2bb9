"""How units are marked and what tells of their inputs in cargo's layout v2 (`daemon.units.layout_v2`).

A unit that lost its `fingerprint/dep-*` is dirty, and a build script's run that lost its `run/stdout`. Of inputs tell
`build/PACKAGE/HASH/out/*.d`, the compiler's dep-info, and `build/PACKAGE/HASH/run/stdout`, what a build script printed.
What has a directory `run` is a run: what lies in its `out` is the script's own.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from daemon.ecosystems.rust.marks import Tells, Told

_HASH = f"hash='{'[0-9a-f]' * 16}'"
_TELLS = re.compile(
    r"(?:\./)?(?:[^/]+/){1,2}build/(?P<package>[^/]+)/[0-9a-f]{16}/(?:(?P<script>run/stdout)|out/[^/]+\.d)"
)


class MarksV2:
    """`Marks` of cargo from 1.100."""

    def dirty(self, packages: Sequence[str], dependents: Sequence[str], target: str) -> list[str]:
        """Lines that take away dep-info, and what build scripts printed and made."""
        wholly = [
            'if [ -d "$unit/run" ]; then',
            '  rm -rf "$unit/run/stdout" "$unit/out" || exit 70',
            "else",
            '  rm -f "$unit"/fingerprint/dep-* "$unit"/out/*.d || exit 70',
            "fi",
        ]
        but_scripts = [
            'for info in "$unit"/fingerprint/dep-*; do',
            '  case "$info" in */dep-build-script-*) ;; *) rm -f "$info" "$unit"/out/*.d || exit 70 ;; esac',
            "done",
        ]
        return [_HASH, *_for_units(target, packages, wholly), *_for_units(target, dependents, but_scripts)]

    def inputs(self, packages: Sequence[str], naming: str) -> list[str]:
        """Lines that name dep-info and outputs of build scripts."""
        found = [
            'if [ -d "$unit/run" ]; then set -- "$unit/run/stdout"; else set -- "$unit"/out/*.d; fi',
            'for found; do [ ! -e "$found" ] || printf "%s\\0" "$found"; done',
        ]
        others = f"-path '*/build/*/*/run/stdout' -exec grep -lZF {shlex.quote(naming)} '{{}}' +"
        return [_HASH, *_for_units(".", packages, found), f"find . -mindepth 6 -maxdepth 7 {others} || :"]

    def told(self, names: Iterable[str]) -> Mapping[str, Told]:
        """What these names are."""
        found = ((name, told) for name in names if (told := _TELLS.fullmatch(name)))
        return {name: Told(Tells.SCRIPT if told["script"] else Tells.COMPILER, told["package"]) for name, told in found}


def _for_units(target: str, packages: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Run lines for each unit of these packages, in every profile's directory below `target` or a target's triple."""
    if not packages:
        return []
    return [
        f"find {shlex.quote(target)} -mindepth 2 -maxdepth 3 -type d -name build | while read -r units; do",
        f"  for package in {shlex.join(packages)}; do",
        '    for unit in "$units/$package/"$hash; do',
        *(f"      {line}" for line in lines),
        "    done",
        "  done",
        "done || exit 70",
    ]
