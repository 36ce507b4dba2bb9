"""The keys of a cargo project: what the manifests say (`cache.manifests.rust.key_parts`), and what the daemon adds.

Every part has a label that a person understands, because a difference is told by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from cache.differences import Subject
from cache.keys import Key, KeyKind, KeyPart
from cache.manifests.rust.key_parts import exact_parts, hard_parts, unit_parts
from daemon.builds import BuildRequest, ImageRequest, Link
from daemon.ecosystems.planned import SOURCE_TREE, Source
from daemon.ecosystems.rust.environment import RECIPE, constant_paths
from daemon.ecosystems.rust.source import RustSource
from daemon.toolchains.toolchain import Toolchain

_NATIVE = "target-cpu=native"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What is particular to this daemon.

    `mirrors` maps a registry's name (`crates-io`) to the index URL that stands in for it; `cpu` names the processor,
    which is part of the key where the flags say `target-cpu=native`.
    """

    mirrors: Mapping[str, str]
    cpu: str


def unit_key(source: Source, rust: RustSource, toolchain: Toolchain, link: Link, host: Host) -> Key:
    """What has to be the same for any compiled unit to be used at all."""
    config = rust.workspace.config
    native = [KeyPart("processor", host.cpu)] if _NATIVE in str(config.values) else []
    return Key(
        KeyKind.UNIT,
        (
            KeyPart("scope", source.request.scope),
            KeyPart("toolchain image", toolchain.facts.image_id, Subject.TOOLCHAIN),
            KeyPart("rustc", toolchain.facts.rustc_version_verbose, Subject.TOOLCHAIN),
            KeyPart("recipe", RECIPE),
            KeyPart("layout", toolchain.facts.layout),
            KeyPart("paths", constant_paths()),
            KeyPart("link", link),
            *(KeyPart(name, value, Subject.ENVIRONMENT) for name, value in sorted(rust.environment.items())),
            KeyPart.of_json("mirrors", dict(host.mirrors), Subject.WITHHELD),
            *unit_parts(config),
            *native,
        ),
    )


def exact_key(unit: Key, source: Source, rust: RustSource) -> Key:
    """The unit key's parts, then the hard key's, then those that make a dependency layer fit exactly."""
    private = [KeyPart("private to", rust.private_to)] if rust.private_to else []
    root = KeyPart("workspace root", rust.workspace.root)
    hard = unit.extended(KeyKind.HARD, hard_parts(rust.workspace, rust.selection))
    manifests = exact_parts(rust.workspace, rust.selection, source.files, rust.skeleton)
    return hard.extended(KeyKind.EXACT, (root, *private, *manifests))


def result_key(
    exact: Key, request: BuildRequest, rust: RustSource, images: Sequence[ImageRequest], check: Sequence[str] | None
) -> Key:
    """What decides the images beyond the dependency layer; tags do not."""
    untagged = [replace(image, tags=()) for image in images]
    return exact.extended(
        KeyKind.RESULT,
        (
            KeyPart(SOURCE_TREE, request.tree, Subject.FILES),
            KeyPart("directory", request.directory),
            KeyPart("binaries", ",".join(binary.full_name for binary in rust.selection.binaries)),
            KeyPart.of_json("image settings", msgspec.to_builtins(untagged), Subject.WITHHELD),
            KeyPart.of_json("compile environment", dict(rust.compile_environment), Subject.WITHHELD),
            KeyPart.of_json("check command", list(check or ()), Subject.WITHHELD),
        ),
    )
