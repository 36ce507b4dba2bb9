"""The scripts that run in sandboxes: POSIX shell, coreutils, findutils, awk and binutils, nothing else."""

import shlex
from collections.abc import Mapping, Sequence

from daemon.ecosystems.rust.environment import CARGO_HOME, TARGET, WORK
from daemon.ecosystems.rust.messages import WRITTEN
from daemon.ecosystems.rust.written import LISTED
from daemon.ecosystems.step import SOURCE_TIME

OUT = f"{TARGET}/.bloomery"
"""Where a compile leaves stripped binaries and their symbols."""
KNOWN = f"{OUT}/known+"
"""Where it leaves what is known of its inputs; no binary has such a name."""
LIVE = "/bloomery/live"
"""The list of the hashes that stay, put in for the settling step."""
REMOVED = "/bloomery/removed"
"""The paths below the sources that go before a compile in a workspace, each ended by a zero byte."""
BROUGHT = f"{CARGO_HOME}/brought"
"""Where a fetch leaves second names of what has come, as `cache/…` and `index/…` of the registries."""
_STARTED = ".bloomery-started"
OWN = (OUT.removeprefix(f"{TARGET}/"), _STARTED)
"""What of all that a compile leaves below `TARGET` is not cargo's."""
_HASHED = "(.*/|.*-)[0-9a-f]{16}|.*-[0-9a-f]{16}[.][^/]*"
"""A path whose last part is a unit's hash, or a name that ends with one."""
_CARGOS_OWN = (".cargo*-lock", ".rustc_info.json", "CACHEDIR.TAG")
_BUILD = "cargo build --locked --offline --message-format=json-diagnostic-rendered-ansi"


def lock_script(root: str) -> str:
    """Make a lock; runs nothing of the project."""
    return _script(["set -eu", f"cd {shlex.quote(_within_work(root))}", "cargo generate-lockfile"])


def fetch_script(root: str, triple: str, archives: int) -> str:
    """Get what the lock names for one target, beside `archives` that were put there; tell what came in `BROUGHT`."""
    return _script(
        [
            "set -eu",
            *_unpack_lines(archives),
            f"mkdir {BROUGHT}",
            f"cd {shlex.quote(_within_work(root))}",
            f"cargo fetch --locked --target {shlex.quote(triple)}",
            f"mkdir -p {CARGO_HOME}/registry/cache {CARGO_HOME}/registry/index",
            f"cd {CARGO_HOME}/registry",
            f"find cache index -type f -cnewer {BROUGHT} -exec cp --link --parents -t {BROUGHT} {{}} +",
        ]
    )


def cook_script(root: str, arguments: Sequence[str], archives: int) -> str:
    """Build the skeleton: dependencies, and stubs that are thrown away. `archives` were put beside CARGO_HOME."""
    build = [f"rm -rf {BROUGHT}", f"cd {shlex.quote(_within_work(root))}", f"exec {_BUILD} {shlex.join(arguments)}"]
    return _script(["set -eu", *_unpack_lines(archives), *build])


def _unpack_lines(archives: int) -> list[str]:
    lines = []
    for archive in map(fetched_archive, range(archives)):
        lines += [f"tar -C {CARGO_HOME} --no-same-owner -xf /{archive} || exit 70", f"rm /{archive} || exit 70"]
    return lines


def fetched_archive(number: int) -> str:
    """Where a fetched tar is put for a step: a place that the builder can remove it from."""
    return f"{CARGO_HOME.lstrip('/')}/fetched-{number}.tar"


def settle_script(artefact_time: int) -> str:
    """Take out all but the live units, and the skeleton; then give every artefact its constant time (law 1, law 2).

    Dependencies' sources keep their times: cargo takes what is in CARGO_HOME for immutable.

    What stays has a live unit's hash at the end of its name or of a directory's above it, as `build/NAME-HASH`,
    `deps/libNAME-HASH.rlib` (cargo's layout v1), `build/NAME/HASH` (v2). That holds in every layout, also in one that
    is not known: what stays may be less than it could be, and is never more.
    """
    return _script(
        [
            "set -eu",
            *prune_lines(LIVE),
            f"cd {WORK}",
            "find . -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +",
            f"find {TARGET} -exec touch -h -d @{artefact_time} {{}} +",
        ]
    )


