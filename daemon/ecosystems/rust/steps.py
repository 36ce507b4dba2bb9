"""The scripts that run in sandboxes: POSIX shell, coreutils, findutils, awk and binutils, nothing else."""

import shlex
from collections.abc import Mapping, Sequence

from daemon.ecosystems.ecosystem import SOURCE_TIME
from daemon.ecosystems.rust.environment import CARGO_HOME, TARGET, WORK
from daemon.ecosystems.rust.messages import WRITTEN

OUT = f"{TARGET}/.bloomery"
"""Where a compile leaves stripped binaries and their symbols."""
LIVE = "/bloomery/live"
"""The list of the hashes that stay, put in for the settling step."""
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


def compile_script(
    root: str, arguments: Sequence[str], binaries: Sequence[tuple[str, str]], environment: Mapping[str, str]
) -> str:
    """Build the real sources, then part each binary from its symbols; say what the build wrote into the sources.

    `binaries` are names with the paths where cargo puts them; whether it really did is for the reader of its messages.
    """
    lines = [
        "set -u",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())),
        f"cd {shlex.quote(_within_work(root))}",
        f"{_BUILD} {shlex.join(arguments)} || exit $?",
        f"find {WORK} ! -type d -newermt @{SOURCE_TIME} -printf '{WRITTEN}%P\\n' >&2",
        f"rm -rf {OUT} && mkdir -p {OUT} && cd {OUT} || exit 70",
    ]
    for name, path in binaries:
        here, made, symbols = shlex.quote(name), shlex.quote(path), shlex.quote(f"{name}.debug")
        lines += [
            f"objcopy --only-keep-debug {made} {symbols} || exit 70",
            f"objcopy --strip-all --add-gnu-debuglink={symbols} {made} {here} || exit 70",
        ]
    return _script(lines)


def _within_work(root: str) -> str:
    return f"{WORK}/{root}" if root else WORK


def _script(lines: Sequence[str]) -> str:
    return "\n".join(["#!/bin/sh", "umask 022", *lines, ""])
