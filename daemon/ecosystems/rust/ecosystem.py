"""Rust as an ecosystem: finds a cargo project and plans it, reading manifests and lock, running nothing."""

import posixpath
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import tomli_w

from cache.keys import Key, KeyKind, KeyPart
from cache.manifests.rust.key_parts import exact_parts, hard_parts, unit_parts
from cache.manifests.rust.selection import DEFAULT_PROFILE, Selection, select
from cache.manifests.rust.settings import ProjectSettings, read_settings
from cache.manifests.rust.skeleton import Skeleton, skeleton
from cache.manifests.rust.stub_versions import Masking
from cache.manifests.rust.workspace import MANIFEST, Workspace, read_workspace
from cache.manifests.source import SourceFiles
from daemon.builds import BuildRequest, ImageRequest, Link
from daemon.ecosystems.ecosystem import Plan, Project, Source, StepReader
from daemon.ecosystems.rust.environment import RECIPE, constant_paths, environment
from daemon.ecosystems.rust.fetching import RustFetching
from daemon.ecosystems.rust.image_requests import image_requests, revision_variables
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.rust.project import RustProject, RustSource
from daemon.events import Progress
from daemon.toolchains.names import resolve
from daemon.toolchains.toolchain import Toolchain

_NATIVE = "target-cpu=native"


class RustEcosystem:
    """An `Ecosystem` over cargo.

    `mirrors` maps a registry's name (`crates-io`) to the index URL that stands in for it; `cpu` names this host's
    processor, which is part of the key where the flags say `target-cpu=native`.
    """

    def __init__(self, *, mirrors: Mapping[str, str], cpu: str) -> None:
        self._mirrors = mirrors
        self._cpu = cpu

    @property
    def name(self) -> str:
        """As the API and the metrics have it."""
        return "rust"

    def detects(self, files: SourceFiles, directory: str) -> bool:
        """A `Cargo.toml` in the directory."""
        return posixpath.join(directory, MANIFEST) in files

    def reader(self, progress: Progress) -> StepReader:
        """Cargo's messages."""
        return CargoReader(progress)

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
        exact = self._exact_key(workspace, selection, made, source, toolchain, variables, link)
        check = request.check or settings.check.command
        result = exact.extended(KeyKind.RESULT, _result_parts(source, selection, images, added, check))
        project = settings.project.name or workspace.name
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
        )
        plan = Plan(
            ecosystem=self.name,
            project=request.project or project,
            toolchain=toolchain,
            exact=exact,
            result=result,
            images=images,
            link=link,
            check=check or None,
            dependencies=len(workspace.lock.external()) if workspace.lock else 0,
            private=(request.project or project) if made.private else "",
            notes=_notes(workspace, source),
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
        )
        return RustProject(plan, rust, fetching)

    def _exact_key(
        self,
        workspace: Workspace,
        selection: Selection,
        made: Skeleton,
        source: Source,
        toolchain: Toolchain,
        variables: Mapping[str, str],
        link: Link,
    ) -> Key:
        native = [KeyPart("processor", self._cpu)] if _NATIVE in str(workspace.config.values) else []
        unit = Key(
            KeyKind.UNIT,
            (
                KeyPart("scope", source.request.scope),
                KeyPart("toolchain image", toolchain.facts.image_id),
                KeyPart("rustc", toolchain.facts.rustc_version_verbose),
                KeyPart("recipe", RECIPE),
                KeyPart("paths", constant_paths()),
                KeyPart("link", link),
                *(KeyPart(name, value) for name, value in sorted(variables.items())),
                KeyPart.of_json("mirrors", dict(self._mirrors)),
                *unit_parts(workspace.config),
                *native,
            ),
        )
        hard = unit.extended(KeyKind.HARD, hard_parts(selection))
        private = [KeyPart("private to", source.request.project or workspace.name)] if made.private else []
        parts = (KeyPart("root", workspace.root), *private, *exact_parts(workspace, selection, source.files, made))
        return hard.extended(KeyKind.EXACT, parts)

    def _configuration(self, values: Mapping[str, object]) -> bytes:
        """The project's settings with the daemon's mirrors over them."""
        merged: dict[str, object] = dict(values)
        table = merged.get("source")
        sources: dict[str, object] = dict(table) if isinstance(table, dict) else {}
        for name, url in self._mirrors.items():
            stand_in = f"bloomery-{name}"
            sources[name] = {"replace-with": stand_in}
            sources[stand_in] = {"registry": url}
        if sources:
            merged["source"] = sources
        return tomli_w.dumps(merged).encode()


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


def _result_parts(
    source: Source,
    selection: Selection,
    images: Sequence[ImageRequest],
    added: Mapping[str, str],
    check: Sequence[str] | None,
) -> tuple[KeyPart, ...]:
    """What decides the image beyond the dependency layer; tags do not."""
    request = source.request
    untagged = [replace(image, tags=()) for image in images]
    return (
        KeyPart("tree", request.tree),
        KeyPart("directory", request.directory),
        KeyPart("binaries", ",".join(binary.full_name for binary in selection.binaries)),
        KeyPart("images", repr(untagged)),
        KeyPart.of_json("compile environment", dict(added)),
        KeyPart.of_json("check", list(check or ())),
    )


def _notes(workspace: Workspace, source: Source) -> tuple[str, ...]:
    made = (
        ("There is no Cargo.lock: one was made and is kept for this project's next builds; download it to keep it.",)
        if source.lock is not None
        else ()
    )
    return (*workspace.notes, *made)
