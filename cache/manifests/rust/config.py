"""`.cargo/config.toml` by allow-list: what of it is honoured, and how the rest is named.

Nothing of it may run a program of the source's choice or lead a build out of its constant paths, and whatever changes
what is compiled is either honoured, and part of the key, or refused. The daemon writes the configuration itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from cache.manifests.document import Table, parse
from cache.manifests.errors import UnsupportedSetting
from cache.manifests.paths import above
from cache.manifests.rust.config_rules import Reading
from cache.manifests.rust.layout import Layout
from cache.manifests.source import SourceFiles

_FETCH = ("registries", "registry", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """A file of the tree that the configuration names: it counts by content and stands in the skeleton as it is."""

    path: str
    identity: str
    """As `SourceFiles.identity` gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CargoConfig:
    """What of a project's configuration is honoured; `values` is the merged, filtered configuration."""

    values: Mapping[str, Any] = field(default_factory=dict)
    named: tuple[NamedFile, ...] = ()
    local_sources: tuple[str, ...] = ()
    """Directories of the tree that crates are taken from: vendored, or a local registry."""
    notes: tuple[str, ...] = ()

    @property
    def text_for_fetch(self) -> bytes:
        """TOML for the step that has the network: registries and sources alone."""
        return tomli_w.dumps({key: self.values[key] for key in _FETCH if key in self.values}).encode()

    @property
    def target(self) -> str | None:
        """`build.target`, if the project sets it: artefacts lie in a directory of its name then."""
        target = self.values.get("build", {}).get("target")
        return target if isinstance(target, str) else None

    @property
    def rustflags(self) -> tuple[str, ...]:
        """`build.rustflags`; those of `[target]` tables are in `values`."""
        return tuple(self.values.get("build", {}).get("rustflags", ()))

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles that it sets something for."""
        return tuple(self.values.get("profile", {}))


def read_config(files: SourceFiles, directory: str, layout: Layout, work: str = "/work") -> CargoConfig:
    """Merge the configuration files at a directory and above it, as cargo does; `work` is where the tree will stand."""
    merged: dict[str, Any] = {}
    named: set[str] = set()
    sources: set[str] = set()
    notes: list[str] = []
    for place in reversed((directory, *above(directory))):
        table = _table(files, place)
        if table is None:
            continue
        reading = Reading(table, place, layout, work)
        merged = _merge(merged, reading.values())
        named |= reading.named
        sources |= reading.local_sources
        notes += reading.notes()
    return CargoConfig(
        values=merged,
        named=tuple(NamedFile(path=path, identity=files.identity(path)) for path in sorted(named)),
        local_sources=tuple(sorted(sources)),
        notes=tuple(notes),
    )


def _table(files: SourceFiles, directory: str) -> Table | None:
    """The configuration of one directory; the name without an extension is the old one, and cargo prefers it."""
    prefix = f"{directory}/" if directory else ""
    for name in (".cargo/config", ".cargo/config.toml"):
        if prefix + name in files:
            return parse(prefix + name, files.read(prefix + name), UnsupportedSetting)
    return None


def _merge(outer: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    """Cargo's merge: tables by key, lists joined with the nearer file's items last, else the nearer file's value."""
    merged = dict(outer)
    for key, value in inner.items():
        known = merged.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[key] = _merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            merged[key] = known + value
        else:
            merged[key] = value
    return merged
