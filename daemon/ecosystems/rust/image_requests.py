"""Which images a build makes, each with its settings complete: the request's over `bloomery.toml`'s, field by field."""

import re
from collections.abc import Mapping
from dataclasses import replace

from cache.errors import Evidence
from cache.manifests.rust.errors import AmbiguousBinary
from cache.manifests.rust.package import Binary
from cache.manifests.rust.selection import Selection
from cache.manifests.settings import ImageTable, ProjectSettings
from daemon.builds import BuildRequest, ImageRequest, ImageSettings, Revision
from daemon.errors import BadTag

_REVISION_LABEL = "org.opencontainers.image.revision"
_BRANCH_LABEL = "org.opencontainers.image.ref.name"
_TAG = re.compile(
    r"(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?"
)
"""A reference without a digest: https://github.com/distribution/reference/blob/main/regexp.go."""
_LONGEST_TAG = 255


def image_requests(selection: Selection, settings: ProjectSettings, request: BuildRequest) -> tuple[ImageRequest, ...]:
    """Each image that is asked for, with its binary.

    A request that names no binary asks for all that `bloomery.toml` names; its tags then go to the first, so that one
    tag never names two images. Raises `AmbiguousBinary` where images and binaries do not go together, and `BadTag`.
    """
    images = tuple(
        ImageRequest(
            binary=binary.name,
            tags=tuple(dict.fromkeys(_with_version(tag) for tag in asked.tags)),
            settings=_over(
                _of_file(settings.image_of(binary.name)), asked.settings, _revision_labels(settings, request)
            ),
        )
        for asked, binary in _pairs(selection, request)
    )
    tags = [tag for image in images for tag in image.tags]
    twice = sorted({tag for tag in tags if tags.count(tag) > 1})
    if twice:
        raise BadTag(f"{', '.join(twice)} is asked for by two images, and a tag names one.", tag=twice[0])
    return images


def _pairs(selection: Selection, request: BuildRequest) -> list[tuple[ImageRequest, Binary]]:
    binaries = selection.binaries
    names = [binary.name for binary in binaries]
    evidence: list[Evidence] = [binary.full_name for binary in binaries]
    if len(set(names)) < len(names):
        raise AmbiguousBinary(
            f"cargo puts binaries of one name at one path: build one of {', '.join(map(str, evidence))} at a time",
            binaries=evidence,
        )
    named = [image for image in request.images if image.binary is not None]
    if not named and len(request.images) <= len(binaries):
        return list(zip((*request.images, *[ImageRequest()] * len(binaries)), binaries, strict=False))
    if len(named) < len(request.images):
        raise AmbiguousBinary("of several images each has to name its binary", binaries=evidence)
    by_name = {name: binary for binary in binaries for name in (binary.name, binary.full_name)}
    return [(image, by_name[str(image.binary)]) for image in named]


def revision_variables(settings: ProjectSettings, revision: Revision) -> Mapping[str, str]:
    """What the compile's environment learns of the revision, where `bloomery.toml` asks for it."""
    if not settings.build.revision:
        return {}
    return {
        "BLOOMERY_COMMIT": revision.commit,
        "BLOOMERY_BRANCH": revision.branch,
        "BLOOMERY_DIRTY": "true" if revision.dirty else "false",
    }


def _revision_labels(settings: ProjectSettings, request: BuildRequest) -> dict[str, str]:
    if not settings.build.revision:
        return {}
    known = {_REVISION_LABEL: request.revision.commit, _BRANCH_LABEL: request.revision.branch}
    return {name: value for name, value in known.items() if value}


def _of_file(table: ImageTable) -> ImageSettings:
    return ImageSettings(
        entrypoint=table.entrypoint,
        arguments=table.arguments,
        ports=tuple(str(port) for port in table.ports) if table.ports is not None else None,
        environment=table.environment,
        labels=table.labels,
        stop_signal=table.stop_signal,
        user=table.user,
        working_directory=table.working_directory,
        include=table.include,
    )


def _over(lower: ImageSettings, upper: ImageSettings, labels: Mapping[str, str]) -> ImageSettings:
    fields = ("entrypoint", "arguments", "ports", "stop_signal", "user", "working_directory", "include")
    said = {name: getattr(upper, name) for name in fields if getattr(upper, name) is not None}
    return replace(
        lower,
        **said,
        environment={**lower.environment, **upper.environment},
        labels={**labels, **lower.labels, **upper.labels},
    )


def _with_version(tag: str) -> str:
    if len(tag) > _LONGEST_TAG or not _TAG.fullmatch(tag):
        raise BadTag(
            f"{tag[:300]!r} is no image reference: expected [HOST/]name[:version], the name in lower case.",
            tag=tag[:300],
        )
    return tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"