def prune_lines(live: str) -> list[str]:
    """Take out of the target directory what has none of the hashes that a file lists, one a line."""
    prune = (
        "awk 'NR == FNR { live[$0] = 1; next }"
        ' { count = split($0, part, "/"); stem = part[count]; sub(/[.].*$/, "", stem);'
        f" if (!(substr(stem, length(stem) - 15) in live)) print }}' {live} -"
    )
    hashed = f"find {TARGET} -mindepth 1 -regextype posix-extended -regex '{_HASHED}' -prune"
    own = " ".join(f"! -name '{name}'" for name in _CARGOS_OWN)
    return [
        f"{hashed} -print -o ! -type d {own} -print | {prune} | xargs -r -d '\\n' rm -rf --",
        f"{hashed} -o -type d -print | sort -r | xargs -r -d '\\n' rmdir --ignore-fail-on-non-empty --",
    ]


def clear_lines() -> tuple[str, ...]:
    """Take away what the sources have no more, or have as something else; the list is put in with it."""
    return (f"cd {WORK}", f"xargs -r -0 rm -rf -- < {REMOVED}")


def clear_script(lines: Sequence[str]) -> str:
    """What goes before a compile, in a step of its own."""
    return _script(["set -eu", *lines])


def compile_script(
    root: str,
    arguments: Sequence[str],
    binaries: Sequence[tuple[str, str]],
    environment: Mapping[str, str],
    *,
    artefact_time: int,
    clearing: Sequence[str] = (),
    marks: Sequence[str] = (),
    inputs: Sequence[str] = (),
    archives: int = 0,
) -> str:
    """Build the real sources, then part each binary from its symbols; say what the build wrote into the sources.

    `binaries` are names with the paths where cargo puts them; whether it really did is for the reader of its messages.
    The lines `clearing` and `marks` run before, `inputs` after cargo; `archives` as for a cook. Every artefact gets its
    constant time, also where the sources do not compile.
    """
    lines = [
        "set -u",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())),
        *(("(", "set -eu", *clearing, ")", "[ $? -eq 0 ] || exit 70") if clearing else ()),
        f"rm -rf {OUT} && mkdir -p {OUT} || exit 70",
        *_unpack_lines(archives),
        *start_lines(),
        *marks,
        f"cd {shlex.quote(_within_work(root))} || exit 70",
        f"{_BUILD} {shlex.join(arguments)}; code=$?",
        "(",
        *inputs,
        *stamp_lines(artefact_time),
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


def inputs_lines(names: Sequence[str], target: str = TARGET, work: str = WORK) -> list[str]:
    """Leave what is known of a compile's inputs in `KNOWN`, before the artefacts get their time again.

    `inputs.tar` has the files that the lines `names` name (`daemon.ecosystems.rust.marks`), by names below `target`.
    `paths` is all that is in the tree (`daemon.ecosystems.rust.written`).
    """
    out, started = shlex.quote(KNOWN.replace(TARGET, target, 1)), _quoted(target, _STARTED)
    touched = f"'(' -cnewer {started} -printf + -o -printf = ')'"
    return [
        f"mkdir -p {out} || exit 70",
        f"find {shlex.quote(work)} -mindepth 1 {touched} -printf '{LISTED}' > {out}/paths || exit 70",
        "(",
        f"cd {shlex.quote(target)} || exit 70",
        *names,
        f") > {out}/list || exit 70",
        f"tar -C {shlex.quote(target)} --create --null --no-recursion -T {out}/list -f {out}/inputs.tar || exit 70",
        f"rm -f {out}/list",
        f"du -s -B1 {shlex.quote(target)} > {out}/size",
    ]


def naming(work: str = WORK) -> str:
    """What is in the output of a build script that watches something in the tree."""
    return f"rerun-if-changed={work}/"


def stamp_lines(artefact_time: int, target: str = TARGET) -> list[str]:
    """Give all that a step made its constant time, also after it failed (law 1)."""
    time, out = f"@{artefact_time}", _quoted(target, ".bloomery")
    newer = f"-path {out} -prune -o -newermt {time}"  # what is taken out is no artefact
    return [f"find {shlex.quote(target)} {newer} -exec touch -h -d {time} '{{}}' + || exit 70"]


def _quoted(directory: str, name: str) -> str:
    return shlex.quote(f"{directory}/{name}")


def _within_work(root: str) -> str:
    return f"{WORK}/{root}" if root else WORK


def _script(lines: Sequence[str]) -> str:
    return "\n".join(["#!/bin/sh", "umask 022", *lines, ""])
