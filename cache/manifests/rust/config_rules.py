"""The allow-list itself: one cargo configuration file, key by key."""

import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any

from cache.manifests.document import Table
from cache.manifests.paths import join, within
from cache.manifests.rust.layout import Layout

_QUIET = frozenset({"alias", "term", "cargo-new", "doc", "future-incompat-report", "cache", "install", "http", "net"})
"""Tables that change nothing in what is built; the daemon has its own network settings."""

_REFUSED = {
    "paths": "path overrides change what is built: use [patch] in Cargo.toml",
    "patch": "a [patch] belongs into the workspace's Cargo.toml",
    "include": "included configuration files are not read: put their settings into this file",
}
_BUILD_LEFT_OUT = {
    "rustc-wrapper": "wrappers are not run",
    "rustc-workspace-wrapper": "wrappers are not run",
    "target-dir": "artefacts have a constant place",
    "build-dir": "artefacts have a constant place",
}
_BUILD_REFUSED = {"rustc": "the compiler is the toolchain image's: name it in rust-toolchain.toml"}
_OWN_NAMES = re.compile(
    r"PATH|HOME|USER|TMPDIR|LD_.*|DYLD_.*|CARGO|CARGO_(HOME|TARGET_DIR|BUILD_.*|INCREMENTAL|ENCODED_RUSTFLAGS|NET_.*"
    r"|HTTP_.*|REGISTR.*)|RUSTC|RUSTC_WRAPPER|RUSTC_WORKSPACE_WRAPPER|RUSTDOC|RUSTFLAGS|RUSTUP_.*|SOURCE_DATE_EPOCH|CI",
)
"""Environment variables that the daemon alone sets."""
_SOURCE_KEYS = ("replace-with", "registry", "git", "branch", "tag", "rev", "directory", "local-registry")
_FLAG_THAT_RUNS = re.compile(r"(?:^|\s)(?:-C|--codegen[ =])\s*linker=\S*/|-Z\s*codegen-backend=\S*/")
_FLAG_PARTS = re.compile(r"[=,:\s]")


