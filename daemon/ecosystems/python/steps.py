"""The scripts of Python sandboxes: POSIX shell, uv, and the toolchain's own Python."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files as resources

from cache.manifests.python.project import Decider, PythonProject
from daemon.ecosystems.python.environment import BUILDER, CACHE, FILES, INSTALLED, WORK, site_packages
from daemon.ecosystems.step import SOURCE_TIME
from daemon.image.interpreter import ENVIRONMENT
from daemon.tarball import Member
from daemon.toolchains.toolchain import PythonFacts

LOCK = "/target/pylock.toml"
"""Where a made lock lies."""
LISTED = "/bloomery/files.json"
"""What is to be fetched."""
TAGS = "/bloomery/tags"
"""Those of wheels that the interpreter can use."""
WANTED = "/bloomery/install.txt"
"""What is to be installed, as requirements."""
BUILDS = "builds-v0"
"""The directory of uv's cache in which it builds."""
BUILD_HEADER = "tool.bloomery.build.packages"
_RESOLVE = "uv pip compile --quiet --no-header --no-annotate --format pylock.toml"
_EXPORT = "uv export --quiet --frozen --no-emit-project --no-default-groups --no-header --format pylock.toml"
_INSTALL = "uv pip install --offline --no-index --no-deps --no-config"
_UNPACKED = f"{ENVIRONMENT}/.uv"
"""Uv's own while it installs: beside where files go, which are then linked and not copied."""
_INSIDE = "daemon.ecosystems.python.inside"
_BUILDING = "/target/pylock.build.toml"
_BUILT_WITH = "/target/build.txt"


def lock_script(project: PythonProject, python: PythonFacts) -> str:
    """Make a lock, and lock what its sdists are built with; runs nothing of the project or of a package."""
    manifest = shlex.quote(f"{WORK}/{project.manifest}")
    extras = " ".join(f"--extra {shlex.quote(extra)}" for extra in project.extras)
    groups = " ".join(f"--group {shlex.quote(group)}" for group in project.groups)
    within = shlex.quote(f"{WORK}/{project.directory}")
    making = {
        Decider.PYLOCK: f"cp {manifest} {LOCK}",
        Decider.UV_LOCK: f"(cd {within} && {_EXPORT} -o {LOCK} {extras} {groups} >/dev/null)",
        Decider.REQUIREMENTS: f"{_RESOLVE} -o {LOCK} {manifest} >/dev/null",
        Decider.PYPROJECT: f"{_RESOLVE} -o {LOCK} {extras} {groups} {manifest} >/dev/null",
    }
    return _script(
        [
            # Where uv would build: what only a package's own code could tell is an error, and none of it runs.
            f"mkdir -p {CACHE} && : > {CACHE}/{BUILDS}",
            making[project.decider],
            f"mkdir -p {FILES}",
            "cd /bloomery",
            f"{python.executable} -E -s -m inside.build_requirements {LOCK} {TAGS} {FILES} > {_BUILT_WITH}",
            f"if [ -s {_BUILT_WITH} ]; then",
            f"{_RESOLVE} --no-build -o {_BUILDING} {_BUILT_WITH} >/dev/null",
            f"sed -n '/^\\[/,$p' {_BUILDING} | sed 's/^\\(\\[\\[*\\)packages/\\1{BUILD_HEADER}/' >> {LOCK}",
            "fi",
        ]
    )


def fetch_script(python: PythonFacts) -> str:
    """Fetch what is listed."""
    return _script(["cd /bloomery", f"exec {python.executable} -E -s -m inside.fetch_files {LISTED} {FILES}"])


def install_script(python: PythonFacts) -> str:
    """Install what is wanted, each package from its own file; in its bytecode no time plays a part."""
    program = f"{ENVIRONMENT}/bin/python"
    return _script(
        [
            f"export UV_CACHE_DIR={_UNPACKED}",
            f"uv venv --quiet --offline --no-project --no-config --allow-existing {ENVIRONMENT}",
            f"{_INSTALL} --find-links {FILES} --python {program} -r {WANTED}",
            f"rm -rf {_UNPACKED}",
            # What a wheel brings of it may be of another package's source.
            f"find {ENVIRONMENT}/lib -name __pycache__ -prune -exec rm -rf {{}} +",
            "cd /bloomery",
            # Not with -E: PYTHONHASHSEED counts.
            f"{python.executable} -B -s -S -m inside.compile_packages {site_packages(python)}",
            f"tar --create --file={INSTALLED} --directory=/ {ENVIRONMENT.lstrip('/')}",
        ]
    )


def programs() -> Iterator[Member]:
    """The programs that the scripts run, as a package beside them."""
    yield Member(path="bloomery/inside", mode=0o755, mtime=SOURCE_TIME)
    for name in ("__init__.py", "build_requirements.py", "compile_packages.py", "fetch_files.py"):
        content = resources(_INSIDE).joinpath(name).read_bytes()
        yield Member(path=f"bloomery/inside/{name}", mode=0o644, mtime=SOURCE_TIME, content=content)


def text(path: str, lines: Iterable[str]) -> Member:
    """A file of lines."""
    content = "".join(f"{line}\n" for line in lines).encode()
    return Member(path=path.lstrip("/"), mode=0o644, mtime=SOURCE_TIME, content=content)


def owned(path: str) -> Member:
    """A directory that belongs to the builder."""
    return Member(path=path.lstrip("/"), mode=0o755, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER)


def _script(lines: Sequence[str]) -> str:
    return "\n".join(["#!/bin/sh", "set -eu", "umask 022", *lines, ""])
