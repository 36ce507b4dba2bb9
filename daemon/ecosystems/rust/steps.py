"""The scripts that run in sandboxes: POSIX shell, coreutils, findutils, awk and binutils, nothing else."""

import shlex
from collections.abc import Mapping, Sequence

from daemon.ecosystems.ecosystem import SOURCE_TIME
from daemon.ecosystems.rust.environment import CARGO_HOME, TARGET, WORK
from daemon.ecosystems.rust.messages import WRITTEN
from daemon.ecosystems.rust.written import LISTED

OUT = f"{TARGET}/.bloomery"
"""Where a compile leaves stripped binaries and their symbols."""
KNOWN = f"{OUT}/known+"
"""Where it leaves what is known of its inputs; no binary has such a name."""
LIVE = "/bloomery/live"
"""The list of the hashes that stay, put in for the settling step."""
REMOVED = "/bloomery/removed"
"""The paths below the sources that go before a compile in a workspace, each ended by a zero byte."""
_STARTED = ".bloomery-started"
_HASH = f"hash='{'[0-9a-f]' * 16}'"
_BUILD = "cargo build --locked --offline --message-format=json-diagnostic-rendered-ansi"


def lock_script(root: str) -> str:
    """Make a lock; runs nothing of the project."""
    return _script(["set -eu", f"cd {shlex.quote(_within_work(root))}", "cargo generate-lockfile"])


def fetch_script(root: str, triple: str) -> str:
    """Get what the lock names for one target."""
    return _script(
        [
            "set -eu",
            f"cd {shlex.quote(_within_work(root))}",
            f"cargo fetch --locked --target {shlex.quote(triple)}",
        ]
    )


def cook_script(root: str, arguments: Sequence[str], archives: int) -> str:
    """Build the skeleton: dependencies, and stubs that are thrown away. `archives` were put beside CARGO_HOME."""
    lines = ["set -eu"]
    for number in range(archives):
        archive = fetched_archive(number)
        lines += [f"tar -C {CARGO_HOME} --no-same-owner -xf /{archive}", f"rm /{archive}"]
    lines += [f"cd {shlex.quote(_within_work(root))}", f"exec {_BUILD} {shlex.join(arguments)}"]
    return _script(lines)


def fetched_archive(number: int) -> str:
    """Where a fetched tar is put for the cook step: a place that the builder can remove it from."""
    return f"{CARGO_HOME.lstrip('/')}/fetched-{number}.tar"


def settle_script(artefact_time: int) -> str:
    """Take out all but the live units, and the skeleton; then give every artefact its constant time (law 1, law 2).

    Dependencies' sources keep their times: cargo takes what is in CARGO_HOME for immutable.

    A unit's files carry its hash as the last 16 characters of their stem: `.fingerprint/NAME-HASH`, `build/NAME-HASH`,
    `deps/libNAME-HASH.rlib` (cargo's layout v1).
    """
    prune = (
        f'awk \'NR == FNR {{ live[$0] = 1; next }} {{ stem = $0; sub(/[.].*$/, "", stem);'
        f" if (!(substr(stem, length(stem) - 15) in live)) print }}' {LIVE} -"
    )
    return _script(
        [
            "set -eu",
            f"find {TARGET} -maxdepth 3 -type d -name .fingerprint | while read -r marks; do",
            '  home=$(dirname "$marks")',
            "  for kind in .fingerprint build deps; do",
            '    [ -d "$home/$kind" ] || continue',
            '    cd "$home/$kind"',
            f"    ls -A | {prune} | xargs -r -d '\\n' rm -rf --",
            "  done",
            '  rm -rf "$home/examples" "$home/incremental"',
            '  mkdir -p "$home/examples" "$home/incremental"',
            '  find "$home" -maxdepth 1 ! -type d ! -name .cargo-lock -delete',
            "done",
            f"cd {WORK}",
            "find . -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +",
            f"find {TARGET} -exec touch -h -d @{artefact_time} {{}} +",
        ]
    )


def clear_script() -> str:
    """Take away what the sources have no more, or have as something else; the list is put in with it."""
    return _script(["set -eu", f"cd {WORK}", f"xargs -r -0 rm -rf -- < {REMOVED}"])