class Reading:
    """What one file says, filtered; `place` is the directory of the tree that holds its `.cargo`."""

    def __init__(self, table: Table, place: str, layout: Layout, work: str) -> None:
        self._table = table
        self._place = place
        self._layout = layout
        self._work = work
        self._left_out: dict[str, str] = {}
        self._ignored: list[str] = []
        self.named: set[str] = set()
        self.local_sources: set[str] = set()

    def notes(self) -> list[str]:
        """One line for each setting that matters and is left out, and one for all that do not."""
        lines = [f"{self._table.file}: {key} is left out: {why}" for key, why in self._left_out.items()]
        if self._ignored:
            lines.append(f"{self._table.file}: ignored: {', '.join(sorted(self._ignored))}")
        return lines

    def values(self) -> dict[str, Any]:
        """The settings that are honoured; one that is refused raises `UnsupportedSetting`."""
        readers: dict[str, Callable[[Table], dict[str, Any]]] = {
            "build": self._build,
            "target": self._targets,
            "profile": lambda table: dict(table.values),
            "env": self._environment,
            "registries": self._registries,
            "registry": lambda table: self._only(table, ("default",)),
            "source": self._sources,
        }
        found: dict[str, Any] = {}
        for key in self._table:
            if key in _REFUSED:
                raise self._table.failure(f"`{key}` is not supported: {_REFUSED[key]}", key)
            if key in readers:
                found[key] = readers[key](self._inner(self._table, key))
            elif key in _QUIET:
                self._ignored.append(key)
            else:
                self._left_out[key] = "it is not among the settings that are honoured"
        return {key: value for key, value in found.items() if value}

    def _inner(self, table: Table, key: str) -> Table:
        inner = table.table(key)
        assert inner is not None
        return inner

    def _only(self, table: Table, keys: Iterable[str]) -> dict[str, Any]:
        """The texts under these keys; the rest is named as left out."""
        found = {}
        for key in table:
            if key in keys:
                found[key] = table.text(key)
            elif key in {"token", "secret-key", "secret-key-subject"}:
                self._left_out[table.path(key)] = "secrets do not belong into a source tree"
            elif key in {"credential-provider", "global-credential-providers"}:
                self._left_out[table.path(key)] = "credential providers are not run"
            else:
                self._ignored.append(table.path(key))
        return found

    def _build(self, table: Table) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in table:
            if key in _BUILD_REFUSED:
                raise table.failure(f"`{table.path(key)}` is not supported: {_BUILD_REFUSED[key]}", key)
            if key == "rustflags":
                found[key] = self._flags(table, key)
            elif key == "target":
                found[key] = self._triple(table)
            elif key in _BUILD_LEFT_OUT:
                self._left_out[table.path(key)] = _BUILD_LEFT_OUT[key]
            else:
                self._ignored.append(table.path(key))
        return found

    def _triple(self, table: Table) -> str:
        value = table.values["target"]
        triples = [value] if isinstance(value, str) else list(table.texts("target") or ())
        if len(triples) != 1:
            raise table.failure("`build.target` must name one target: several give no single binary", "target")
        (triple,) = triples
        if not triple.endswith(".json"):
            return triple
        path = join(self._place, triple)
        if path is None or path not in self._layout.files:
            raise table.failure(f"the target specification `{triple}` is not in the source tree", "target")
        self.named.add(path)
        return posixpath.join(self._work, path)

    def _flags(self, table: Table, key: str) -> list[str]:
        value = table.values[key]
        flags = value.split() if isinstance(value, str) else list(table.texts(key) or ())
        if _FLAG_THAT_RUNS.search(" ".join(flags)):
            raise table.failure("a linker or code generator is named without its path, such as `linker=clang`", key)
        for flag in flags:
            self._name_files(_FLAG_PARTS.split(flag))
        return flags

    def _name_files(self, texts: Iterable[str]) -> None:
        """Linker scripts and the like: texts that are paths of the tree, as seen from where cargo runs."""
        for text in texts:
            for candidate in (text, text[2:]):
                path = join(self._place, candidate.removeprefix(self._work + "/")) if candidate else None
                if path and path in self._layout.files:
                    self.named.add(path)

    def _targets(self, tables: Table) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for triple in tables:
            table = self._inner(tables, triple)
            kept: dict[str, Any] = {}
            for key in table:
                if key == "rustflags":
                    kept[key] = self._flags(table, key)
                elif key == "linker":
                    linker = table.text(key) or ""
                    if "/" in linker:
                        self._left_out[table.path(key)] = "a linker is named without its path, such as `clang`"
                    else:
                        kept[key] = linker
                elif key == "runner":
                    self._ignored.append(table.path(key))
                else:
                    self._left_out[table.path(key)] = "it is not among the settings that are honoured"
            if kept:
                found[triple] = kept
        return found

    def _environment(self, table: Table) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in table:
            if _OWN_NAMES.fullmatch(name):
                self._left_out[table.path(name)] = "the daemon sets this variable itself"
                continue
            if isinstance(table.values[name], str):
                found[name] = table.values[name]
                self._name_files([table.values[name]])
                continue
            detail = self._inner(table, name)
            value = detail.text("value")
            if value is None:
                raise detail.failure("missing field `value`")
            if detail.flag("relative"):
                value = self._relative(detail, value)
            found[name] = {"value": value, "force": True} if detail.flag("force") else value
        return found

    def _relative(self, detail: Table, value: str) -> str:
        path = join(self._place, value)
        if path is None:
            raise detail.failure(f"the path `{value}` leaves the source tree", "value")
        if path in self._layout.files:
            self.named.add(path)
        elif self._layout.is_directory(path) and path and not self._holds_packages(path):
            self.named.update(self._layout.below(path))
        return posixpath.join(self._work, path) if path else self._work

    def _holds_packages(self, directory: str) -> bool:
        """A directory of first-party code does not count: its files are what the compile step reads."""
        places = (directory, *(parent for parent in _parents(directory) if parent))
        if any(posixpath.join(place, "Cargo.toml") in self._layout.files for place in places):
            return True
        return any(posixpath.basename(path) == "Cargo.toml" for path in self._layout.below(directory))

    def _registries(self, tables: Table) -> dict[str, Any]:
        found = {name: self._only(self._inner(tables, name), ("index", "protocol")) for name in tables}
        return {name: kept for name, kept in found.items() if kept}

    def _sources(self, tables: Table) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in tables:
            table = self._inner(tables, name)
            kept = self._only(table, _SOURCE_KEYS)
            for key in ("directory", "local-registry"):
                if key in kept:
                    path = join(self._place, kept[key])
                    if not path:
                        raise table.failure(f"the path `{kept[key]}` is not inside the source tree", key)
                    self.local_sources.add(path)
                    kept[key] = posixpath.join(self._work, path)
            found[name] = kept
        kept_sources = {path for path in self.local_sources if not any(_inside(path, o) for o in self.local_sources)}
        self.local_sources = kept_sources
        return found


def _inside(path: str, other: str) -> bool:
    return path != other and within(path, other)


def _parents(path: str) -> list[str]:
    found = []
    while path:
        path = posixpath.dirname(path)
        found.append(path)
    return found
