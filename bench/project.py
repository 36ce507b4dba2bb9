"""What a measurement must know of a cargo project: its binary, the stubs of its packages, a member deep below it.

Read from the manifests alone. Any project whose binary has a `fn main()` will do; nothing in it is made for us.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

STUB_MAIN = "fn main() {}\n"


class UnfitProject(Exception):  # noqa: N818 - reads as what happened
    """A directory that the ladder cannot build; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package of the tree, its place relative to the root."""

    name: str
    place: PurePosixPath
    manifest: Mapping[str, Any]
    libraries: tuple[PurePosixPath, ...]
    """None or one."""
    binaries: Mapping[str, PurePosixPath]
    scripts: tuple[PurePosixPath, ...]
    """Its build script, if the manifest names one; cargo finds the usual one by itself, and does without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project and the one binary of it that is built."""

    name: str
    root: Path
    package: Package
    binary: str
    version: str
    """The package's own, or the one that it inherits."""
    packages: tuple[Package, ...]
    deep: Package | None
    """The member that the most other members stand between the binary and; none where the binary stands alone."""

    @property
    def main(self) -> PurePosixPath:
        """Where the binary's `main` is."""
        return self.package.binaries[self.binary]

    @property
    def manifests(self) -> tuple[PurePosixPath, ...]:
        """All manifests, the root's first."""
        places = {PurePosixPath(), *(package.place for package in self.packages)}
        return tuple(place / "Cargo.toml" for place in sorted(places, key=lambda place: (len(place.parts), place)))

    @property
    def stubs(self) -> dict[PurePosixPath, str]:
        """For each source that cargo would look for: the least that compiles."""
        found: dict[PurePosixPath, str] = {}
        for package in self.packages:
            found |= dict.fromkeys(package.libraries, "")
            found |= dict.fromkeys([*package.binaries.values(), *package.scripts], STUB_MAIN)
        return found


def read_project(root: Path, binary: str = "") -> Project:
    """Read a project; raises `UnfitProject`. Of several binaries the root package's counts, then the first by name."""
    if not (root / "Cargo.lock").is_file():
        raise UnfitProject(f"{root} has no Cargo.lock")
    packages = tuple(_packages(root))
    offered = [(name, package) for package in packages for name in sorted(package.binaries)]
    chosen = [(name, package) for name, package in offered if binary in {"", name}]
    if not chosen:
        raise UnfitProject(f"{root} has no binary {binary}".rstrip())
    name, package = chosen[0]
    if not (root / package.binaries[name]).is_file():
        raise UnfitProject(f"{root}: there is no {package.binaries[name]}")
    version = package.manifest["package"].get("version", "0.0.0")
    if isinstance(version, dict):
        version = _toml(root / "Cargo.toml")["workspace"]["package"]["version"]
    return Project(
        name=root.name,
        root=root,
        package=package,
        binary=name,
        version=version,
        packages=packages,
        deep=_deep(root, packages, package),
    )


def _packages(root: Path) -> list[Package]:
    top = _toml(root / "Cargo.toml")
    workspace = top.get("workspace", {})
    folders = {root} if "package" in top else set()
    for pattern in workspace.get("members", ()):
        folders |= {each.resolve() for each in root.glob(pattern) if (each / "Cargo.toml").is_file()}
    folders -= {each.resolve() for pattern in workspace.get("exclude", ()) for each in root.glob(pattern)}
    return [_package(root, folder) for folder in sorted(folders, key=lambda each: (each != root, each))]


def _package(root: Path, folder: Path) -> Package:
    manifest = _toml(folder / "Cargo.toml")
    name, place = manifest["package"]["name"], PurePosixPath(folder.relative_to(root).as_posix())
    library = manifest.get("lib", {}).get("path", "src/lib.rs")
    binaries = {}
    if (folder / "src/main.rs").is_file():
        binaries[name] = place / "src/main.rs"
    binaries |= {file.stem: place / "src/bin" / file.name for file in sorted(folder.glob("src/bin/*.rs"))}
    for each in manifest.get("bin", ()):
        path = place / each.get("path", "src/main.rs")
        binaries = {known: where for known, where in binaries.items() if where != path} | {each["name"]: path}
    script = manifest["package"].get("build")
    return Package(
        name=name,
        place=place,
        manifest=manifest,
        libraries=(place / library,) if (folder / library).is_file() else (),
        binaries=binaries,
        scripts=(place / script,) if isinstance(script, str) else (),
    )


def _deep(root: Path, packages: tuple[Package, ...], package: Package) -> Package | None:
    """By breadth from the binary's package over path dependencies: the last one that is reached."""
    shared = _toml(root / "Cargo.toml").get("workspace", {}).get("dependencies", {})
    by_place = {(root / each.place).resolve(): each for each in packages}
    reached, turn = [package], 0
    while turn < len(reached):
        each, turn = reached[turn], turn + 1
        for name, wanted in sorted(each.manifest.get("dependencies", {}).items()):
            inherits = isinstance(wanted, dict) and wanted.get("workspace")
            origin, said = (root, shared.get(name)) if inherits else (root / each.place, wanted)
            if isinstance(said, dict) and "path" in said:
                found = by_place.get((origin / said["path"]).resolve())
                if found is not None and found.libraries and found not in reached:
                    reached.append(found)
    return reached[-1] if len(reached) > 1 else None


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnfitProject(f"there is no {file}") from None
    except tomllib.TOMLDecodeError as error:
        raise UnfitProject(f"{file}: {error}") from error
