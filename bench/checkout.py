"""A copy of a project that scenarios change, and what a program built from it must say.

Times of files play a part here, as they do in people's checkouts: an edit is written now unless a scenario says
otherwise.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from bench import edits
from bench.correctness import Expected
from bench.project import Package, Project, read_project

LOCK = PurePosixPath("Cargo.lock")
LONG_AGO = 978_307_200
"""2001-01-01, in seconds."""


class Resolver(Protocol):
    """Cargo with a network, which alone knows what a lock becomes."""

    def follow(self, folder: Path) -> None:
        """Make the lock follow the manifests of the members, and change nothing else in it."""
        ...

    def add(self, folder: Path, package: Package, dependency: str) -> None:
        """Add a dependency to a package, at a version that this names: `hex@=0.4.3`."""
        ...

    def move(self, folder: Path, candidates: Mapping[str, str]) -> str:
        """Move the first of these locked packages that may be moved to its version; returns which it was."""
        ...


@dataclass(slots=True, kw_only=True)
class Checkout:
    """A folder with a project in it."""

    folder: Path
    project: Project
    marks: Iterator[str]
    """Marks that no other edit of this measurement carries."""
    lineage: str = "main"
    main_mark: str = ""
    deep_mark: str = ""
    locked: dict[PurePosixPath, str] = field(default_factory=dict)
    """Manifests and lock as they were before the last change of dependencies; empty where there was none."""

    @classmethod
    def of(cls, project: Project, folder: Path, marks: Iterator[str]) -> "Checkout":
        """A new copy of a project, with marks in it."""
        shutil.copytree(
            project.root, folder, ignore=shutil.ignore_patterns("target", ".git"), copy_function=shutil.copy
        )
        made = cls(folder=folder, project=read_project(folder, project.binary), marks=marks)
        made.edit_main()
        if made.project.deep is not None:
            made.edit_deep()
        return made

    @property
    def expected(self) -> Expected:
        """What a program of these sources says."""
        return Expected(mark=self.main_mark, version=self.project.version, member_mark=self.deep_mark)

    def branch(self, folder: Path, lineage: str) -> "Checkout":
        """The same sources as a new checkout of a new branch; all its files are written now."""
        shutil.copytree(self.folder, folder, copy_function=shutil.copy)
        return Checkout(
            folder=folder,
            project=read_project(folder, self.project.binary),
            marks=self.marks,
            lineage=lineage,
            main_mark=self.main_mark,
            deep_mark=self.deep_mark,
        )

    def edit_main(self) -> None:
        """Change the line of `main` that says the mark."""
        self.main_mark = next(self.marks)
        self._change(self.project.main, edits.marked_main(self._read(self.project.main), self.main_mark))

    def edit_deep(self) -> None:
        """Change the library of the member that is farthest from the binary."""
        if self.project.deep is None:
            raise edits.NoPlace("the binary stands on no other member")
        self.deep_mark = next(self.marks)
        (library,) = self.project.deep.libraries
        self._change(library, edits.marked_library(self._read(library), self.deep_mark))

    def edit_main_unseen(self, mtime: int | None = None) -> None:
        """The same edit, and the file has the time it had before, or another one in seconds."""
        file = self.folder / self.project.main
        before = file.stat()
        self.edit_main()
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns if mtime is None else mtime * 10**9))

    def document(self) -> None:
        """Change what no compiler reads."""
        readme = self.folder / "README.md"
        text = readme.read_text(encoding="utf-8") if readme.exists() else ""
        readme.write_text(f"{text}\nSeen: {next(self.marks)}.\n", encoding="utf-8")

    def bump(self, resolver: Resolver) -> None:
        """The project's own version goes up."""
        own = self.project.package.place / "Cargo.toml"
        inherits = isinstance(self.project.package.manifest["package"].get("version"), dict)
        manifest = PurePosixPath("Cargo.toml") if inherits else own
        self._change(manifest, edits.bumped(self._read(manifest)))
        self._follow(resolver)

    def reformat(self) -> None:
        """The binary's manifest says the same in other words."""
        manifest = self.project.package.place / "Cargo.toml"
        self._change(manifest, edits.reformatted(self._read(manifest), int(next(self.marks)[-6:])))

    def rename(self, resolver: Resolver, name: str) -> None:
        """Become another project with the same dependencies; library and program keep their names.

        With a feature of its own, so that it is no layer of the first one's that is measured.
        """
        package = self.project.package
        manifest = package.place / "Cargo.toml"
        text = edits.featured(edits.renamed(self._read(manifest), name), "bench-own")
        text = edits.binary_named(text, self.project.binary)
        if package.libraries:
            text = edits.library_named(text, package.name.replace("-", "_"))
        self._change(manifest, text)
        self._follow(resolver)

    def add_dependency(self, resolver: Resolver, candidates: Mapping[str, str]) -> None:
        """One dependency more: the first of these that the lock does not have."""
        lock = self._read(LOCK)
        name = next((name for name in candidates if f'name = "{name}"' not in lock), None)
        if name is None:
            raise edits.NoPlace("the lock has all the dependencies that could be added")
        self._remember_lock()
        resolver.add(self.folder, self.project.package, f"{name}@={candidates[name]}")
        self._follow(resolver)

    def move_dependency(self, resolver: Resolver, candidates: Mapping[str, str]) -> None:
        """Another version of one dependency, deep in the graph."""
        self._remember_lock()
        resolver.move(self.folder, candidates)

    def lock_back(self) -> None:
        """Manifests and lock as they were before the last change of dependencies."""
        for path, text in self.locked.items():
            self._change(path, text)
        self.locked = {}
        self.project = read_project(self.folder, self.project.binary)

    def _follow(self, resolver: Resolver) -> None:
        resolver.follow(self.folder)
        self.project = read_project(self.folder, self.project.binary)

    def _remember_lock(self) -> None:
        self.locked = {path: self._read(path) for path in (*self.project.manifests, LOCK)}

    def _read(self, path: PurePosixPath) -> str:
        return (self.folder / path).read_text(encoding="utf-8")

    def _change(self, path: PurePosixPath, text: str) -> None:
        (self.folder / path).write_text(text, encoding="utf-8")
