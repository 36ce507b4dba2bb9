"""Rust as an ecosystem: finds a cargo project and plans it, reading manifests and lock, running nothing."""

import posixpath
import tomllib
from collections.abc import Mapping, Sequence

import tomli_w

from cache.digest import Digest
from cache.keys import Key, KeyKind, KeyPart
from cache.manifests.rust.selection import DEFAULT_PROFILE, Selection, select
from cache.manifests.rust.skeleton import skeleton
from cache.manifests.rust.stub_versions import Masking
from cache.manifests.rust.workspace import MANIFEST, Workspace, read_workspace
from cache.manifests.settings import ProjectSettings, read_settings
from cache.manifests.source import SourceFiles
from daemon.builds import BuildRequest, Link
from daemon.ecosystems.ecosystem import Project
from daemon.ecosystems.planned import Grain, Plan, Source, UnitsOf
from daemon.ecosystems.rust.dependents import compiled_with, named_by
from daemon.ecosystems.rust.direct import direct
from daemon.ecosystems.rust.environment import environment
from daemon.ecosystems.rust.fetching import RustFetching
from daemon.ecosystems.rust.image_requests import image_requests, revision_variables
from daemon.ecosystems.rust.keys import Host, exact_key, result_key, unit_key
from daemon.ecosystems.rust.layouts import layout_named
from daemon.ecosystems.rust.project import RustProject
from daemon.ecosystems.rust.source import RustSource
from daemon.toolchains.names import resolve
from daemon.toolchains.toolchain import Toolchain
from daemon.units.origins import origin, origins


class RustEcosystem:
    """An `Ecosystem` over cargo."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def name(self) -> str:
        """As the API and the metrics have it."""
        return "rust"

    def detects(self, files: SourceFiles, directory: str) -> bool:
        """A `Cargo.toml` in the directory."""
        return posixpath.join(directory, MANIFEST) in files

    def plan(self, source: Source, offered: Sequence[Toolchain], default: str) -> Project:
        """Read everything that decides a key; raises what `cache.manifests.rust.errors` has."""
        request = source.request
        settings = read_settings(source.files, request.directory)
        workspace = read_workspace(source.files, request.directory)
        if workspace.lock is None and source.lock is not None:
            workspace = workspace.with_lock(source.lock)
        toolchain = resolve(request.toolchain or settings.build.toolchain or workspace.toolchain, offered, default)
        selection = _selection(workspace, settings, request)
        link = request.link or Link(settings.build.link or Link.DYNAMIC)
        made = skeleton(workspace, Masking.STUB if workspace.lock else Masking.KEEP)
        variables = environment(toolchain.facts, workspace.config, link)
        added = {**settings.build.environment, **revision_variables(settings, request.revision)}
        images = image_requests(selection, settings, request)
        check = request.check or settings.check.command
        project = request.project or settings.project.name or workspace.name
        rust = RustSource(
            tree=source.tree,
            blobs=source.blobs,
            workspace=workspace,
            selection=selection,
            skeleton=made,
            lock=source.lock,
            configuration=self._configuration(workspace.config.values),
            environment=variables,
            compile_environment=added,
            private_to=project if made.private else "",
        )
        unit = unit_key(source, rust, toolchain, link, self._host)
        exact = exact_key(unit, source, rust)
        plan = Plan(
            ecosystem=self.name,
            project=project,
            toolchain=toolchain,
            exact=exact,
            result=result_key(exact, request, rust, images, check),
            images=images,
            link=link,
            check=check or None,
            dependencies=len(workspace.lock.external()) if workspace.lock else 0,
            members=_members(workspace, selection),
            named_by=named_by(workspace.lock) if workspace.lock else {},
            comparable=_comparable(unit, rust),
            private=rust.private_to,
            units=_units(unit, rust, toolchain),
            grain=Grain.UNITS if layout_named(toolchain.facts.layout) else Grain.LAYERS,
            notes=_notes(workspace, source, toolchain),
        )
        fetching = RustFetching(
            workspace=workspace,
            skeleton=made,
            tree=source.tree,
            blobs=source.blobs,
            configuration=self._configuration(tomllib.loads(workspace.config.text_for_fetch.decode())),
            environment={**variables, "CARGO_NET_OFFLINE": "false"},
            triple=workspace.config.target or toolchain.facts.host,
            image_id=toolchain.facts.image_id,
            scope=request.scope,
        )
        return RustProject(plan, rust, fetching)

    def _configuration(self, values: Mapping[str, object]) -> bytes:
        """The project's settings with the daemon's mirrors over them."""
        merged: dict[str, object] = dict(values)
        table = merged.get("source")
        sources: dict[str, object] = dict(table) if isinstance(table, dict) else {}
        for name, url in self._host.mirrors.items():
            stand_in = f"bloomery-{name}"
            sources[name] = {"replace-with": stand_in}
            sources[stand_in] = {"registry": url}
        if sources:
            merged["source"] = sources
        return tomli_w.dumps(merged).encode()


def _units(unit: Key, rust: RustSource, toolchain: Toolchain) -> UnitsOf | None:
    """Where path packages were cooked for real, their units stood beside the others' (law 6)."""
    lock, facts = rust.workspace.lock, toolchain.facts
    found = origins(lock, rust.workspace.config) if lock is not None and not rust.private_to else ()
    layout = layout_named(facts.layout)
    if not found or layout is None:
        return None
    assert lock is not None
    named = direct(rust.workspace.packages, rust.selection.packages, lock)
    return UnitsOf(
        key=unit.digest,
        parts=unit,
        origins=found,
        layout=layout.units,
        artefact_time=facts.artefact_mtime,
        direct=tuple(map(origin, named)) if named is not None else None,
        own=frozenset(package.name for package in rust.workspace.packages),
        profile=rust.selection.profile_directory,
    )


