"""The keys of a Python project: what has to be the same for an installed package, an environment, an image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from cache.differences import Subject
from cache.keys import Key, KeyKind, KeyPart
from cache.manifests.python.locked import LockedPackage, lock_value
from daemon.builds import BuildRequest, ImageRequest
from daemon.ecosystems.planned import SOURCE_TREE
from daemon.ecosystems.python.environment import RECIPE, constant_paths
from daemon.toolchains.toolchain import PythonFacts, Toolchain


def unit_key(scope: str, toolchain: Toolchain, python: PythonFacts, environment: Mapping[str, str]) -> Key:
    """What has to be the same for anything to be used that was installed before."""
    return Key(
        KeyKind.UNIT,
        (
            KeyPart("scope", scope),
            KeyPart("toolchain image", toolchain.facts.image_id, Subject.TOOLCHAIN),
            KeyPart("python", f"{python.version} {python.executable} {python.library}", Subject.TOOLCHAIN),
            KeyPart("uv", python.uv, Subject.TOOLCHAIN),
            KeyPart("recipe", RECIPE),
            KeyPart("paths", constant_paths()),
            *(KeyPart(name, value, Subject.ENVIRONMENT) for name, value in sorted(environment.items())),
        ),
    )


def exact_key(unit: Key, packages: Sequence[LockedPackage], building: Sequence[LockedPackage]) -> Key:
    """The very files of the environment, and of what sdists among them are built with."""
    built = [KeyPart("built with", lock_value(building), Subject.WITHHELD)] if building else []
    return unit.extended(KeyKind.EXACT, (KeyPart("packages", lock_value(packages), Subject.PACKAGES), *built))


def result_key(exact: Key, request: BuildRequest, image: ImageRequest, check: Sequence[str] | None) -> Key:
    """What decides the image beyond the environment; tags do not."""
    return exact.extended(
        KeyKind.RESULT,
        (
            KeyPart(SOURCE_TREE, request.tree, Subject.FILES),
            KeyPart("directory", request.directory),
            KeyPart.of_json("image settings", msgspec.to_builtins(replace(image, tags=())), Subject.WITHHELD),
            KeyPart.of_json("check command", list(check or ()), Subject.WITHHELD),
        ),
    )
