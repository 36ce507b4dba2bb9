"""A workspace under another lock: what of it goes before cargo runs.

Of packages from outside those units stay that are listed; of packages of the tree all but those of dirty ones, which
are compiled again in any case. So what is there is bounded by what the last compile used (law 10).
"""

from collections.abc import Iterable, Sequence

from daemon.ecosystems.ecosystem import Move
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.rust.environment import CARGO_HOME, TARGET
from daemon.ecosystems.rust.steps import prune_lines
from daemon.ecosystems.step import SOURCE_TIME
from daemon.tarball import Member

_STAY = "/bloomery/stay"
"""The hashes of the units of packages from outside that stay, a line each."""
_GONE = "/bloomery/gone"
"""Archives of crates that go, below `registry/cache`, a line each."""
_CACHE = f"{CARGO_HOME.lstrip('/')}/registry/cache/"
_KEPT = "/tmp/kept"  # noqa: S108 - the sandbox's own tmpfs


def move_lines(packages: Sequence[str]) -> list[str]:
    """Take out what goes; `packages` are those of the tree whose units stay."""
    lines = [f"cp {_STAY} {_KEPT}"]
    if packages:
        # NAME-HASH, in newer layouts NAME/HASH; what has such a name and is another's stays, too.
        named = f".*/({'|'.join(packages)})[-/][0-9a-f]{{16}}"
        found = f"find {TARGET} -mindepth 2 -regextype posix-extended -regex '{named}' -prune -print"
        lines.append(f"{found} | sed 's/.*[/-]//' >> {_KEPT}")
    return [
        *lines,
        *prune_lines(_KEPT),
        "while read -r crate; do",
        f'  rm -rf -- "{CARGO_HOME}/registry/cache/$crate" "{CARGO_HOME}/registry/src/${{crate%.crate}}"',
        f"done < {_GONE}",
    ]


def move_members(move: Move) -> Iterable[Member]:
    """The lists for those lines."""
    # Never empty: what reads it could not tell it from what follows.
    stay = "".join(f"{line}\n" for line in ["-", *sorted({unit.unit_hash for unit in move.stay})])
    gone = "".join(f"{path.removeprefix(_CACHE)}\n" for path in gone_archives(move))
    for path, text in ((_STAY, stay), (_GONE, gone)):
        yield Member(path=path, mode=0o644, mtime=SOURCE_TIME, content=text.encode())


def gone_archives(move: Move) -> list[str]:
    """The archives that the new lock does not have, or has with other content; paths from the root."""
    wanted = set(move.wanted.files)
    return [file.path for file in move.there.files if file not in wanted and file.path.startswith(_CACHE)]


def new_files(move: Move) -> Fetched:
    """What was fetched and is not there; archives that are tars are the same."""
    there = set(move.there.files)
    return Fetched(files=tuple(file for file in move.wanted.files if file not in there))
