"""The revision of a directory as the client records it: commit and branch from git's own files, dirty asked of git.

Reading `HEAD` and the refs costs a few system calls, `git status` a process and a walk of its own; so git is asked only
when the tree, the commit or git's index has changed since it last answered. A tracked file that .dockerignore leaves
out is not in the tree, so a change to it alone is seen with the next change of one of those.
Sources: git's gitrepository-layout(5) and gitglossary(7)
"""

from pathlib import Path
from typing import NamedTuple

from api.client.stamps import Stamps

_HEX = frozenset("0123456789abcdef")
_NAME_LENGTHS = frozenset({40, 64})
"""SHA-1's and SHA-256's."""
_LINKS = 5
"""How deep git follows symbolic refs."""
_STATUS_SECONDS = 10.0
_BRANCH = "ref: refs/heads/"


class Revision(NamedTuple):
    """`daemon.builds.Revision`, without what that module imports."""

    commit: str
    branch: str
    dirty: bool


def read_revision(directory: str, tree: str, stamps: Stamps) -> Revision | None:
    """The revision of the repository that an absolute path is in, or None; `tree` is the source tree's digest."""
    found = _repository(Path(directory))
    if found is None:
        return None
    top, git = found
    commit, branch = _head(git)
    about = [tree, commit, _index(git)]
    dirty = stamps.fact("dirty", about)
    if dirty is None:
        dirty = _dirty(top)
        stamps.state("dirty", about, dirty)
    return Revision(commit, branch, bool(dirty))


def _repository(directory: Path) -> tuple[Path, Path] | None:
    """The top of the worktree and its git directory; `.git` is a file in linked worktrees and submodules."""
    for top in (directory, *directory.parents):
        place = top / ".git"
        if place.is_dir():
            return (top, place) if (place / "HEAD").exists() else None
        if line := _line(place):
            return (top, top / line.removeprefix("gitdir: ")) if line.startswith("gitdir: ") else None
    return None


def _line(place: Path) -> str:
    """A file's first line, or nothing."""
    try:
        with place.open(encoding="utf-8", errors="replace") as stream:
            return stream.readline(4096).rstrip("\n")
    except OSError:
        return ""


def _head(git: Path) -> tuple[str, str]:
    """Commit and branch; a detached HEAD has no branch, a branch without commits no commit."""
    shared = git / (_line(git / "commondir") or ".")
    value = _line(git / "HEAD")
    branch = value.removeprefix(_BRANCH) if value.startswith(_BRANCH) else ""
    for _ in range(_LINKS):
        if not value.startswith("ref: "):
            break
        name = value.removeprefix("ref: ")
        value = _line(git / name) or _line(shared / name) or _packed(shared, name)
    return (value if len(value) in _NAME_LENGTHS and _HEX.issuperset(value) else ""), branch


def _packed(shared: Path, name: str) -> str:
    try:
        with (shared / "packed-refs").open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.endswith(f" {name}\n"):
                    return line.split(" ", 1)[0]
    except OSError:
        pass
    return ""


def _index(git: Path) -> str:
    try:
        status = (git / "index").stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _dirty(top: Path) -> bool:
    """Whether anything differs from the commit or is not in it; what can't be found out is not vouched for."""
    import subprocess  # noqa: PLC0415 - costs milliseconds that an unchanged tree need not pay

    command = ["git", "-C", str(top), "--no-optional-locks", "-c", "core.fsmonitor=false", "status", "--porcelain"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_STATUS_SECONDS)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError):
        return True
    return bool(done.stdout)
