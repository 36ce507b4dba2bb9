"""Which targets a package has: what its manifest says and what cargo finds by the names of files.

The rules are cargo's (the Cargo Book, "Cargo Targets" and "Target auto-discovery").
"""

import posixpath
from collections.abc import Sequence

from cache.manifests.document import Table
from cache.manifests.paths import join
from cache.manifests.rust.layout import Layout
from cache.manifests.rust.package import Binary, Library

_OTHERS = {
    "example": ("autoexamples", "examples"),
    "test": ("autotests", "tests"),
    "bench": ("autobenches", "benches"),
}


class Targets:
    """The targets of one package in its directory."""

    def __init__(
        self,
        manifest: Table,
        package: Table,
        *,
        name: str,
        directory: str,
        edition: str,
        layout: Layout,
    ) -> None:
        self._manifest = manifest
        self._package = package
        self._name = name
        self._directory = directory
        self._edition = edition
        self._layout = layout

    def library(self) -> Library | None:
        """The library, or None."""
        table = self._manifest.table("lib")
        discover = self._package.flag("autolib") is not False
        inferred = "src/lib.rs" if discover and self._exists("src/lib.rs") else None
        if table is None:
            if inferred is None:
                return None
            return Library(name=self._name.replace("-", "_"), path=self._at(self._manifest, inferred))
        name = table.text("name")
        if name is not None and "-" in name:
            raise table.failure(f"library target names cannot contain hyphens: {name}", "name")
        name = name or self._name.replace("-", "_")
        path = table.text("path") or inferred or self._old_library(name)
        if path is None:
            raise table.failure(f"can't find library `{name}`, rename file to `src/lib.rs` or specify lib.path")
        kinds = next((table.texts(key) for key in ("crate-type", "crate_type") if key in table), None) or ()
        flags = [table.flag(key) for key in ("proc-macro", "proc_macro") if key in table]
        return Library(
            name=name,
            path=self._at(table, path),
            proc_macro=True in flags or "proc-macro" in kinds,
            crate_types=() if "proc-macro" in kinds else kinds,
        )

    def _old_library(self, name: str) -> str | None:
        path = f"src/{name}.rs"
        return path if self._edition == "2015" and self._exists(path) else None

    def binaries(self, *, has_library: bool) -> tuple[Binary, ...]:
        """All binaries by name; `has_library` decides where edition 2015 looks for them."""
        tables = self._manifest.tables("bin")
        discover = self._package.flag("autobins")
        inferred = self._inferred_binaries()
        if tables is None:
            found = [] if discover is False else [self._binary(self._manifest, name, path) for name, path in inferred]
        else:
            found = [self._declared(table, inferred, has_library=has_library) for table in tables]
            names, paths = {binary.name for binary in found}, {binary.path for binary in found}
            if discover is None:
                discover = self._edition != "2015"
            if discover:
                others = (self._binary(self._manifest, name, path) for name, path in inferred)
                found += [other for other in others if other.name not in names and other.path not in paths]
        self._unique([binary.name for binary in found])
        return tuple(sorted(found, key=lambda binary: binary.name))

    def _unique(self, names: list[str]) -> None:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            words = f"found duplicate binary name {twice[0]}, but all binary targets must have a unique name"
            raise self._manifest.failure(words, "bin")

    def _declared(self, table: Table, inferred: Sequence[tuple[str, str]], *, has_library: bool) -> Binary:
        name = table.text("name")
        if not name or not name.strip():
            raise table.failure("binary target bin.name is required")
        path = table.text("path")
        if path is None:
            matching = [where for known, where in inferred if known == name]
            path = matching[0] if len(matching) == 1 else self._old_binary(name, has_library=has_library)
            if path is None and matching:
                places = "` and `".join(matching)
                raise table.failure(f"cannot infer path for `{name}` bin: multiple target files found at `{places}`")
            if path is None:
                raise table.failure(
                    f"can't find `{name}` bin at `src/bin/{name}.rs` or `src/bin/{name}/main.rs`. "
                    "Please specify bin.path if you want to use a non-default path",
                )
        return self._binary(table, name, path, table.texts("required-features") or ())

    def _old_binary(self, name: str, *, has_library: bool) -> str | None:
        if self._edition != "2015":
            return None
        candidates = [f"src/{name}.rs"] if not has_library else []
        candidates += ["src/main.rs", "src/bin/main.rs"]
        return next((path for path in candidates if self._exists(path)), None)

    def _binary(self, table: Table, name: str, path: str, required: tuple[str, ...] = ()) -> Binary:
        return Binary(name=name, path=self._at(table, path), package=self._name, required_features=required)

    def build_script(self) -> str | None:
        """The build script's path, or None; of several (nightly cargo) the first."""
        match self._package.values.get("build"):
            case None:
                return self._at(self._package, "build.rs") if self._exists("build.rs") else None
            case False:
                return None
            case True:
                return self._at(self._package, "build.rs")
            case str(path):
                return self._at(self._package, path)
            case [str(path), *_]:
                return self._at(self._package, path)
            case _:
                raise self._package.wrong_type("build", "a boolean or a string")

    def has_others(self) -> bool:
        """Whether there is any example, test or benchmark: without other targets they make the manifest valid."""
        for key, (switch, folder) in _OTHERS.items():
            if self._manifest.tables(key):
                return True
            if self._package.flag(switch) is not False and self._infer(folder):
                return True
        return False

    def _inferred_binaries(self) -> list[tuple[str, str]]:
        main = [(self._name, "src/main.rs")] if self._exists("src/main.rs") else []
        return main + self._infer("src/bin")

    def _infer(self, folder: str) -> list[tuple[str, str]]:
        found = []
        for name in self._layout.names(posixpath.join(self._directory, folder)):
            inner = f"{folder}/{name}/main.rs"
            if name.startswith("."):
                continue
            if self._exists(inner):
                found.append((name, inner))
            elif name.endswith(".rs") and self._exists(f"{folder}/{name}"):
                found.append((name.removesuffix(".rs"), f"{folder}/{name}"))
        return found

    def _exists(self, path: str) -> bool:
        return posixpath.join(self._directory, path) in self._layout.files

    def _at(self, table: Table, path: str) -> str:
        found = join(self._directory, path)
        if found is None:
            raise table.failure(f"the path `{path}` leaves the source tree")
        return found
