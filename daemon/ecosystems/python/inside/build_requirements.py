"""Says what the sdists of a lock are built with: `[build-system] requires` of each, without running anything of theirs.

Run as `python3 -m inside.build_requirements LOCK TAGS DIRECTORY`; tags are those of wheels that fit, one a line. An
sdist is looked into only if no wheel of its package fits. Prints requirements, one a line; sdists stay there.

Source: https://packaging.python.org/en/latest/specifications/pyproject-toml/#build-system
"""

import pathlib
import sys
import tarfile
import tomllib
import zipfile
from typing import Any

from .fetch_files import NotFetchedError, fetched

_LEGACY = ["setuptools >= 40.8.0"]
"""What a project is built with that does not say it."""
_NOT_READ = 78


def main(lock: str, tags: str, directory: str) -> int:
    """Returns what the program ends with."""
    fitting = frozenset(pathlib.Path(tags).read_text("utf-8").split())
    packages = tomllib.loads(pathlib.Path(lock).read_text("utf-8")).get("packages", [])
    found: set[str] = set()
    for package in packages:
        if "sdist" in package and not any(_fits(wheel, fitting) for wheel in package.get("wheels", [])):
            try:
                found.update(_requires(package["sdist"], pathlib.Path(directory)))
            except NotFetchedError as failure:
                sys.stderr.write(f"error: {failure}\n")
                return failure.code
            except (OSError, KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
                sys.stderr.write(f"error: the sdist of {package['name']} cannot be read: {error}\n")
                return _NOT_READ
    sys.stdout.write("".join(f"{requirement}\n" for requirement in sorted(found)))
    return 0


def _fits(wheel: dict[str, Any], fitting: frozenset[str]) -> bool:
    *_, pythons, abis, platforms = _name(wheel).removesuffix(".whl").split("-")
    return any(
        f"{python}-{abi}-{platform}" in fitting
        for python in pythons.split(".")
        for abi in abis.split(".")
        for platform in platforms.split(".")
    )


def _name(file: dict[str, Any]) -> str:
    return str(file.get("name") or file["url"].rpartition("/")[2])


def _requires(sdist: dict[str, Any], directory: pathlib.Path) -> list[str]:
    path = directory / _name(sdist)
    if not path.exists():
        fetched(sdist["url"], sdist["hashes"]["sha256"], path)
    text = _pyproject(path)
    if text is None:
        return _LEGACY
    return list(tomllib.loads(text.decode()).get("build-system", {}).get("requires", _LEGACY))


def _pyproject(path: pathlib.Path) -> bytes | None:
    """The one below the only directory at the top."""
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if _is_ours(name)]
            return archive.read(names[0]) if names else None
    with tarfile.open(path) as archive:
        for entry in archive:
            if entry.isreg() and _is_ours(entry.name):
                content = archive.extractfile(entry)
                return content.read() if content else None
    return None


def _is_ours(name: str) -> bool:
    return name.removeprefix("./").count("/") == 1 and name.endswith("/pyproject.toml")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