def _members(workspace: Workspace, selection: Selection) -> tuple[str, ...]:
    if workspace.lock is None:
        return ()
    return compiled_with(selection.packages, workspace.packages, workspace.lock)


def _comparable(unit: Key, rust: RustSource) -> Digest | None:
    """None where what comes from outside is not all proved by the lock: a vendored crate may change under its name."""
    lock = rust.workspace.lock
    if lock is None or rust.private_to or rust.skeleton.verbatim or rust.workspace.config.local_sources:
        return None
    if len(origins(lock, rust.workspace.config)) < len(lock.external()):
        return None
    profiles = rust.workspace.document.table("profile")
    parts = (
        KeyPart("profile", rust.selection.profile),
        KeyPart("profiles", repr(profiles.values) if profiles else ""),
        KeyPart("workspace root", rust.workspace.root),
    )
    return unit.extended(KeyKind.HARD, parts).digest


def _selection(workspace: Workspace, settings: ProjectSettings, request: BuildRequest) -> Selection:
    asked = tuple(image.binary for image in request.images if image.binary is not None)
    defaults = request.default_features if request.default_features is not None else settings.build.default_features
    return select(
        workspace,
        asked or settings.build.wanted,
        request.features if request.features is not None else settings.build.features or (),
        default_features=True if defaults is None else defaults,
        profile=request.profile or settings.build.profile or DEFAULT_PROFILE,
    )


_MADE_LOCK = (
    "There is no Cargo.lock: one was made and is kept for this project's next builds; "
    "`bloomery lockfile BUILD -o Cargo.lock` gets it, to be committed."
)

_COARSE = (
    "How the cargo of toolchain {} ({}) lays out what it compiles is not known here, so only whole dependency layers "
    "are reused; `bloomery toolchain check` says what was tried."
)


def _notes(workspace: Workspace, source: Source, toolchain: Toolchain) -> tuple[str, ...]:
    made = (_MADE_LOCK,) if source.lock is not None else ()
    coarse = () if layout_named(toolchain.facts.layout) else (_COARSE.format(toolchain.name, toolchain.facts.release),)
    return (*workspace.notes, *made, *coarse)
