"""What an image's settings come to: the request's over `bloomery.toml`'s, field by field; and the tags that it gets."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cache.manifests.settings import ImageTable, ProjectSettings
from daemon.builds import BuildRequest, ImageRequest, ImageSettings
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


def settings_of(
    table: ImageTable, asked: ImageSettings, project: ProjectSettings, request: BuildRequest
) -> ImageSettings:
    """The settings of one image: `table` is what `bloomery.toml` says of it."""
    return over(_of_file(table), asked, _revision_labels(project, request))


def tagged(tags: Iterable[str]) -> tuple[str, ...]:
    """Whole references, each once; raises `BadTag`."""
    return tuple(dict.fromkeys(_with_version(tag) for tag in tags))


def require_tags_once(images: Iterable[ImageRequest]) -> None:
    """A tag names one image; raises `BadTag`."""
    tags = [tag for image in images for tag in image.tags]
    twice = sorted({tag for tag in tags if tags.count(tag) > 1})
    if twice:
        raise BadTag(f"{', '.join(twice)} is asked for by two images, and a tag names one.", tag=twice[0])


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


def over(lower: ImageSettings, upper: ImageSettings, labels: Mapping[str, str]) -> ImageSettings:
    """One over the other; `labels` give way to both."""
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