def compile_script(
    root: str,
    arguments: Sequence[str],
    binaries: Sequence[tuple[str, str]],
    environment: Mapping[str, str],
    *,
    packages: Sequence[str],
    artefact_time: int,
    marks: Sequence[str] = (),
) -> str:
    """Build the real sources, then part each binary from its symbols; say what the build wrote into the sources.

    `binaries` are names with the paths where cargo puts them; whether it really did is for the reader of its messages.
    `packages` are those of the tree. What cargo left about their inputs is collected, and every artefact gets its
    constant time, also where the sources do not compile.
    """
    lines = [
        "set -u",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())),
        f"rm -rf {OUT} && mkdir -p {OUT} || exit 70",
        *start_lines(),
        *marks,
        f"cd {shlex.quote(_within_work(root))} || exit 70",
        f"{_BUILD} {shlex.join(arguments)}; code=$?",
        "(",
        *inputs_lines(packages),
        *stamp_lines(artefact_time),
        f"du -s -B1 {TARGET} > {KNOWN}/size",
        ") & left=$!",
        f"find {WORK} ! -type d -newermt @{SOURCE_TIME} -printf '{WRITTEN}%P\\n' >&2 &",
        "if [ $code -eq 0 ]; then",
        f"cd {OUT} || exit 70",
    ]
    for name, path in binaries:
        here, made, symbols = shlex.quote(name), shlex.quote(path), shlex.quote(f"{name}.debug")
        lines += [
            f"objcopy --only-keep-debug {made} {symbols} || exit 70",
            f"objcopy --strip-all --add-gnu-debuglink={symbols} {made} {here} || exit 70",
        ]
    return _script([*lines, "fi", "wait $left || exit 70", "wait", "exit $code"])


def start_lines(target: str = TARGET) -> list[str]:
    """Remember when a compile began, by the clock of the file system: what it writes into the sources is younger."""
    return [f": > {_quoted(target, _STARTED)} || exit 70"]


def mark_lines(packages: Sequence[str], dependents: Sequence[str] = (), target: str = TARGET) -> list[str]:
    """Make packages dirty for cargo, by its layout v1: units that lost their dep-info, runs that lost their output.

    Of `dependents` the build scripts stay as they are. Units of every profile and target are marked. What a marked unit
    has read goes with it: one that is never compiled again (of an older version) must vouch for nothing. A script that
    runs again finds its `OUT_DIR` empty, as in a clean build: many make nothing anew that they find there.
    """
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


def inputs_lines(packages: Sequence[str], target: str = TARGET, work: str = WORK) -> list[str]:
    """Leave what is known of a compile's inputs in `KNOWN`, before the artefacts get their time again.

    `inputs.tar` has the packages' dep-info and their build scripts' output, by names below `target`, and directories
    that tell units' packages; and the output of every other script that names a path of the tree. `paths` is all that
    is in the tree (`daemon.ecosystems.rust.written`).
    """
    out, started = shlex.quote(KNOWN.replace(TARGET, target, 1)), _quoted(target, _STARTED)
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
    naming = shlex.quote(f"rerun-if-changed={work}/")
    touched = f"'(' -cnewer {started} -printf + -o -printf = ')'"
    return [
        f"mkdir -p {out} || exit 70",
        f"find {shlex.quote(work)} -mindepth 1 {touched} -printf '{LISTED}' > {out}/paths || exit 70",
        _HASH,
        "(",
        f"cd {shlex.quote(target)} || exit 70",
        *_in_homes(".", packages, units),
        f"find . -mindepth 4 -maxdepth 5 -path '*/build/*/output' -exec grep -lZF {naming} '{{}}' + || :",
        f") > {out}/list || exit 70",
        f"tar -C {shlex.quote(target)} --create --null --no-recursion -T {out}/list -f {out}/inputs.tar || exit 70",
        f"rm -f {out}/list",
    ]


def stamp_lines(artefact_time: int, target: str = TARGET) -> list[str]:
    """Give all that a step made its constant time, also after it failed (law 1)."""
    time, out = f"@{artefact_time}", _quoted(target, ".bloomery")
    newer = f"-path {out} -prune -o -newermt {time}"  # what is taken out is no artefact
    return [f"find {shlex.quote(target)} {newer} -exec touch -h -d {time} '{{}}' + || exit 70"]


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


def _quoted(directory: str, name: str) -> str:
    return shlex.quote(f"{directory}/{name}")


def _within_work(root: str) -> str:
    return f"{WORK}/{root}" if root else WORK


def _script(lines: Sequence[str]) -> str:
    return "\n".join(["#!/bin/sh", "umask 022", *lines, ""])
